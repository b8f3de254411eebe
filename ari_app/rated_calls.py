"""Tells a call that the meter has priced it, so that whoever is left on the line can be told the amount."""

from __future__ import annotations

import asyncio
import contextlib


class RatedCalls:
    """Calls that wait to be priced."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Event] = {}

    def expect(self, call_id: str) -> None:
        """Start waiting; call this before the meter is told to read its log."""
        self._waiting.setdefault(call_id, asyncio.Event())

    def rated(self, call_id: str) -> None:
        """The meter has priced a call. On the event loop."""
        if call_id in self._waiting:
            self._waiting[call_id].set()

    async def wait(self, call_id: str, seconds: float) -> None:
        """Return when the call is priced, or after this many seconds."""
        self.expect(call_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._waiting[call_id].wait()

    def forget(self, call_id: str) -> None:
        """Stop waiting."""
        self._waiting.pop(call_id, None)
