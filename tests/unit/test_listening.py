"""One side of a talk that is not heard, by the packets that come from its phone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from taxiphone.ari_app import listening
from taxiphone.ari_app.listening import Listening
from taxiphone.ari_app.router import Leg
from taxiphone.settings import Call
from taxiphone.store.types import now

SETTINGS = Call(one_way_seconds=10, rtp_timeout_seconds=30)


class Clock:
    """The loop's time and the wall clock, moved by each pause; and the packets of both phones."""

    def __init__(self, monkeypatch, **until):
        self.seconds = 0.0
        self.began = now()
        self.until = until  # leg -> seconds of the talk in which it sends: (from, to)
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: self.seconds)
        monkeypatch.setattr(listening, "now", lambda: self.began + timedelta(seconds=self.seconds))
        monkeypatch.setattr(listening.asyncio, "sleep", self.sleep)

    async def sleep(self, seconds):
        self.seconds += seconds
        if self.seconds > 200:
            raise TimeoutError

    async def packets(self, leg):
        start, end = self.until[leg.id]
        return 500 + int(max(0, min(self.seconds, end) - start) * 50)


async def silence(monkeypatch, held=False, **until):
    clock = Clock(monkeypatch, **until)
    client, consultant = Leg("client"), Leg("consultant")
    client.held = held
    found = await Listening(clock, client, consultant, SETTINGS).until_silence()
    monkeypatch.undo()
    until_second = None if found.heard_until is None else (found.heard_until - clock.began).total_seconds()
    return found.leg.id, found.from_the_start, until_second, clock.seconds


@pytest.mark.parametrize("silent", ["client", "consultant"])
async def test_a_side_that_was_never_heard_is_found_after_the_time_of_the_settings(monkeypatch, silent):
    lines = {"client": (0, 1000), "consultant": (0, 1000), silent: (0, 0)}
    leg, from_the_start, heard_until, at = await silence(monkeypatch, **lines)
    assert (leg, from_the_start, heard_until) == (silent, True, None)
    assert 10 <= at <= 12.5


@pytest.mark.parametrize("silent", ["client", "consultant"])
@pytest.mark.parametrize("last", [14.0, 15.3, 61.98])
async def test_a_side_that_falls_silent_is_found_before_asterisks_own_time_out_with_its_last_packet(
    monkeypatch, silent, last
):
    lines = {"client": (0, 1000), "consultant": (0, 1000), silent: (0, last)}
    leg, from_the_start, heard_until, at = await silence(monkeypatch, **lines)
    assert (leg, from_the_start) == (silent, False)
    assert heard_until == pytest.approx(last, abs=0.03)
    assert last + 25 < at < last + 30


async def test_where_neither_is_heard_nothing_is_known(monkeypatch):
    with pytest.raises(TimeoutError):
        await silence(monkeypatch, client=(0, 0), consultant=(0, 0))


async def test_both_lines_lost_at_once_is_nobodys_silence(monkeypatch):
    with pytest.raises(TimeoutError):
        await silence(monkeypatch, client=(0, 20), consultant=(0, 20))


async def test_a_phone_on_hold_is_not_taken_for_a_dead_line(monkeypatch):
    with pytest.raises(TimeoutError):
        await silence(monkeypatch, held=True, client=(0, 20), consultant=(0, 1000))


async def test_two_who_are_heard_are_left_alone(monkeypatch):
    with pytest.raises(TimeoutError):
        await silence(monkeypatch, client=(0, 1000), consultant=(3, 1000))
