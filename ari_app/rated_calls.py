"""Tells a call that the meter has priced it, so that the amount can be announced to anybody still on the line."""

from __future__ import annotations

import asyncio
import contextlib


class RatedCalls:
    """The calls that are waiting to be priced."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Event] = {}

    def expect(self, call_id: str) -> None:
        """Start waiting. Call this before the meter is told to read the log."""
        self._waiting.setdefault(call_id, asyncio.Event())

    def rated(self, call_id: str) -> None:
        """Note that the meter has priced a call. Call this on the event loop."""
        if call_id in self._waiting:
            self._waiting[call_id].set()

    async def wait(self, call_id: str, seconds: float) -> None:
        """Wait until the call is priced, but no longer than `seconds`."""
        self.expect(call_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._waiting[call_id].wait()

    def forget(self, call_id: str) -> None:
        """Stop waiting."""
        self._waiting.pop(call_id, None)
