"""Limits on the calls in progress, on the consultants being rung for one client, and on the clients for whom one consultant is rung."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from taxiphone.billing.ledger import postings
from taxiphone.directory import clients, consultants, dids
from taxiphone.store.calls import Outcome

SHARED_DID = "+33199001235"
WAITS = ("client hears enter-code: nothing", "at 12: client hangs up")
RINGS = ("client hears recording-choice: press 2", "consultant rings: ignore", "at 60: client hangs up")


@pytest.fixture
def backend():
    return "sqlite"


async def lived(world, calls):
    """Run calls that arrive a second apart, and return their outcomes."""
    tasks = []
    for call in calls:
        tasks.append(asyncio.create_task(world.live(call)))
        await asyncio.sleep(1)
    return [(await task).outcome for task in tasks]


async def test_the_fourth_call_of_a_client_at_once_is_told_so_and_costs_nothing(
    world, arrive, ears, nothing_left
):
    calls = [arrive(*WAITS, dialled=SHARED_DID) for _ in range(4)]
    assert await lived(world, calls) == [Outcome.CALLER_GONE] * 3 + [Outcome.TOO_MANY_CALLS]
    assert ears.of("client").count("other-call") == 1
    nothing_left()
    assert await lived(world, [arrive(*WAITS, dialled=SHARED_DID)]) == [Outcome.CALLER_GONE]


async def test_a_third_consultant_is_not_rung_at_once_for_the_same_client(
    world, arrive, settings, database, ears, nothing_left
):
    def add(session):
        for number in (1, 2):
            added = consultants.add_consultant(
                session,
                settings,
                name=f"Noa {number}",
                phone=f"+3363998002{number}",
                price_per_minute=Decimal("1.55"),
                recording_allowed=True,
            )
            did = f"+3319900124{number}"
            dids.add_number(session, settings, number=did, consultant_code=added.code)

    database.do(add)
    dialled = ("+33199001234", "+33199001241", "+33199001242")
    calls = [arrive(*RINGS, dialled=did) for did in dialled]
    assert await lived(world, calls) == [Outcome.CALLER_GONE] * 2 + [Outcome.TOO_MANY_CALLS]
    assert "other-call" in ears.of("client")
    nothing_left()


async def test_a_consultant_who_is_being_rung_is_busy_to_every_other_client(
    world, arrive, settings, database, ears, nothing_left
):
    other = "+33639980017"

    def add(session):
        client = clients.add_client(session, settings, name="Sacha", phones=[other])
        postings.top_up(session, client.id, 5000, "EUR", "first")

    database.do(add)
    calls = [arrive(*RINGS), arrive(*RINGS, caller=other)]
    assert await lived(world, calls) == [Outcome.CALLER_GONE, Outcome.BUSY]
    assert "busy" in ears.of("client")
    nothing_left()
