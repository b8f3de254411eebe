"""Finds calls whose end is missing in Asterisk's log, and prices them from the program's own call events.

If Asterisk dies, is restarted, or its disk is full, the last rows of a call are missing. Without this, the call's hold would
stay until the next start of the program.
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
    """Prices calls without an end in the log, up to the last evidence of the talk.

    Args:
        meter: the meter, which first reads the log to its end.
        poll_seconds: seconds between polls of `watch`.
    """

    def __init__(self, meter: Meter, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._meter, self._poll_seconds = meter, poll_seconds
        self._known: set[str] = set()
        self._added = asyncio.Event()
        self._turn = asyncio.Lock()

    def add(self, call_ids: Iterable[str]) -> None:
        """Add calls whose channels are gone without an end in the log. `watch` prices them immediately."""
        self._known.update(call_ids)
        if self._known:
            self._added.set()

    async def price(self) -> None:
        """Price the calls that were added.

        Raises:
            SQLAlchemyError: the database can't be reached. `watch` tries again.
            OSError: the log can't be read. `watch` tries again.
        """
        async with self._turn:
            if call_ids := sorted(self._known):
                await self._finish(call_ids)
                self._known.difference_update(call_ids)
            if not self._known:
                self._added.clear()

    async def watch(self, without_legs: Callable[[], Awaitable[set[str]]]) -> None:
        """Price added calls, and poll for other calls without a channel, until cancelled.

        Args:
            without_legs: returns the calls that are not priced and no longer exist in the program or in Asterisk. A call
                is priced when two consecutive polls found it.
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
                log.warning(
                    "calls that were cut off when Asterisk died can't be priced yet; trying again: %s", error
                )
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
                log.info("the poll for calls without an end failed: %s", error)

    async def _price_found(self, call_ids: set[str]) -> None:
        if finished := await self._finish(call_ids):
            log.warning(
                "Asterisk's log has no end of call %s, so it was priced from the program's own events. "
                "Check it with: taxiphone call list. Check the free disk space for the log",
                ", ".join(finished),
            )

    async def _finish(self, call_ids: Iterable[str]) -> list[str]:
        finished = await asyncio.to_thread(self._meter.abandoned, call_ids)
        self._meter.nudge()
        return finished
