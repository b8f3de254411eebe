"""The machine's wall clock is changed during a talk: the actual duration is billed, and the call is for review."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import urllib.request

import pytest
import pytest_asyncio
import talks
from sqlalchemy import select
from stepped import WallClock

from taxiphone.demo.platform import Timing
from taxiphone.demo.story import Set
from taxiphone.dialplan.credentials import ARI_USER, ari_password
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call, CallEvent, Receipt

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

HOUR, QUARTER = 3600, 900
TALKED = 3  # seconds, before a step and after it
A_FEW = 5  # seconds that a busy machine may need for a command
MUCH = 50_000  # of credit, in cents: five hours, more than the longest talk
LITTLE = 5_000  # half an hour


@pytest.fixture(scope="module")
def timing():
    """Time-outs with as few announcements as possible and no warnings."""
    return Timing(ring_seconds=10, accept_seconds=5, key_seconds=2, tell_after=False)


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    """The wall clock of the platform, that is, of `serve` and its Asterisk."""
    return WallClock(tmp_path_factory.mktemp("clock"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def everyone(asterisk, tmp_path_factory, timing, clock):
    """A platform with its own clock, and a public network with the machine's clock."""
    made = Set(tmp_path_factory.mktemp("set"), asterisk, timing=timing)
    try:
        await made.prepare()
        await made.network.start()
        with clock.environment():
            await made.platform.start()
        yield made
    finally:
        await made.stop()
        await made.platform.stop_stray_asterisk()


@pytest.fixture(autouse=True)
def right_again(clock):
    """Set the clock to the machine's time before each talk."""
    clock.set(0)


def why(platform, call_id):
    """Return the end reason that the program recorded."""
    noted = select(CallEvent.detail).where(CallEvent.call_id == call_id, CallEvent.what == "left")
    return platform.database.do(lambda session: session.scalar(noted))


def receipt(platform, call_id):
    found = select(Receipt).where(Receipt.call_id == call_id)
    return platform.database.do(lambda session: session.scalar(found))


async def seconds_left(platform, channel):
    """Return the seconds until Asterisk ends a channel, according to Asterisk."""
    key = base64.b64encode(f"{ARI_USER}:{ari_password(platform.settings)}".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{platform.settings.asterisk.http_port}/ari/channels/{channel}/variable?variable=TIMEOUT(absolute)",
        headers={"Authorization": f"Basic {key}"},
    )
    opened = await asyncio.to_thread(urllib.request.urlopen, request, timeout=10)
    with opened as answer:
        return float(json.load(answer)["value"])


@pytest.mark.parametrize("step", [HOUR, -HOUR])
async def test_a_clock_step_in_a_talk_is_not_billed_and_marked_for_review(cast, clock, step):
    them = cast(credit=MUCH)
    began = time.monotonic()
    call_id = await them.connect(record=False)
    await asyncio.sleep(TALKED)
    clock.set(step)
    await asyncio.sleep(TALKED)
    await them.client.hang_up()
    call = await them.finished(call_id)
    assert (call.status, call.outcome) == (Status.RATED, Outcome.TALKED)
    assert why(them.platform, call_id) == "client"
    assert not call.dropped
    assert 2 * TALKED <= call.billed_seconds < time.monotonic() - began
    assert receipt(them.platform, call_id).total == talks.cents("1.55", call.billed_seconds)
    assert "the wall clock was set" in call.review
    assert them.wallet() == MUCH - talks.cents("1.55", call.billed_seconds)
    await them.nothing_left()


@pytest.mark.parametrize("step", [QUARTER, -QUARTER])
async def test_a_step_neither_shortens_a_talk_nor_lets_it_outlast_its_credit(cast, clock, step):
    """Asterisk's own talk time-out is a time of day, so it must be set again after a step."""
    them = cast(credit=LITTLE)
    call_id = await them.connect(record=False)
    call = them.platform.database.do(lambda session: session.get_one(Call, call_id))
    began = (await them.platform.marked(call_id, "bridging")).monotonic_us / 1e6

    async def wrong_by():
        left = call.max_seconds - (time.monotonic() - began)
        return abs(await seconds_left(them.platform, call.client_channel) - left)

    async with asyncio.timeout(20):
        while await wrong_by() > A_FEW:
            await asyncio.sleep(0.1)
    clock.set(step)
    async with asyncio.timeout(20):
        while await wrong_by() > A_FEW:
            await asyncio.sleep(0.1)
    await them.client.hang_up()
    call = await them.finished(call_id)
    assert call.billed_seconds < QUARTER
    assert "the wall clock was set" in call.review
    await them.nothing_left()


async def test_a_talk_that_a_step_cuts_is_a_dropped_line_and_may_go_on(cast, clock):
    """The clock is set forward past the end of the credit, and Asterisk ends the talk at once."""
    them = cast(credit=LITTLE)
    began = time.monotonic()
    first = await them.connect(record=False)
    await asyncio.sleep(TALKED)
    clock.set(HOUR)
    call = await them.finished(first)
    assert why(them.platform, first) == "cut when the clock was set"
    assert call.dropped
    assert TALKED <= call.billed_seconds < time.monotonic() - began
    assert "the wall clock was set forward" in call.review
    second = await them.dial()
    await them.press(second, them.client, "1", "price told")
    await them.consultant.ringing(60)
    await them.consultant.answer()
    await them.platform.marked(second, "consultant answered")
    await them.press(second, them.consultant, "1", "accepted")
    await them.platform.marked(second, "bridging")
    await asyncio.sleep(TALKED)
    await them.client.hang_up()
    call = await them.finished(second)
    assert (call.status, call.continues_id, call.review) == (Status.RATED, first, None)
    assert why(them.platform, second) == "client"
    await them.nothing_left()
