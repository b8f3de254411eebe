"""After a dropped line, the client calls again and can continue; both parts are one consultation."""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal

import pytest
import talks
from sqlalchemy import select

from taxiphone.billing.summary import call_summary
from taxiphone.demo.platform import Timing
from taxiphone.store.models import CallEvent

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def timing():
    """Time-outs for a consultant who answers within a few seconds."""
    return Timing(ring_seconds=10, accept_seconds=4, key_seconds=4)


@pytest.fixture(scope="module")
def more_settings():
    """Settings in which a package is charged however short the talk was."""
    return "[billing]\nshort_call_seconds = 1"


async def cut(call, phone, **choices):
    """Let them talk until one line drops, and return the bill. The other side hears why and hangs up."""
    await talks.begin(call, **choices)
    await asyncio.sleep(1.5)  # they talk for this long
    await phone.drop()
    bill = await talks.priced(call)
    assert bill.call.dropped
    await (call.consultant_hears if phone is call.client else call.hears)("line-lost")
    await talks.let_go(call)
    return bill


async def go_on(call, first, price="1.55"):
    """Let the client call again, continue at that price, and hear the total. Return the second part's bill."""
    await call.dial()
    await talks.voice(call.client)
    await call.client_ear.begins("resume-offer")
    await call.press("1")
    speech = call.speech
    await call.hears(
        "resume-costs", "price-is", speech.price_per_minute(Decimal(price), "EUR"), "tax-included"
    )
    await call.hears("connecting")
    await call.consultant.ringing(30)
    await call.consultant.answer()
    await talks.voice(call.consultant)
    await call.consultant_hears("call-resumed", "consultant-call")
    await call.them.press(call.call_id, call.consultant, "1", "accepted")
    await talks.talking(call)
    await asyncio.sleep(1.5)  # they talk for this long
    await call.consultant.hang_up()
    bill = await talks.priced(call)
    assert bill.call.continues_id == first.call.id
    due = call.platform.database.do(lambda session: call_summary(session.connection(), call.call_id))
    assert due.seconds == math.ceil(first.talked + bill.talked)
    await call.hears("consultant-hung-up")
    await call.hears(call.speech.talk_lasted(due.seconds))
    await talks.let_go(call)
    assert call.them.wallet() == call.them.credit - first.receipt.total - bill.receipt.total
    return bill


async def test_a_consultation_whose_line_dropped_continues_where_it_was(in_both_languages):
    async def per_minute(call):
        first = await cut(call, call.client)
        bill = await go_on(call, first, "15.50")
        together = math.ceil(first.talked + bill.talked)
        assert first.receipt.total + bill.receipt.total == talks.cents("15.50", together)

    await in_both_languages(per_minute, price="15.50", recording_allowed=False)


async def test_the_line_may_have_been_the_consultants(in_both_languages):
    async def story(call):
        first = await cut(call, call.consultant)
        await go_on(call, first)

    await in_both_languages(story, recording_allowed=False)


async def test_the_package_is_not_paid_twice_and_free_minutes_count_on_the_sum(scene):
    async def package(call):
        first = await cut(call, call.client, package=True)
        assert first.receipt.total == 2000
        second = await go_on(call, first)
        assert second.receipt.total == 0
        assert second.call.mode == "package"

    async def free_minute(call):
        first = await cut(call, call.client)
        assert first.receipt.total == 0
        second = await go_on(call, first)
        assert second.receipt.total == 0

    everything = {"recording_allowed": False, "package_price": Decimal("20.00"), "package_minutes": 1}
    calls = [
        scene("fr", consultant_language="en", **everything),
        scene("en", free_minutes=1, recording_allowed=False),
    ]
    await talks.at_once(package(calls[0]), free_minute(calls[1]))
    await calls[0].them.nothing_left()


async def offered(call, key=""):
    """Call again, and press a key at the offer to continue. Return whether it came before the price."""
    await call.dial()
    if key:
        await call.client_ear.begins("resume-offer")
        await call.press(key)
    await call.platform.marked(call.call_id, "price told")
    found = call.platform.database.do(
        lambda session: session.scalar(
            select(CallEvent.detail).where(
                CallEvent.call_id == call.call_id, CallEvent.what == "going on offered"
            )
        )
    )
    await talks.let_go(call)
    return found


async def test_who_hung_up_is_offered_nothing_and_who_does_not_want_to_go_on_begins_anew(scene):
    async def hung_up(call):
        await talks.begin(call)
        await call.client.hang_up()
        bill = await talks.priced(call)
        assert not bill.call.dropped
        await talks.let_go(call)
        assert not await offered(call)

    async def anew(call):
        await cut(call, call.client)
        assert await offered(call, "2")
        row = await call.platform.finished(call.call_id)
        assert row.continues_id is None

    calls = [scene("fr", recording_allowed=False) for _ in range(2)]
    await talks.at_once(hung_up(calls[0]), anew(calls[1]))
    await calls[0].them.nothing_left()
