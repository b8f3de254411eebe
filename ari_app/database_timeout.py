"""Database access with a time-out: a caller can't be left in silence for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.exc import TimeoutError as AwayError
from sqlalchemy.orm import Session

from taxiphone.store.database import Database

Result = TypeVar("Result")

SECONDS = 5.0


class DatabaseWithTimeout:
    """Reads and writes for one call, with a time-out.

    A write that takes longer continues in its thread, and may still be committed. `settled` waits for it, so that the last
    write of a call comes after all others.

    Args:
        database: the database.
        seconds: the time-out.
    """

    def __init__(self, database: Database, seconds: float = SECONDS) -> None:
        self._database, self._seconds = database, seconds
        self._late: set[asyncio.Task[Any]] = set()

    async def query(self, work: Callable[[Session], Result]) -> Result:
        """Do `work`, which only reads.

        Raises:
            SQLAlchemyError: the database refused, or did not answer in time.
        """
        return await self._in_time(asyncio.create_task(self._database.query(work)))

    async def run(self, work: Callable[[Session], Result]) -> Result:
        """Do `work` in a transaction.

        Raises:
            SQLAlchemyError: the database refused, or did not answer in time; the work may still be done later.
        """
        return await self._in_time(asyncio.create_task(self._database.run(work)))

    async def run_to_the_end(self, work: Callable[[Session], Result]) -> Result:
        """Do `work` in a transaction, after all late work, and without a time-out.

        Raises:
            SQLAlchemyError: the database refused.
        """
        await self.settled()
        return await self._database.run(work)

    async def settled(self) -> None:
        """Wait until no work is late any more, whether it succeeded or not."""
        if self._late:
            await asyncio.gather(*self._late, return_exceptions=True)

    async def _in_time(self, doing: asyncio.Task[Result]) -> Result:
        self._late.add(doing)
        doing.add_done_callback(self._over)
        done, _ = await asyncio.wait({doing}, timeout=self._seconds)
        if not done:
            raise AwayError(f"the database did not answer in {self._seconds:g} s.")
        return doing.result()

    def _over(self, done: asyncio.Task[Any]) -> None:
        self._late.discard(done)
        if not done.cancelled():
            done.exception()  # whoever waited in vain has said so
