"""The writes of one call, in order: those that a step waits for, and those that nobody waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.store import calls
from taxiphone.store.calls import Noted
from taxiphone.store.types import moment

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_NOTE_SECONDS = 2.0


class OrderedWrites:
    """Writes to one call's row, and its call events.

    Args:
        database: the database.
        call_id: the call's id.
    """

    def __init__(self, database: DatabaseWithTimeout, call_id: str) -> None:
        self._database, self._id = database, call_id
        self._events: list[Noted] = []
        self._columns: dict[str, object] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, what: str, detail: str | None = None, **columns: object) -> None:
        """Write a call event, and with it columns of the row, soon and in order, without waiting for it.

        It is written in the transaction of the call's next write, or in one of its own after a moment. For what needs not
        be in the database before the next command to Asterisk.
        """
        self._events.append(Noted(what, detail, moment()))
        self._columns |= columns
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_NOTE_SECONDS, self._write_noted)

    async def run(self, work: Callable[[Connection], Result]) -> Result:
        """Do work in a transaction, after what was noted before it.

        Raises:
            SQLAlchemyError: the database refused, or did not answer in time. What was noted is written with the next write;
                if the database was only slow, it may be written twice.
        """
        if self._writing:
            await asyncio.wait(self._writing)
        return await self._write(work)

    async def run_to_the_end(self, work: Callable[[Connection], Result]) -> Result:
        """Do the call's last work, after all other writes and without a time-out.

        Raises:
            SQLAlchemyError: the database refused.
        """
        await self._database.settled()
        return await self._database.write_to_the_end(self._after(*self._take(), work))

    def _write_noted(self) -> None:
        self._timer = None
        task = asyncio.create_task(self._write_now())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write_now(self) -> None:
        try:
            await self._write(lambda _: None)
        except SQLAlchemyError as error:
            log.warning("call %s: a call event could not be written: %s", self._id, error)

    async def _write(self, work: Callable[[Connection], Result]) -> Result:
        events, columns = self._take()
        try:
            return await self._database.write(self._after(events, columns, work))
        except SQLAlchemyError:
            self._events, self._columns = events + self._events, columns | self._columns
            raise

    def _take(self) -> tuple[list[Noted], dict[str, object]]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        taken = self._events, self._columns
        self._events, self._columns = [], {}
        return taken

    def _after(
        self, events: list[Noted], columns: dict[str, object], work: Callable[[Connection], Result]
    ) -> Callable[[Connection], Result]:
        def all_of_it(connection: Connection) -> Result:
            if columns:
                calls.step(connection, self._id, None, **columns)
            if events:
                calls.add_events(connection, self._id, events)
            return work(connection)

        return all_of_it
