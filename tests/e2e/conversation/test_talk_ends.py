"""How a talk ends before anyone hangs up: keys, a silent line, one that was never heard, the longest talk."""

from __future__ import annotations

import asyncio

import pytest
import talks
from sqlalchemy import select

from taxiphone.demo.platform import Timing
from taxiphone.store.models import CallEvent
from taxiphone.store.types import now

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

BOTH_WAYS = ({"language": "fr", "consultant_language": "en"}, {"language": "en", "consultant_language": "fr"})
WARNED = 52


@pytest.fixture(scope="module")
def timing():
    """Time-outs that detect silence soon, but leave time for a sentence before Asterisk's own time-out."""
    return Timing(
        ring_seconds=10,
        accept_seconds=4,
        key_seconds=3,
        longest_minutes=1,
        warning_seconds=WARNED,
        rtp_timeout_seconds=12,
        one_way_seconds=2,
    )


def why(call):
    """Return the end reason that the program recorded."""
    return call.platform.database.do(
        lambda session: session.scalar(
            select(CallEvent.detail).where(CallEvent.call_id == call.call_id, CallEvent.what == "left")
        )
    )


# -- keys -------------------------------------------------------------------------------------------------------------


async def test_hash_and_star_by_the_client_end_the_talk_and_each_hears_the_amount(scene):
    async def story(call):
        await talks.begin(call)
        await call.press("#*")
        await call.platform.marked(call.call_id, "left")
        assert why(call) == "client's keys"
        bill = await talks.priced(call)
        assert bill.receipt.total == talks.cents("1.55", bill.call.billed_seconds)

        async def client():
            await call.hears("you-ended")
            await call.hears(talks.clients_bill(call, bill), "rate-offer")
            await call.press("5")
            await call.hears("thank-you")
            await call.hears("goodbye")
            await call.client.ended()

        async def consultant():
            await call.consultant_hears("client-hung-up")
            await call.consultant_hears(talks.consultants_bill(call, bill))
            await call.consultant.ended()

        await asyncio.gather(client(), consultant())
        await talks.let_go(call)

    calls = [scene(recording_allowed=False, **languages) for languages in BOTH_WAYS]
    await talks.at_once(*map(story, calls))
    await calls[0].them.nothing_left()


async def test_other_keys_do_not_end_the_talk(scene):
    call = scene("fr", recording_allowed=False)
    await talks.begin(call)
    for keys in ("*#", "1", "#1*", "9", "*"):
        await call.press(keys)
        await asyncio.sleep(0.5)  # they speak between
    await call.consultant.press("#*")
    await asyncio.sleep(0.5)
    assert why(call) is None
    await call.press("#*", pause=700)
    await call.hears("you-ended")
    bill = await talks.priced(call)
    await talks.let_go(call)
    spoken = sum(end - begin for begin, end in talks.tone(call.consultant, call.client.hertz))
    assert 2 < spoken < bill.talked
    await call.them.nothing_left()


# -- a line -----------------------------------------------------------------------------------------------------------


async def test_a_silent_line_ends_the_talk_which_is_billed_to_the_last_packet_and_the_other_side_hears_why(
    scene, rtcp_seconds
):
    async def story(call, *, client):
        silent, other = (call.client, call.consultant) if client else (call.consultant, call.client)
        hears = call.consultant_hears if client else call.hears
        await talks.begin(call)
        await asyncio.sleep(2)  # they talk for this long
        await silent.die()
        died = now()
        await call.platform.marked(call.call_id, "left")
        assert why(call) == ("client's line lost" if client else "consultant's line lost")
        bill = await talks.priced(call)
        await hears("line-lost")
        await hears(
            talks.consultants_bill(call, bill) if client else talks.clients_bill(call, bill), seconds=30
        )
        await talks.let_go(call)
        # Its phone still sends an RTCP report after the sound has ended: so long it is not dead.
        assert -0.5 < (bill.call.talk_to - died).total_seconds() < rtcp_seconds + 0.5
        last = talks.tone(other, silent.hertz)[-1]
        assert bill.talked - (last[1] - last[0]) < rtcp_seconds + 0.5
        assert bill.receipt.total == talks.cents("1.55", bill.call.billed_seconds)
        assert bill.call.dropped

    calls = [scene(recording_allowed=False, **languages) for languages in BOTH_WAYS]
    await talks.at_once(story(calls[0], client=True), story(calls[1], client=False))
    await calls[0].them.nothing_left()


# -- the longest talk -------------------------------------------------------------------------------------------------


async def test_both_hear_the_warning_and_the_end_of_the_longest_talk(scene):
    async def story(call):
        await talks.begin(call)
        await call.platform.marked(call.call_id, "warned")
        await asyncio.gather(
            call.hears(call.speech.time_left(WARNED)),
            call.consultant_hears(call.consultants_speech.time_left(WARNED)),
        )
        await call.platform.marked(call.call_id, "left", 150)
        assert why(call) == "longest talk"
        bill = await talks.priced(call)
        await asyncio.gather(call.hears("longest-reached"), call.consultant_hears("longest-reached"))
        await asyncio.gather(
            call.hears(talks.clients_bill(call, bill)),
            call.consultant_hears(talks.consultants_bill(call, bill)),
        )
        await talks.let_go(call)
        assert 59 < bill.talked < 60
        assert bill.call.billed_seconds == 60
        assert bill.receipt.total == 155

    calls = [scene(recording_allowed=False, **languages) for languages in BOTH_WAYS]
    await talks.at_once(*map(story, calls))
    await calls[0].them.nothing_left()
