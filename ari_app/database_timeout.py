"""Database access with a time-out, so that a caller isn't left in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.exc import TimeoutError as DatabaseTimeoutError
from sqlalchemy.orm import Session

from taxiphone.store.database import Database

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
        self._late: set[asyncio.Task[Any]] = set()

    async def query(self, work: Callable[[Session], Result]) -> Result:
        """Run `work`, which only reads.

        Raises:
            SQLAlchemyError: it failed, or the database did not answer in time.
        """
        return await self._in_time(asyncio.create_task(self._database.query(work)))

    async def run(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction.

        Raises:
            SQLAlchemyError: it failed, or the database did not answer in time; it may then still be committed later.
        """
        return await self._in_time(asyncio.create_task(self._database.run(work)))

    async def run_to_the_end(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction, without a time-out, once all late work has finished.

        Raises:
            SQLAlchemyError: it failed.
        """
        await self.settled()
        return await self._database.run(work)

    async def settled(self) -> None:
        """Wait until all late work has finished, whether it succeeded or not."""
        if self._late:
            await asyncio.gather(*self._late, return_exceptions=True)

    async def _in_time(self, task: asyncio.Task[Result]) -> Result:
        self._late.add(task)
        task.add_done_callback(self._finished)
        done, _ = await asyncio.wait({task}, timeout=self._seconds)
        if not done:
            raise DatabaseTimeoutError(f"the database did not answer in {self._seconds:g} s.")
        return task.result()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved: the time-out has been reported already
