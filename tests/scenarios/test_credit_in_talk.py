"""Credit that arrives in a talk, posted by another process such as `taxiphone client top-up`, extends the talk."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from taxiphone.billing.ledger import postings
from taxiphone.directory import clients
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call, CallEvent

DEE = "+33639980018"
MINUTE = 155  # the price of one, in cents
LEFT = "time-left"  # begins the warning


@pytest.fixture
def dee(database, settings):
    """Add a client with credit for three minutes."""

    def add(session):
        client = clients.add_client(session, settings, name="Dee", phones=[DEE])
        postings.top_up(session, client.id, 3 * MINUTE, "EUR", "first")
        return client.id

    return database.do(add)


@pytest.fixture
def pays_in(database, dee, bridged):
    """Return a coroutine that pays in some minutes, so many seconds after the talk has begun."""

    async def pays_in(minutes, after):
        await bridged()
        await asyncio.sleep(after)
        database.do(lambda session: postings.top_up(session, dee, minutes * MINUTE, "EUR", f"at {after}"))

    return pays_in


@pytest.fixture
def bridged(database):
    async def bridged():
        found = select(CallEvent.id).where(CallEvent.what == "bridged").limit(1)
        while database.read(lambda session: session.scalar(found)) is None:
            await asyncio.sleep(0.5)

    return bridged


def call_of(database):
    def look(session):
        call = session.scalars(select(Call)).one()
        _ = call.receipt
        return call

    return database.read(look)


@pytest.mark.parametrize("after", [30, 119, 150, 175], ids="{} s into three minutes".format)
async def test_a_top_up_in_a_talk_extends_it(world, arrive, ears, database, pays_in, nothing_left, after):
    paying = asyncio.create_task(pays_in(2, after))
    ended = await world.live(arrive("talk 270: client hangs up", caller=DEE))
    await paying
    assert ended.outcome == Outcome.TALKED
    call = call_of(database)
    assert (call.status, call.billed_seconds, call.max_seconds) == (Status.RATED, 270, 300)
    assert call.receipt.total == round(270 * MINUTE / 60)
    # Before a top-up that came too late for it, the client was warned of the former end too.
    assert ears.of("client").count(LEFT) == (1 if after < 120 else 2)
    nothing_left()


async def test_without_a_top_up_the_talk_ends_with_the_credit(world, arrive, database, dee, nothing_left):
    assert dee
    await world.live(arrive("talk 600: client hangs up", caller=DEE))
    call = call_of(database)
    assert (call.billed_seconds, call.max_seconds, call.receipt.total) == (180, 180, 3 * MINUTE)
    nothing_left()


async def test_a_talk_can_be_extended_again_and_ends_with_the_credit_that_is_left(
    world, arrive, database, pays_in, nothing_left
):
    paying = [asyncio.create_task(pays_in(1, after)) for after in (30, 200)]
    await world.live(arrive("talk 600: client hangs up", caller=DEE))
    await asyncio.gather(*paying)
    call = call_of(database)
    assert (call.billed_seconds, call.max_seconds, call.receipt.total) == (300, 300, 5 * MINUTE)
    nothing_left()
