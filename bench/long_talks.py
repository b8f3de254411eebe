"""Talks that last until they are hung up, and how fast their prices follow."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from sqlalchemy.orm import Session

from taxiphone.bench import traffic
from taxiphone.bench.event_logs import PhoneLog, Talks
from taxiphone.bench.phones import Side
from taxiphone.bench.prices_seen import PricesSeen
from taxiphone.bench.rig import BenchSet, until

# For a call's prompts, its ringing and the consultant's key, even on a slow machine.
_CONNECTED_SECONDS = 30.0
_LOOK_SECONDS = 0.2


class LongTalks:
    """Talks of one side: `async with LongTalks(both, side) as talks: await talks.start(...)`.

    Args:
        both: the test set.
        side: the side that takes the calls.
    """

    def __init__(self, both: BenchSet, side: Side) -> None:
        self._both, self._side = both, side
        self._log, self._talks = PhoneLog(both.phones.cel_file, both.lines), Talks(side.cel_file)
        self._prices = PricesSeen(both.platform.settings.database_url)
        self._newest = 0

    async def __aenter__(self) -> Self:
        await self._both.phones.talk_long(long=True)
        self._newest = await self._both.platform.database.query(traffic.newest_event)
        self._prices.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._prices.__exit__(kind, error, where)
        self._log.close()
        self._talks.close()
        await self._both.phones.talk_long(long=False)
        await self._both.phones.hang_up_all()
        await until(self._both.over, "the long talks end")

    @property
    def talking(self) -> int:
        """The number of talks that have begun."""
        self._talks.read()
        return self._talks.count

    async def start(self, number: int, rate: float, keys: str = "") -> bool:
        """Begin more talks; returns whether all of them talk.

        Args:
            number: how many.
            rate: calls a second.
            keys: what each client presses once the call is answered.
        """
        wanted = len(self._log.calls) + number
        begun = len(self._log.calls)
        await traffic.dial(
            self._both,
            self._side,
            self._log,
            f"long-{self._side.trunk}-{begun}",
            rate=rate,
            calls=number,
            keys=keys,
        )
        end = time.monotonic() + _CONNECTED_SECONDS
        while self.talking < wanted and time.monotonic() < end:
            await asyncio.sleep(_LOOK_SECONDS)
        return self.talking >= wanted

    async def hang_up(self, rate: float) -> None:
        """Let the consultants hang up one after the other.

        Args:
            rate: hang-ups a second.
        """
        self._log.read()
        legs = [call.consultant_leg for call in self._log.calls if call.consultant_leg and not call.hung_up]
        begin = time.monotonic()
        async with asyncio.TaskGroup() as hanging_up:
            for number, leg in enumerate(legs):
                await asyncio.sleep(max(begin + number / rate - time.monotonic(), 0))
                hanging_up.create_task(self._both.phones.hang_up(leg))

    async def priced(self) -> list[float]:
        """Wait until all calls have ended and are priced, for half a minute at most.

        Returns:
            seconds from each hang-up to the commit of the price (bench/traffic.py).
        """
        with suppress(TimeoutError):
            await until(self._over, "the talks end")
        # A price is seen up to 5 ms after its commit, which came before the call counts as over.
        await asyncio.sleep(_LOOK_SECONDS)
        found = await self._both.platform.database.query(self._recorded)
        return traffic.to_price(traffic.match(self._log.calls, found), self._prices.at)

    async def _over(self) -> bool:
        self._log.read()
        return self._log.busy == 0 and await self._both.over()

    def _recorded(self, session: Session) -> dict[str, traffic.Recorded]:
        return traffic.recorded_since(session, self._newest)
