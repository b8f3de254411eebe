"""The recordings' worker: finds what is to be converted, and brings each to its end in the database.

Every step is in the database before it is done, so a restart goes on where the last run stopped: a recording
that was being converted is converted again under the same name. The WAV goes only when the database says ready.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from taxiphone.billing.rating import settle_recording
from taxiphone.errors import RecordingError
from taxiphone.recordings import capture, convert, keeping
from taxiphone.recordings.capture import OPEN, RecordingStatus, Wav
from taxiphone.recordings.convert import Converter, Job, Mp3
from taxiphone.settings import Settings
from taxiphone.store.calls import FINAL, Status
from taxiphone.store.calls import OPEN as UNFINISHED
from taxiphone.store.database import Database
from taxiphone.store.models import Call, Recording
from taxiphone.store.types import monotonic_us, now

log = logging.getLogger(__name__)

PAUSES = (5.0, 30.0, 180.0, 900.0, 3600.0)  # seconds before the second try, the third ...; then it has failed
WAV_WAIT = timedelta(seconds=60)  # how long a WAV may be missing or unfinished after the first look
_IDLE_SECONDS = 5.0  # nobody nudges for what another process has priced
_WAITING_SECONDS = 0.25  # a call is priced, and Asterisk closes its WAV any moment now
_TIDY_SECONDS = 3600.0
_UNCLAIMED_SECONDS = 60.0  # how long the WAV of a call without a recording is left alone
_LONGEST_NOTE = 200


class RecordingWorker:
    """Converts the recordings of calls that are priced, one after the other, and deletes those whose last day is over.

    Args:
        settings: the platform's.
        database: where the recordings are.
        pauses: seconds between the tries; after the last, the recording has failed.
        wav_wait: how long its WAV may be missing or unfinished after the first look.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        pauses: Sequence[float] = PAUSES,
        wav_wait: timedelta = WAV_WAIT,
    ) -> None:
        self._settings = settings
        self._database = database
        self._pauses = pauses
        self._wav_wait = wav_wait
        self._converter = Converter()
        self._nudged = asyncio.Event()
        self._not_before: dict[str, float] = {}  # call id -> monotonic time of its next try
        self._looked_for: dict[str, int] = {}  # call id -> the monotonic clock at the first look
        self._tidied = -_TIDY_SECONDS
        self._undeletable: set[Path] = set()

    def nudge(self) -> None:
        """Look now: a call was priced. To be called in the event loop."""
        self._nudged.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. A conversion under way is ended then, and done again by the next run."""
        self._looked_for = {}
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
                log.warning(
                    "the recordings could not be looked at, and are tried again: %s", _sentence(error)
                )
            except Exception:
                # The database or the disk is away for a moment: the recordings wait, and nothing else may stop.
                log.exception("the recordings could not be looked at; trying again")
            try:
                await asyncio.wait_for(self._nudged.wait(), pause)
            except TimeoutError:
                continue

    async def _round(self) -> float:
        """Bring every recording that is due one step on; seconds until the next look."""
        # What can't be tidied keeps no recording, and no fee, waiting.
        if time.monotonic() - self._tidied >= _TIDY_SECONDS:
            self._tidied = time.monotonic()
            await self._quietly(self._tidy)
        await self._quietly(self._remove_leftovers)
        due = await self._database.query(due_recordings)
        for call_id in due:
            if self._not_before.get(call_id, 0.0) <= time.monotonic():
                await self._bring_on(call_id)
        self._not_before = {call_id: at for call_id, at in self._not_before.items() if call_id in due}
        self._looked_for = {call_id: at for call_id, at in self._looked_for.items() if call_id in due}
        if not due:
            await self._converter.close()  # idle, it would only hold memory
            return _IDLE_SECONDS
        return _WAITING_SECONDS

    async def _quietly(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(work)
        except (OSError, SQLAlchemyError) as error:
            log.warning("files of recordings could not be tidied up, and are later: %s", _sentence(error))

    async def _bring_on(self, call_id: str) -> None:
        try:
            job = await self._database.run(lambda session: self._next(session, call_id))
            if job is None:
                return
            try:
                mp3 = await self._converter.convert(job)
            except RecordingError as error:
                sentence = str(error)
                log.warning("recording of call %s: %s", call_id, sentence)
                await self._database.run(lambda session: self._tried(session, call_id, sentence))
                return
            done = await self._database.run(lambda session: self._done(session, call_id, mp3))
        except (OSError, SQLAlchemyError) as error:
            log.warning(
                "the recording of call %s could not be brought on, and is tried again: %s",
                call_id,
                _sentence(error),
            )
            self._not_before[call_id] = time.monotonic() + self._pauses[0]
            return
        except Exception:
            # One recording that can't be settled must not keep the others waiting.
            log.exception("the recording of call %s could not be brought on; trying again", call_id)
            self._not_before[call_id] = time.monotonic() + self._pauses[-1]
            return
        if done:
            await asyncio.to_thread(self._unlink, job.wav)
        else:  # somebody deleted the recording meanwhile
            await asyncio.to_thread(self._unlink, job.folder / job.name)

    # -- one transaction each -------------------------------------------------------------------------------------

    def _next(self, session: Session, call_id: str) -> Job | None:
        """What is to be done now: a conversion, or nothing; a WAV that never came is given up here."""
        recording = session.get_one(Recording, call_id, with_for_update=True)
        call = session.get_one(Call, call_id)
        if recording.status not in OPEN:
            return None
        path = wav_of(self._settings, recording)
        if call.status == Status.CLOSED:
            self._end(session, recording, RecordingStatus.EMPTY, None)
            return None
        wav = _look(path)
        if wav is None or not wav.frames:
            # A whole file without a frame was closed: nothing more comes, so nobody's fee need wait.
            if wav is not None or self._waited(call_id) >= self._wav_wait:
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
        """For how long this process has looked for a WAV. After a restart Asterisk gets its time again, to close it."""
        began = self._looked_for.setdefault(call_id, monotonic_us())
        return timedelta(microseconds=monotonic_us() - began)

    def _give_up(self, session: Session, recording: Recording, path: Path, wav: Wav | None) -> None:
        call = recording.call
        if wav is None and path.exists():
            note = f"Asterisk never finished {path.name}; it is kept as it is."
        elif wav is None:
            note = f"Asterisk wrote no {path.name}."
        elif call.talk_from and call.talk_to and call.talk_to - call.talk_from >= timedelta(seconds=1):
            note = "Asterisk recorded nothing of the talk."
        else:
            self._end(session, recording, RecordingStatus.EMPTY, None)
            return
        log.warning("recording of call %s: %s", recording.call_id, note)
        self._end(session, recording, RecordingStatus.FAILED, note)

    def _tried(self, session: Session, call_id: str, sentence: str) -> None:
        """Note a try that did not work; the last one ends the recording, and its fee is given back."""
        recording = session.get_one(Recording, call_id, with_for_update=True)
        if recording.status != RecordingStatus.CONVERTING:
            return
        recording.tries += 1
        if recording.tries > len(self._pauses):
            self._end(session, recording, RecordingStatus.FAILED, sentence)
            return
        recording.status, recording.error = RecordingStatus.CAPTURED, sentence[:_LONGEST_NOTE]
        self._not_before[call_id] = time.monotonic() + self._pauses[recording.tries - 1]

    def _done(self, session: Session, call_id: str, mp3: Mp3) -> bool:
        """The MP3 is in its place: say so and post its fee; False where the recording was deleted meanwhile."""
        recording = session.get_one(Recording, call_id, with_for_update=True)
        if recording.status != RecordingStatus.CONVERTING:
            return False
        recording.milliseconds, recording.sha256 = mp3.milliseconds, mp3.sha256
        note = "nothing can be heard in it" if mp3.silent else None
        self._end(session, recording, RecordingStatus.READY, note)
        return True

    def _end(self, session: Session, recording: Recording, status: RecordingStatus, note: str | None) -> None:
        recording.status = status
        recording.error = None if note is None else note[:_LONGEST_NOTE]
        if recording.kept_until is None:
            recording.kept_until = keeping.last_day(self._settings, recording.call.arrived_at)
        settle_recording(session, recording.call, ready=status == RecordingStatus.READY)

    # -- what is to go --------------------------------------------------------------------------------------------

    def _tidy(self) -> None:
        """Delete what is past its last day, and what a conversion that died has left."""
        convert.clear(self._settings.recordings)
        for call_id in self._database.read(self._expired):
            # Each in a transaction of its own: a file that can't be deleted keeps only its own row.
            try:
                self._database.do(partial(self._delete_expired, call_id=call_id))
            except OSError as error:
                log.warning(
                    "the recording of call %s is past its last day and can't be deleted: %s: %s. It is tried again "
                    "each hour.",
                    call_id,
                    error.filename,
                    error.strerror,
                )

    def _is_expired(self) -> ColumnElement[bool]:
        return and_(
            Recording.status.in_((RecordingStatus.READY, RecordingStatus.FAILED)),
            Recording.kept_until < keeping.local_day(self._settings, now()),
        )

    def _expired(self, session: Session) -> list[str]:
        return list(session.scalars(select(Recording.call_id).where(self._is_expired())))

    def _delete_expired(self, session: Session, *, call_id: str) -> None:
        which = select(Recording).where(Recording.call_id == call_id, self._is_expired()).with_for_update()
        recording = session.scalars(which).one_or_none()
        if recording is not None:
            delete(self._settings, recording)
            log.info(
                "the recording of call %s was kept until %s and is deleted", call_id, recording.kept_until
            )

    def _remove_leftovers(self) -> None:
        """Remove WAVs that are not needed any more; this process may have died between the commit and the file."""
        folder = self._settings.captured
        paths = list(folder.glob("*.wav")) if folder.is_dir() else []
        if not paths:
            return
        for name in self._database.read(lambda session: _leftovers(session, paths)):
            self._unlink(folder / name)

    def _unlink(self, path: Path) -> None:
        """Delete a file that nobody needs; said once where it can't be."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if path not in self._undeletable:
                self._undeletable.add(path)
                log.warning(
                    "%s is not needed any more and can't be deleted: %s. Delete it by hand.",
                    path,
                    error.strerror,
                )


def _sentence(error: OSError | SQLAlchemyError) -> str:
    """What has happened, in one line and without the statement that it happened to."""
    if isinstance(error, DBAPIError):
        return " ".join(str(error.orig).split())
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


def wav_of(settings: Settings, recording: Recording) -> Path:
    """Where the WAV of a recording lies, or lay."""
    return settings.captured / recording.wav


def mp3_of(settings: Settings, recording: Recording) -> Path | None:
    """Where the MP3 of a recording lies; None where there never was one."""
    return None if recording.mp3 is None else settings.recordings / recording.mp3


def delete(settings: Settings, recording: Recording) -> None:
    """Delete a recording's files, then say so in its row: what was paid stays paid.

    Raises:
        OSError: a file can't be deleted; the row says nothing then.
    """
    for path in (mp3_of(settings, recording), wav_of(settings, recording)):
        if path is not None:
            path.unlink(missing_ok=True)
    recording.status = RecordingStatus.DELETED


def due_recordings(session: Session) -> list[str]:
    """The calls that are priced or closed and whose recording has not come to its end, the oldest first."""
    found = (
        select(Recording.call_id)
        .join(Call)
        # Put so that the few open recordings are looked up first, and not all the calls that are priced.
        .where(Recording.status.in_(OPEN), Call.status.not_in(UNFINISHED))
        .order_by(Recording.created_at)
    )
    return list(session.scalars(found))


def _leftovers(session: Session, paths: Sequence[Path]) -> list[str]:
    """The names of the WAVs that nobody waits for; one that belongs to no call of ours is not touched.

    MixMonitor starts before the consultant accepts. Where he does not, its empty file is left, and no recording.
    """
    over = (RecordingStatus.READY, RecordingStatus.EMPTY, RecordingStatus.DELETED)
    names = [path.name for path in paths]
    found = list(
        session.scalars(select(Recording.wav).where(Recording.wav.in_(names), Recording.status.in_(over)))
    )
    quiet = [path.stem for path in paths if _age(path) >= _UNCLAIMED_SECONDS]
    without = select(Call.id).where(
        Call.id.in_(quiet),
        Call.status.in_(FINAL),
        ~select(Recording).where(Recording.call_id == Call.id).exists(),
    )
    return [*found, *(f"{call_id}.wav" for call_id in session.scalars(without))]


def _age(path: Path) -> float:
    """Seconds since it was written to; 0 where it has gone meanwhile."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _look(path: Path) -> Wav | None:
    try:
        return capture.read(path)
    except OSError as error:
        log.warning("%s can't be read: %s", path, error.strerror)
        return None
