"""The meter: follows Asterisk's event log and prices each call that is over.

Asterisk writes the log even while this program isn't running. The rows and the position in the file are committed in one
transaction. Each call is then priced from the stored rows in another one, which sets its final status. So a program that was
killed continues where it was, misses nothing and charges nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from taxiphone.billing.metering import arrivals, cel_files, chunks, log_rotation, missing, unpriced
from taxiphone.billing.metering.call_pricer import CallPricer, calls_over, still_open
from taxiphone.billing.metering.cel_files import LogFile
from taxiphone.settings import Settings
from taxiphone.store.database import Database
from taxiphone.store.types import now

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1  # between two checks of the file's size
_AWAITED_POLL_SECONDS = 0.01  # while a call that has just ended isn't priced yet, because its rows may follow
_AWAITED_SECONDS = 1.0  # how long its rows are expected at any moment
_REMEMBERED = 1_000  # calls that were priced or closed, for which no further row is awaited
_CALM_SECONDS = 0.5  # between two reads of a growing log while no call has just ended
_AGAIN_SECONDS = (
    2.0  # between two checks of the open calls while the log doesn't change, as a call's row may be late
)
_AWAY_SECONDS = 1.0  # until the next attempt if the database or the file can't be reached
# How long to wait for the program to record the end of a talk, which usually takes milliseconds.
PROGRAM_SECONDS = 2.0
_LATE_SECONDS = 2.0  # how long after a channel's end Asterisk may write its last rows


class Meter:
    """Reads `settings.cel_file` and prices calls.

    Args:
        settings: the settings.
        database: the database.
        on_rated: called with a call's id after its price is committed; by `run`, on the event loop. It isn't called if the
            program is killed in between, so a listener that needs every call must query the database when it starts.
        again_seconds: seconds between two attempts to price a call that can't be priced.
        program_seconds: how long to wait for the program to record the end of a talk that it saw begin.
        rotate_bytes: the size at which the log is rotated; None: never.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        on_rated: Callable[[str], None] | None = None,
        *,
        again_seconds: float = unpriced.AGAIN_SECONDS,
        program_seconds: float = PROGRAM_SECONDS,
        rotate_bytes: int | None = log_rotation.ROTATE_BYTES,
    ) -> None:
        self._rotate_bytes, self._rotation_failed = rotate_bytes, False
        self._settings, self._database, self._on_rated = settings, database, on_rated
        self._path = settings.cel_file
        self._nudged = asyncio.Event()
        self._seen: object = None  # the file's state when it was read to its end
        self._current: str | None = None  # the identity of the file that Asterisk writes to
        self._started = False
        self._pricer = CallPricer(database, again_seconds, program_seconds)
        self._turn = threading.Lock()  # the log is read by one thread at a time
        self._arrivals = arrivals.Summary()
        # The calls that have just ended, and until when their rows are expected; and those that need no more rows.
        self._awaited: dict[str, float] = {}
        self._final: deque[str] = deque(maxlen=_REMEMBERED)

    @property
    def awaits_program(self) -> bool:
        """Whether a talk has ended, and the program has not recorded yet how."""
        return self._pricer.awaits_program

    def nudge(self, call_id: str | None = None) -> None:
        """Read the log at once, and again as soon as it grows until the call is priced. Call this on the event loop.

        Args:
            call_id: the call that has just ended, if one has. Nothing is read if it is priced or closed already.
        """
        if call_id in self._final:
            return  # what else the log says about it is read with the next rows, or at the next poll
        if call_id is not None:
            self._awaited[call_id] = time.monotonic() + _AWAITED_SECONDS
        self._nudged.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until `stop` is set, and then read it once more.

        If the database or the file can't be reached, it is tried again later; nothing is lost.
        """
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._nudged.set())
        away, last = False, 0.0
        try:
            while True:
                ending = stop.is_set()
                nudged = self._nudged.is_set()
                self._nudged.clear()
                pause = _AWAITED_POLL_SECONDS if self._awaiting() else _POLL_SECONDS
                try:
                    if nudged or ending or away or self._is_due(time.monotonic() - last):
                        last = time.monotonic()
                        await asyncio.to_thread(self._read)
                        self._announce()
                    self._arrivals.tell()
                    if away:
                        away = False
                        log.warning("the meter works again; nothing was lost")
                except (SQLAlchemyError, OSError) as error:
                    reason = error.orig if isinstance(error, DBAPIError) else error
                    if not away:
                        log.warning(
                            "the meter can't read or write now (%s); it tries again every second", reason
                        )
                    away, pause = True, _AWAY_SECONDS
                if ending:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._nudged.wait()
        finally:
            stopping.cancel()

    def _awaiting(self) -> bool:
        """Whether the rows of a call that has just ended are expected at any moment."""
        at = time.monotonic()
        self._awaited = {call_id: until for call_id, until in self._awaited.items() if until > at}
        return bool(self._awaited)

    def _is_due(self, passed: float) -> bool:
        """Whether to read the log, without having been nudged, when the last read was `passed` seconds ago."""
        if passed >= _AGAIN_SECONDS:
            return True
        return (bool(self._awaited) or passed >= _CALM_SECONDS) and self._seen != self._state()

    def read_once(self) -> int:
        """Read the whole log and price the calls that are over; returns the number of new rows.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database can't be reached; nothing of the current chunk was stored.
            OSError: the file can't be read.
        """
        rows = self._read()
        self._announce()
        return rows

    def abandoned(self, call_ids: Iterable[str], patience: float = _LATE_SECONDS) -> list[str]:
        """Finish calls that have no channels in Asterisk any more. Can be called from any thread, and repeatedly.

        The log is first read to its end and takes precedence. A call that is still open then was cut off when Asterisk died:
        its talk is priced up to the last proof that it continued (`proof.talk_of`) and marked for review. Without a talk, the
        call is closed and its hold released. `run` calls `on_rated` at its next poll.

        Args:
            call_ids: calls without legs in Asterisk. Those that are rated or closed, or could not be priced a moment ago,
                are left as they are.
            patience: seconds to wait for rows that Asterisk may still be writing.

        Returns:
            the calls that were priced or closed although the log doesn't contain their end.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database can't be reached; unfinished calls are unchanged.
            OSError: the log can't be read; no call was finished without it.
        """
        with self._turn:
            ids = self._pricer.due(call_ids)
        if not ids:
            return []
        deadline = time.monotonic() + patience
        while True:
            self._read()
            if not self._database.read(lambda session: session.scalars(still_open(ids)).first()):
                return []
            if time.monotonic() >= deadline:
                break
            time.sleep(_POLL_SECONDS)
        with self._turn:
            return self._pricer.finish_abandoned(ids)

    def _announce(self) -> None:
        while self._pricer.final:
            call_id, receipt = self._pricer.final.pop(0)
            self._awaited.pop(call_id, None)
            self._final.append(call_id)
            if receipt and self._on_rated is not None:
                self._on_rated(call_id)

    def _state(self) -> object:
        """Return a value that changes when Asterisk has written to the file."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino, status.st_size

    # -- reading --------------------------------------------------------------------------------------------------

    def _read(self) -> int:
        with self._turn:
            return self._read_all()

    def _read_all(self) -> int:
        state, current = self._state(), cel_files.identify(self._path)
        identity = None if current is None else current.identity
        files = [] if current is None else [current]
        changed = not self._started or identity != self._current
        if changed:
            # The file has been replaced. The rest of the old one, wherever it was moved, is read first.
            others, unreadable = cel_files.earlier_files(self._path)
            files = [file for file in others if file.identity != identity] + files
            self._database.do(
                lambda session: missing.note(session, self._path, self._current, files, unreadable)
            )
        rows, over = 0, None
        for file in files if state != self._seen or changed else ():
            closed = file.compressed or (file is not current and current is not None)
            more = True
            while more:
                chunk, over = self._read_chunk(file, closed=closed)
                rows, more = rows + chunk.lines, chunk.more and chunk.lines > 0
        self._pricer.price_due(over)
        self._seen, self._current, self._started = state, identity, True
        if (changed or rows) and self._rotate_bytes is not None:
            self._rotate(self._rotate_bytes)
        return rows

    def _rotate(self, rotate_bytes: int) -> None:
        """Rename the log if it is too large, compress renamed files that were read, and delete the oldest."""
        try:
            log_rotation.rotate(self._path, now(), rotate_bytes)
            log_rotation.tidy(
                self._path, lambda path: self._database.read(lambda s: missing.is_read(s, path))
            )
        except OSError as error:
            if not self._rotation_failed:
                log.warning("Asterisk's event log can't be rotated (%s); it keeps growing", error)
            self._rotation_failed = True
        else:
            self._rotation_failed = False

    def _read_chunk(self, file: LogFile, *, closed: bool = False) -> tuple[chunks.Chunk, list[str]]:
        """Store one chunk of a file, in one transaction; return it, and the calls that are over according to it.

        The calls are priced afterwards from the stored rows, so a program that is killed in between prices them later.
        """
        chunk, over = self._database.write_now(
            lambda connection: (
                chunks.store(connection, self._settings, file, closed=closed),
                calls_over(connection),
            )
        )
        self._arrivals.add(chunk.refused, chunk.apologised)
        return chunk, over
