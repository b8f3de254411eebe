"""`taxiphone serve` is killed during talks: Asterisk ends them when the credit runs out, and each is priced once."""

from __future__ import annotations

import asyncio
import signal

import pytest
import talks
from sqlalchemy import func, select

from taxiphone.demo.platform import Timing
from taxiphone.store.models import Posting
from taxiphone.store.types import now

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

RTP_TIMEOUT = 5


@pytest.fixture(scope="module")
def timing():
    """Time-outs that end a silent line soon."""
    return Timing(
        ring_seconds=20, accept_seconds=5, key_seconds=4, rtp_timeout_seconds=RTP_TIMEOUT, one_way_seconds=4
    )


@pytest.fixture(scope="module")
def rtcp_seconds():
    """An interval longer than a talk, because a phone that sends RTCP reports isn't treated as dead."""
    return 60


def charged(call):
    """Return how many times the call was charged."""
    return call.platform.database.do(
        lambda session: session.scalar(
            select(func.count())
            .select_from(Posting)
            .where(Posting.call_id == call.call_id, Posting.kind == "charge")
        )
    )


async def test_the_credit_ends_a_talk_without_the_program_and_a_line_that_died_meanwhile_is_billed_to_its_last_packet(
    scene,
):
    credit = scene("fr", consultant_language="en", price="60.00", credit=6200, recording_allowed=False)
    client_dies, consultant_dies = (scene(recording_allowed=False) for _ in range(2))
    calls = (credit, client_dies, consultant_dies)
    platform = credit.platform
    await talks.at_once(*map(talks.begin, calls))
    for call in calls:
        await platform.marked(call.call_id, "alive")  # with how many packets there had been
    platform.signal(signal.SIGKILL)
    assert await platform.ended() == -signal.SIGKILL
    await asyncio.sleep(2)  # and continue without the program
    await client_dies.client.die()
    client_died = now()
    await consultant_dies.consultant.die()
    consultant_died = now()
    await asyncio.gather(credit.client.ended(90), credit.consultant.ended(90))

    await platform.start()
    bill = await talks.priced(credit)
    assert bill.call.billed_seconds <= bill.call.max_seconds == 62
    assert 60 < bill.talked < 62.5
    assert bill.receipt.total == bill.call.billed_seconds * 100
    assert credit.them.wallet() == credit.them.credit - bill.receipt.total >= 0
    for call, died in ((client_dies, client_died), (consultant_dies, consultant_died)):
        bill = await talks.priced(call)
        assert abs((bill.call.talk_to - died).total_seconds()) < 1.5
        assert bill.receipt.total == talks.cents("1.55", bill.call.billed_seconds)
        assert bill.call.dropped
        await talks.let_go(call)
    assert [charged(call) for call in calls] == [1, 1, 1]
    await platform.stop()
    await platform.start()
    assert [charged(call) for call in calls] == [1, 1, 1]
    await credit.them.nothing_left()
