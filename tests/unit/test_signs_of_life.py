"""That talks go on is recorded for all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select

from taxiphone.ari_app.channels import Channels
from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.ari_app.signs_of_life import SignsOfLife, TalkInProgress
from taxiphone.errors import AriTimeoutError
from taxiphone.store.calls import ALIVE
from taxiphone.store.models import CallEvent


class Bridges:
    """An Asterisk that is asked for nothing but its bridges, and does not answer at first."""

    def __init__(self, channels: Mapping[str, list[str]]) -> None:
        self.application = "taxiphone"
        self.asked = 0
        self._channels = channels
        self.thrice = asyncio.Event()

    async def request(self, method: str, path: str, *_: Any) -> Any:
        assert (method, path) == ("GET", "bridges")
        self.asked += 1
        if self.asked == 1:
            raise AriTimeoutError("Asterisk did not answer.")
        if self.asked > 3:
            self.thrice.set()
            await asyncio.Event().wait()
        return [{"id": bridge, "channels": channels} for bridge, channels in self._channels.items()]


@pytest.fixture
def talks(house: Any) -> list[TalkInProgress]:
    house.client(credit=1_000_000)
    house.consultant()
    return [
        TalkInProgress(
            call_id, f"{call_id}.talk", frozenset((f"{call_id}.a", f"{call_id}.b")), lambda: (7, 8)
        )
        for call_id in (house.call(1, 1), house.call(1, 1), house.call(1, 1))
    ]


async def test_all_talks_that_are_still_bridged_are_recorded_with_one_request(
    house: Any, talks: list[TalkInProgress]
) -> None:
    whole, half, gone = talks
    asterisk = Bridges({whole.bridge: sorted(whole.channels), half.bridge: sorted(half.channels)[:1]})
    signs = SignsOfLife(Channels(asterisk), DatabaseWithTimeout(house.database), seconds=0.01)  # type: ignore[arg-type]
    for talk in talks:
        signs.begin(talk)
    async with asyncio.timeout(20):
        await asterisk.thrice.wait()
    for talk in talks:
        signs.end(talk)
    noted = house.database.read(
        lambda session: session.execute(
            select(CallEvent.call_id, CallEvent.detail).where(CallEvent.what == ALIVE)
        ).all()
    )
    assert noted == [(whole.call_id, "packets 7 8")] * 2
    assert gone.call_id not in {call_id for call_id, _ in noted}


async def test_nothing_runs_while_nobody_talks(house: Any, talks: list[TalkInProgress]) -> None:
    signs = SignsOfLife(Channels(Bridges({})), DatabaseWithTimeout(house.database))  # type: ignore[arg-type]
    signs.begin(talks[0])
    assert len(asyncio.all_tasks()) == 2
    signs.end(talks[0])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
