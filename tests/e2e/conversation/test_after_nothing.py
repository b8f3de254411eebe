"""With the announcements after the talk and continuation switched off, neither happens."""

from __future__ import annotations

import asyncio

import pytest
import talks
from sqlalchemy import select

from taxiphone.demo.platform import Timing
from taxiphone.store.models import CallEvent

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def timing():
    """Time-outs with announcements after the talk and continuation switched off."""
    return Timing(ring_seconds=10, accept_seconds=4, key_seconds=4, tell_after=False, resume_minutes=0)


async def test_where_nobody_is_told_anything_after_the_talk_both_lines_are_free_at_once(scene):
    async def story(call, phone, other):
        await talks.begin(call)
        await phone.hang_up()
        bill = await talks.priced(call)
        await other.ended()
        await talks.let_go(call)
        assert bill.receipt.total == talks.cents("1.55", bill.call.billed_seconds)

    first, second = scene("fr", recording_allowed=False), scene("en", recording_allowed=False)
    await asyncio.gather(
        story(first, first.client, first.consultant), story(second, second.consultant, second.client)
    )
    assert not first.consultant_ear.all().began("client-hung-up")
    assert not second.client_ear.all().began("consultant-hung-up")
    await first.them.nothing_left()


async def test_after_the_configured_time_a_dropped_call_can_not_be_continued(scene):
    call = scene("fr", recording_allowed=False)
    await talks.begin(call)
    await call.client.drop()
    bill = await talks.priced(call)
    assert bill.call.dropped
    await talks.let_go(call)
    await call.dial()
    await call.platform.marked(call.call_id, "price told")
    assert not call.platform.database.do(
        lambda session: session.scalar(
            select(CallEvent.id).where(
                CallEvent.call_id == call.call_id, CallEvent.what == "going on offered"
            )
        )
    )
    await call.client.hang_up()
    await call.platform.finished(call.call_id)
    await talks.let_go(call)
    await call.them.nothing_left()
