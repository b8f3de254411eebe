"""Database access with a time-out, so that a caller isn't left in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import TimeoutError as DatabaseTimeoutError
from sqlalchemy.orm import Session

from taxiphone.store.database import Database
from taxiphone.store.sessions import in_session

Result = TypeVar("Result")

SECONDS = 5.0


class DatabaseWithTimeout:
    """Reads and writes for one call, with a time-out.

    A write that takes longer continues in its thread and may still be committed. `settled` waits for it, so that the last
    write of a call comes after all others.

    Args:
        database: the database.
        seconds: the time-out.
    """

    def __init__(self, database: Database, seconds: float = SECONDS) -> None:
        self._database, self._seconds = database, seconds
        self._late: set[asyncio.Future[Any]] = set()

    async def query(self, work: Callable[[Session], Result]) -> Result:
        """Run `work`, which only reads; see `fetch`."""
        return await self._in_time(asyncio.ensure_future(self._database.query(work)))

    async def fetch(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work`, which only reads.

        Raises:
            SQLAlchemyError: it failed, or the database did not answer in time.
        """
        return await self._in_time(asyncio.ensure_future(self._database.fetch(work)))

    async def run(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction; see `write`."""
        return await self.write(in_session(work))

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in a transaction.

        Raises:
            SQLAlchemyError: it failed, or the database did not answer in time; it may then still be committed later.
        """
        return await self._in_time(self._database.begin(work))

    async def write_to_the_end(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in a transaction, without a time-out, once all late work has finished.

        Raises:
            SQLAlchemyError: it failed.
        """
        await self.settled()
        return await self._database.write(work)

    async def settled(self) -> None:
        """Wait until all late work has finished, whether it succeeded or not."""
        if self._late:
            await asyncio.wait(self._late)

    async def _in_time(self, doing: asyncio.Future[Result]) -> Result:
        self._late.add(doing)
        doing.add_done_callback(self._finished)
        done, _ = await asyncio.wait({doing}, timeout=self._seconds)
        if not done:
            raise DatabaseTimeoutError(f"the database did not answer in {self._seconds:g} s.")
        return doing.result()

    def _finished(self, doing: asyncio.Future[Any]) -> None:
        self._late.discard(doing)
        if not doing.cancelled():
            doing.exception()  # marks it as retrieved: the time-out has been reported already
