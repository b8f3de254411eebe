"""Writes to SQLite on one thread: units of work that wait at the same time share one transaction and one commit.

SQLite has one write lock. Threads that compete for it poll, and starve each other at ten calls a second. Here they queue:
each unit runs in a savepoint of the transaction, so that one that fails leaves nothing, and its caller gets an answer only
after the commit. See docs/adr/0018.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from taxiphone.store import driver

Result = TypeVar("Result")

log = logging.getLogger(__name__)

_GROUP_UNITS = 64
_GROUP_SECONDS = 0.02
# Under constant load the lock is left to other processes, such as commands, for a moment. They poll every 3 ms at most.
_BUSY_SECONDS = 0.1
_YIELD_SECONDS = 0.004
_IDLE_SECONDS = 10.0


class Priority(enum.IntEnum):
    """Which units go first."""

    CALLS = 0  # somebody is on the line
    HOUSEKEEPING = 1  # recordings, clean-up


@dataclass
class _Unit:
    """A unit of work, what it returned or raised, and what to do with that after the commit."""

    work: Callable[[Connection], Any]
    answer: Callable[[_Unit], None]
    result: Any = None
    error: BaseException | None = None

    def run(self, connection: Connection) -> None:
        """Do the work in a savepoint. Its outcome is kept here, for after the commit."""
        self.result = self.error = None
        try:
            driver.execute(connection, "SAVEPOINT unit")
            self.result = self.work(connection)
            driver.execute(connection, "RELEASE unit")
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, not to this thread
            self.error = error
            with suppress(DBAPIError):  # a full disk took the savepoint too
                driver.execute(connection, "ROLLBACK TO unit")
                driver.execute(connection, "RELEASE unit")

    def fail(self, error: BaseException) -> None:
        """The work is not done, or its commit is unknown."""
        self.result, self.error = None, error

    def settle(self, future: Future[Any] | asyncio.Future[Any]) -> None:
        """Give the outcome to the future that the caller waits for, unless the caller has gone away."""
        if future.done():
            return
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.result)


class Lane(Executor):
    """The writer as the executor of an event loop: what it is given is a unit of work, and is called with a connection.

    Its futures are the loop's own, which `asyncio.wrap_future` takes as they are. One of a thread's would be made, locked and
    copied for each unit.

    Args:
        writer: where its units are queued.
        priority: theirs.
    """

    def __init__(self, writer: Writer, priority: Priority) -> None:
        self._writer, self._priority = writer, priority

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """See `Writer.submit`. Call this on the event loop."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def answer(unit: _Unit) -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(unit.settle, future)

        self._writer.queue(lambda connection: fn(connection, *args, **kwargs), answer, self._priority)
        return cast("Future[Result]", future)


class Writer:
    """The thread that writes.

    The thread starts with the first unit, and ends when none came for a while.

    Args:
        engine: SQLite's, whose transactions take the write lock when they begin.
        group_seconds: a group takes no further unit after this time.
        on_commit: called on the thread after each commit, with the number of units that it contained.
    """

    def __init__(
        self,
        engine: Engine,
        group_seconds: float = _GROUP_SECONDS,
        on_commit: Callable[[int], None] = lambda _units: None,
    ) -> None:
        self._engine, self._group_seconds, self._on_commit = engine, group_seconds, on_commit
        self._waiting: tuple[deque[_Unit], ...] = tuple(deque() for _ in Priority)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None  # the thread's, kept open between groups
        self._closing = False

    def submit(
        self, work: Callable[[Connection], Result], priority: Priority = Priority.CALLS
    ) -> Future[Result]:
        """Queue a unit of work. Units of one priority are done in the order in which they were submitted.

        Args:
            work: it must have no effect outside the database, since it is done again when a group's commit fails.
            priority: units of calls go before housekeeping.

        Returns:
            a future that is done after the commit. Its errors are the unit's own, or SQLAlchemy's.

        Raises:
            RuntimeError: called from within a unit, which would wait for itself.
        """
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()  # a caller that goes away does not take the work back
        self.queue(work, lambda unit: unit.settle(future), priority)
        return future

    def queue(
        self, work: Callable[[Connection], Any], answer: Callable[[_Unit], None], priority: Priority
    ) -> None:
        """Queue a unit of work; see `submit`. `answer` is called on the thread after the commit."""
        unit = _Unit(work, answer)
        with self._changed:
            if threading.current_thread() is self._thread:
                raise RuntimeError(
                    "a unit of work can't wait for another one; use the connection that it was given"
                )
            self._waiting[priority].append(unit)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="database writer", daemon=True)
                self._thread.start()
            else:
                self._changed.notify()

    def close(self) -> None:
        """Wait until all units are done, and end the thread. A unit that is submitted later starts it again."""
        with self._changed:
            thread, self._closing = self._thread, True
            self._changed.notify()
        if thread is not None:
            thread.join()
        self._closing = False

    # -- on the thread ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        began: float | None = None  # of unbroken work
        while True:
            with self._changed:
                if not any(self._waiting):
                    began = None
                    if not self._closing:
                        self._changed.wait(_IDLE_SECONDS)
                    if not any(self._waiting):
                        self._disconnect()
                        self._thread = None
                        return
            began = began or time.monotonic()
            self._group()
            if time.monotonic() - began >= _BUSY_SECONDS:
                time.sleep(_YIELD_SECONDS)
                began = None

    def _group(self) -> None:
        """Do the units that wait, and those that come meanwhile, in one transaction; then answer their callers."""
        units: list[_Unit] = []
        try:
            kept = self._try_group(units)
        except Exception as error:  # noqa: BLE001 - this thread must live, and the callers must hear of it
            # The transaction could not begin, or nobody knows whether it was committed.
            units = units or list(self._next())
            for unit in units:
                unit.fail(error)
        else:
            if not kept:
                self._disconnect()  # a commit that failed may have left its transaction open
                for unit in units:
                    self._single(unit)
        for unit in units:
            unit.answer(unit)

    def _try_group(self, units: list[_Unit]) -> bool:
        """Run a group; whether it was committed. If not, nothing of it was kept.

        Raises:
            DBAPIError: it could not begin, or its commit is uncertain.
        """
        with self._connected() as connection:
            transaction = connection.begin()
            for unit in self._next():
                units.append(unit)
                unit.run(connection)
                if not _is_open(connection):
                    # A full disk or a read error: SQLite took the whole transaction back.
                    transaction.close()
                    return False
            try:
                transaction.commit()
            except DBAPIError as error:
                if not _certainly_failed(error, connection):
                    raise
                log.info("a group of %d transactions is done again one by one: %s", len(units), error.orig)
                transaction.close()
                return False
        self._on_commit(len(units))
        return True

    def _single(self, unit: _Unit) -> None:
        """Do one unit in a transaction of its own."""
        try:
            with self._engine.connect() as connection, connection.begin() as transaction:
                unit.run(connection)
                if unit.error is not None and transaction.is_active:
                    transaction.rollback()
            self._on_commit(1)
        except Exception as error:  # noqa: BLE001 - as in _group
            unit.fail(unit.error or error)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Yield the thread's connection. Taking one from the engine's pool for each group would cost more than the group's BEGIN."""
        if self._connection is None:
            self._connection = self._engine.connect()
        try:
            yield self._connection
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _next(self) -> Iterator[_Unit]:
        """The units of a group: calls first, but at least one of housekeeping where one waits."""
        calls, housekeeping = self._waiting
        end = time.monotonic() + self._group_seconds
        for _ in range(_GROUP_UNITS):
            if not calls or time.monotonic() >= end:
                break
            yield calls.popleft()
        if housekeeping:
            yield housekeeping.popleft()
        while housekeeping and not calls and time.monotonic() < end:
            yield housekeeping.popleft()


def _certainly_failed(error: DBAPIError, connection: Connection) -> bool:
    """Whether nothing of a failed commit is on the disk: a deferred key did not hold, or there was no space."""
    code = getattr(error.orig, "sqlite_errorcode", 0)
    return _is_open(connection) or code & 0xFF == sqlite3.SQLITE_FULL


def _is_open(connection: Connection) -> bool:
    return driver.raw_of(connection).in_transaction
