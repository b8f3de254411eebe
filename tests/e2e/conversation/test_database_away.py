"""If the database doesn't respond, the caller hears an announcement at once, and nobody waits in silence."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
import talks

from taxiphone.demo.platform import Timing
from taxiphone.store.calls import Outcome

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

LONGEST_SILENCE = 9  # 5 s for the database, and a busy machine's own


@pytest.fixture(scope="module")
def timing():
    """The usual time-outs, but shorter."""
    return Timing(ring_seconds=10, accept_seconds=5, key_seconds=3)


@contextlib.contextmanager
def away(platform):
    """Lock the database against all other writers."""
    with platform.database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")  # with it begins a transaction that holds the write lock
        yield


async def test_a_caller_hears_failed_if_the_call_can_not_be_stored(scene):
    call = scene(recording_allowed=False)
    with away(call.platform):
        began = time.monotonic()
        await call.client.dial(call.them.did)
        await call.hears("failed", seconds=LONGEST_SILENCE + 10)
        assert time.monotonic() - began < LONGEST_SILENCE + 10
        await call.hears("nothing-charged", "goodbye")
        await call.client.ended(30)
    await call.them.nothing_left()


async def test_both_hear_it_where_what_was_accepted_can_not_be_noted(scene):
    call = scene(recording_allowed=False)
    await call.dial()
    await call.platform.marked(call.call_id, "price told")
    await call.them.press(call.call_id, call.client, "#", "price heard")
    await call.consultant.ringing(30)
    await call.consultant.answer()
    await call.platform.marked(call.call_id, "consultant answered")
    await call.consultant_ear.begins("accept-menu")
    with away(call.platform):
        await call.consultant.press("1")
        await asyncio.gather(
            call.hears("failed", seconds=LONGEST_SILENCE + 5),
            call.consultant_hears("not-after-all", seconds=LONGEST_SILENCE + 5),
        )
        await call.hears("nothing-charged", "goodbye")
        await call.client.ended(20)
    await call.platform.marked(call.call_id, "ended", 40)
    row = await call.platform.finished(call.call_id, 40)
    assert row.outcome == Outcome.FAILED
    assert call.them.wallet() == call.them.credit
    await call.them.nothing_left()


async def test_the_end_of_the_credit_is_announced_even_if_the_database_is_slow(scene):
    call = scene(price="60.00", credit=6100, recording_allowed=False)
    await talks.begin(call)
    await call.platform.marked(call.call_id, "bridging")
    await asyncio.sleep(57)
    with away(call.platform):
        await asyncio.gather(
            call.hears("credit-used-up", seconds=20),
            call.consultant_hears("client-credit-used-up", seconds=20),
        )
    bill = await talks.priced(call)
    assert bill.call.billed_seconds == 61
    await talks.let_go(call)
