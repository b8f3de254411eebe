"""Calls whose end Asterisk's log will never have: found while the program runs, and priced from what the program saw.

Asterisk dies, somebody else restarts it, or its disk is full when it writes: the last rows of a call are then missing, and
its hold would stay until the next start of the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.billing.metering.meter import Meter
from taxiphone.errors import AriError

log = logging.getLogger(__name__)

POLL_SECONDS = 10.0
_AGAIN_SECONDS = 1.0


class AbandonedCalls:
    """Prices calls that nobody will log the end of, to the last proof that they went on.

    Args:
        meter: reads the log to its end first, which has the last word.
        poll_seconds: between two polls of `watch`.
    """

    def __init__(self, meter: Meter, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._meter, self._poll_seconds = meter, poll_seconds
        self._known: set[str] = set()
        self._added = asyncio.Event()
        self._turn = asyncio.Lock()

    def add(self, call_ids: Iterable[str]) -> None:
        """These calls have lost their legs without an end in the log; `watch` prices them at once."""
        self._known.update(call_ids)
        if self._known:
            self._added.set()

    async def price(self) -> None:
        """Price the calls that were added.

        Raises:
            SQLAlchemyError: the database can't be reached; `watch` tries again.
            OSError: the log can't be read; likewise.
        """
        async with self._turn:
            if call_ids := sorted(self._known):
                await self._finish(call_ids)
                self._known.difference_update(call_ids)
            if not self._known:
                self._added.clear()

    async def watch(self, without_legs: Callable[[], Awaitable[set[str]]]) -> None:
        """Price what is added, and poll for other calls without a leg, until cancelled.

        Args:
            without_legs: the calls that are not priced, and that neither the program nor Asterisk has any more. One that
                two polls have found is priced.
        """
        loop = asyncio.get_running_loop()
        before: set[str] = set()
        poll_at = loop.time() + self._poll_seconds
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(poll_at):
                    await self._added.wait()
            try:
                await self.price()
            except (SQLAlchemyError, OSError) as error:
                log.warning("calls that Asterisk's death cut off can't be priced yet: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)
            if loop.time() < poll_at:
                continue
            poll_at = loop.time() + self._poll_seconds
            try:
                found = await without_legs()
                if again := found & before:
                    await self._price_found(again)
                before = found
            except (AriError, SQLAlchemyError, OSError) as error:
                log.info("calls without an end could not be polled for: %s", error)

    async def _price_found(self, call_ids: set[str]) -> None:
        if finished := await self._finish(call_ids):
            log.warning(
                "Asterisk's log has no end of %s: what the program saw of it was priced. "
                "See: taxiphone call list, and whether the disk of the log is full",
                ", ".join(finished),
            )

    async def _finish(self, call_ids: Iterable[str]) -> list[str]:
        finished = await asyncio.to_thread(self._meter.abandoned, call_ids)
        self._meter.nudge()
        return finished
