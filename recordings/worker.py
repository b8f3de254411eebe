"""Converts the recordings of priced calls and triggers the deletion of old files.

Every step is stored in the database before it is taken, so a restart continues where the last run stopped: an interrupted
conversion is repeated under the same name. The WAV is deleted only after the database says that the MP3 is ready.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, literal, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from taxiphone.billing.rating import settle_recording
from taxiphone.errors import RecordingError
from taxiphone.recordings import capture, keeping
from taxiphone.recordings.capture import OPEN, RecordingStatus, Wav
from taxiphone.recordings.convert import Converter, Job, Mp3
from taxiphone.recordings.files import OldFiles, wav_of
from taxiphone.settings import Settings
from taxiphone.store.calls import OPEN as UNFINISHED
from taxiphone.store.calls import Status
from taxiphone.store.database import Database
from taxiphone.store.models import Call, Recording
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.tables import CALL, RECORDING
from taxiphone.store.types import monotonic_us
from taxiphone.store.writer import Priority

log = logging.getLogger(__name__)

# Seconds before the second attempt, the third, and so on. After the last one, the recording has failed.
RETRY_SECONDS = (5.0, 30.0, 180.0, 900.0, 3600.0)
# How long a WAV may be missing or unfinished after the first poll.
WAV_TIMEOUT = timedelta(seconds=60)
# Poll intervals: without work, for calls priced by another process, and while Asterisk is about to close a WAV.
_IDLE_SECONDS = 5.0
_WAITING_SECONDS = 0.25
_TIDY_SECONDS = 3600.0
_LONGEST_NOTE = 200


class RecordingWorker:
    """Converts the recordings of priced calls one after the other, and deletes expired ones.

    Args:
        settings: the settings.
        database: the database.
        retry_seconds: seconds between attempts. After the last one, the recording has failed.
        wav_timeout: how long a WAV may be missing or unfinished after the first poll.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        retry_seconds: Sequence[float] = RETRY_SECONDS,
        wav_timeout: timedelta = WAV_TIMEOUT,
    ) -> None:
        self._settings = settings
        self._database = database
        self._retry_seconds = retry_seconds
        self._wav_timeout = wav_timeout
        self._converter = Converter()
        self._old_files = OldFiles(settings, database)
        self._nudged = asyncio.Event()
        # By call id: the monotonic times of the next attempt and of the first poll.
        self._not_before: dict[str, float] = {}
        self._first_polled: dict[str, int] = {}
        self._tidied = -_TIDY_SECONDS

    def nudge(self) -> None:
        """Poll immediately, because a call was priced. Must be called in the event loop."""
        self._nudged.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. A conversion in progress is then ended, and repeated by the next run."""
        self._first_polled = {}
        working = asyncio.create_task(self._work())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)
            await self._converter.close()

    async def _work(self) -> None:
        while True:
            self._nudged.clear()
            pause = _IDLE_SECONDS
            try:
                pause = await self._round()
            except (OSError, SQLAlchemyError) as error:
                log.warning("the recordings could not be processed; trying again: %s", _sentence(error))
            except Exception:
                # An error of the database or the disk must not stop the worker.
                log.exception("the recordings could not be processed; trying again")
            try:
                await asyncio.wait_for(self._nudged.wait(), pause)
            except TimeoutError:
                continue

    async def _round(self) -> float:
        """Process every recording that is due; return the seconds until the next poll."""
        # If tidying up fails, the recordings are processed nevertheless.
        if time.monotonic() - self._tidied >= _TIDY_SECONDS:
            self._tidied = time.monotonic()
            await self._quietly(self._old_files.delete_expired)
        await self._quietly(self._old_files.delete_leftovers)
        due = await self._database.fetch(due_recordings)
        for call_id in due:
            if self._not_before.get(call_id, 0.0) <= time.monotonic():
                await self._process(call_id)
        self._not_before = {call_id: at for call_id, at in self._not_before.items() if call_id in due}
        self._first_polled = {call_id: at for call_id, at in self._first_polled.items() if call_id in due}
        if not due:
            # An idle worker process would only take memory.
            await self._converter.close()
            return _IDLE_SECONDS
        return _WAITING_SECONDS

    async def _quietly(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(work)
        except (OSError, SQLAlchemyError) as error:
            log.warning(
                "old files of recordings could not be deleted; trying again later: %s", _sentence(error)
            )

    async def _process(self, call_id: str) -> None:
        try:
            job = await self._database.run(
                lambda session: self._next(session, call_id), Priority.HOUSEKEEPING
            )
            if job is None:
                return
            try:
                mp3 = await self._converter.convert(job)
            except RecordingError as error:
                sentence = str(error)
                log.warning("recording of call %s: %s", call_id, sentence)
                await self._database.run(
                    lambda session: self._tried(session, call_id, sentence), Priority.HOUSEKEEPING
                )
                return
            done = await self._database.run(
                lambda session: self._done(session, call_id, mp3), Priority.HOUSEKEEPING
            )
        except (OSError, SQLAlchemyError) as error:
            log.warning(
                "the recording of call %s could not be processed; trying again: %s",
                call_id,
                _sentence(error),
            )
            self._not_before[call_id] = time.monotonic() + self._retry_seconds[0]
            return
        except Exception:
            # An error in one recording must not delay the others.
            log.exception("the recording of call %s could not be processed; trying again", call_id)
            self._not_before[call_id] = time.monotonic() + self._retry_seconds[-1]
            return
        if done:
            await asyncio.to_thread(self._old_files.unlink, job.wav)
        else:
            # The recording was deleted in the meantime.
            await asyncio.to_thread(self._old_files.unlink, job.folder / job.name)

    # -- one transaction each -------------------------------------------------------------------------------------

    def _next(self, session: Session, call_id: str) -> Job | None:
        """Return the next conversion of a recording, if any. A missing WAV is given up here after a timeout."""
        recording = session.get_one(Recording, call_id, with_for_update=True)
        call = session.get_one(Call, call_id)
        if recording.status not in OPEN:
            return None
        path = wav_of(self._settings, recording)
        if call.status == Status.CLOSED:
            self._end(session, recording, RecordingStatus.EMPTY, None)
            return None
        wav = _read_wav(path)
        if wav is None or not wav.frames:
            # A finished file without frames will not change any more, so the fee need not wait.
            if wav is not None or self._waited(call_id) >= self._wav_timeout:
                self._give_up(session, recording, path, wav)
            return None
        recording.status = RecordingStatus.CONVERTING
        recording.mp3 = recording.mp3 or f"{call_id}-{secrets.token_hex(8)}.mp3"
        return Job(
            call_id=call_id,
            day=keeping.local_day(self._settings, call.arrived_at).isoformat(),
            wav=path,
            folder=self._settings.recordings,
            name=recording.mp3,
            bitrate=self._settings.recording.bitrate,
        )

    def _waited(self, call_id: str) -> timedelta:
        """Return how long this process has been polling for a WAV. A restart starts again, so that Asterisk can close it."""
        began = self._first_polled.setdefault(call_id, monotonic_us())
        return timedelta(microseconds=monotonic_us() - began)

    def _give_up(self, session: Session, recording: Recording, path: Path, wav: Wav | None) -> None:
        call = recording.call
        if wav is None and path.exists():
            note = f"Asterisk did not finish {path.name}; the file is kept."
        elif wav is None:
            note = f"Asterisk did not write {path.name}."
        elif call.talk_from and call.talk_to and call.talk_to - call.talk_from >= timedelta(seconds=1):
            note = "Asterisk recorded no sound."
        else:
            self._end(session, recording, RecordingStatus.EMPTY, None)
            return
        log.warning("recording of call %s: %s", recording.call_id, note)
        self._end(session, recording, RecordingStatus.FAILED, note)

    def _tried(self, session: Session, call_id: str, sentence: str) -> None:
        """Store a failed attempt. After the last one, the recording has failed and its fee is released."""
        recording = session.get_one(Recording, call_id, with_for_update=True)
        if recording.status != RecordingStatus.CONVERTING:
            return
        recording.tries += 1
        if recording.tries > len(self._retry_seconds):
            self._end(session, recording, RecordingStatus.FAILED, sentence)
            return
        recording.status, recording.error = RecordingStatus.CAPTURED, sentence[:_LONGEST_NOTE]
        self._not_before[call_id] = time.monotonic() + self._retry_seconds[recording.tries - 1]

    def _done(self, session: Session, call_id: str, mp3: Mp3) -> bool:
        """Store that the MP3 is ready and post its fee; return False if the recording has been deleted."""
        recording = session.get_one(Recording, call_id, with_for_update=True)
        if recording.status != RecordingStatus.CONVERTING:
            return False
        recording.milliseconds, recording.sha256 = mp3.milliseconds, mp3.sha256
        note = "the recording is silent" if mp3.silent else None
        self._end(session, recording, RecordingStatus.READY, note)
        return True

    def _end(self, session: Session, recording: Recording, status: RecordingStatus, note: str | None) -> None:
        recording.status = status
        recording.error = None if note is None else note[:_LONGEST_NOTE]
        if recording.kept_until is None:
            recording.kept_until = keeping.last_day(self._settings, recording.call.arrived_at)
        settle_recording(session, recording.call, ready=status == RecordingStatus.READY)


def _sentence(error: OSError | SQLAlchemyError) -> str:
    """Describe an error in one line, without the SQL statement."""
    if isinstance(error, DBAPIError):
        return " ".join(str(error.orig).split())
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


_DUE: Prepared[str] = Prepared(
    select(RECORDING.c.call_id)
    .join(CALL)
    # Written so that the database starts with the few open recordings and not with all priced calls.
    .where(
        RECORDING.c.status.in_([literal(each.value) for each in OPEN]),
        CALL.c.status.not_in([literal(each.value) for each in UNFINISHED]),
    )
    .order_by(RECORDING.c.created_at),
    scalar,
)


def due_recordings(connection: Connection) -> list[str]:
    """Return the calls that are priced or closed and whose recording is not finished, oldest first."""
    return _DUE.all(connection, {})


def _read_wav(path: Path) -> Wav | None:
    try:
        return capture.read(path)
    except OSError as error:
        log.warning("%s can't be read: %s", path, error.strerror)
        return None
