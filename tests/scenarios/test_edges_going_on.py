"""A consultation continued after the line dropped: who counts as busy, what is announced, and what it can cost."""

from __future__ import annotations

import asyncio

import pytest

from taxiphone.billing.ledger import postings
from taxiphone.directory import clients
from taxiphone.simulate.core import What
from taxiphone.speech.sentences import Speech
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Consultant

OTHER = "+33639980009"
CUT = "talk 70: client's line drops"
GOES_ON = "client hears resume-offer: press 1"


@pytest.fixture
def backend():
    return "sqlite"


@pytest.fixture
def another_client(database, settings):
    """Give another client this much credit in cents, and return their number."""

    def add(credit):
        def work(session):
            client = clients.add_client(session, settings, name="Dee", phones=[OTHER])
            postings.top_up(session, client.id, credit, "EUR", "first")

        database.do(work)
        return OTHER

    return add


def within(sounds, heard):
    """Tell whether these were heard directly one after the other."""
    wanted = [sound.removeprefix("taxiphone/") for sound in sounds]
    return any(heard[at : at + len(wanted)] == wanted for at in range(len(heard)))


async def test_it_has_its_statuses_like_any_other(live, world, arrive, row):
    await live(CUT)
    call, seen = arrive(GOES_ON, "talk 30: client presses #*"), []
    looks = {What.HEARD, What.TALKS, What.LEFT}
    world.asterisk.core.listeners.append(
        lambda happening: seen.append(row(call.id).status) if happening.what in looks else None
    )
    await world.live(call)
    *those_before, last = dict.fromkeys(seen)
    before_the_talk = [Status.RECEIVED, Status.OFFERED, Status.RINGING, Status.ACCEPTED]
    assert those_before == [*before_the_talk, Status.TALKING, Status.OVER]
    assert last == Status.RATED


async def test_another_client_hears_busy_meanwhile(live, world, arrive, another_client, ears):
    await live(CUT)
    call = arrive(GOES_ON, "talk 120: consultant hangs up")
    going_on = asyncio.create_task(world.live(call))
    while not world.asterisk.core.bridges:
        await asyncio.sleep(1)
    ears.heard.clear()
    other = await world.live(arrive(caller=another_client(5000)))
    assert other.outcome == Outcome.BUSY
    assert ears.of("client")[-3:] == ["busy", "nothing-charged", "goodbye"]
    assert (await going_on).outcome == Outcome.TALKED


async def test_both_hear_the_amount_at_once_when_the_client_ends_the_talk_by_keys(
    live, world, arrive, ears, row
):
    await live(CUT)
    ears.heard.clear()
    at = {}

    def listen(happening):
        if happening.what in {What.HEARD, What.PRESSED, What.LEFT}:
            at.setdefault(happening.key or (happening.sounds or ("left",))[0], happening.at)

    world.asterisk.core.listeners.append(listen)
    call = arrive(GOES_ON, "talk 30: client presses #*")
    await world.live(call)
    assert at["left"] - at["*"] < 0.5
    assert at["taxiphone/you-ended"] - at["*"] < 0.5
    assert at["taxiphone/client-hung-up"] - at["*"] < 0.5
    total = row(call.id).billed_seconds + 70
    speech = Speech("en")
    assert within(
        speech.talk_lasted(total) + speech.it_costs(round(total * 155 / 60), "EUR"), ears.of("client")
    )
    assert within(speech.talk_lasted(total), ears.of("consultant"))


async def test_the_client_hears_the_consultant_the_price_and_whether_it_is_recorded(
    live, world, arrive, ears
):
    await live(CUT, "client hears recording-choice: press 1")
    ears.heard.clear()
    call = await world.live(arrive(GOES_ON, "talk 30: client hangs up"))
    assert call.outcome == Outcome.TALKED
    speech, heard = Speech("en"), ears.of("client")
    assert within((*speech.consultant_is(speech.digits("1234")), *speech.prompt("resume-offer")), heard)
    order = [heard.index(prompt) for prompt in ("resume-offer", "resume-costs", "price-is", "recording-yes")]
    assert order == sorted(order)
    assert {"call-resumed", "talk-recorded"} <= set(ears.of("consultant"))


async def test_it_is_not_recorded_if_the_consultant_has_since_forbidden_it(live, world, arrive, ears, change):
    await live(CUT, "client hears recording-choice: press 1")
    ears.heard.clear()
    change(Consultant, recording_allowed=False)
    await world.live(arrive(GOES_ON, "talk 30: client hangs up"))
    assert "recording-yes" not in ears.of("client")
    assert "talk-recorded" not in ears.of("consultant")


async def test_without_credit_for_the_next_minute_no_phone_rings_and_the_balance_is_announced(
    live, world, another_client, ears
):
    caller = another_client(200)
    first = await live("talk 50: client's line drops", caller=caller)
    ears.heard.clear()
    world.asterisk.requests.clear()
    call = await live(GOES_ON, caller=caller)
    assert (call.outcome, call.status) == (Outcome.NO_CREDIT, Status.CLOSED)
    assert "POST channels/create" not in world.asterisk.requests
    left = 200 - first.receipt.total
    assert within(
        (*Speech("en").prompt("no-credit"), *Speech("en").credit_is(left, "EUR")), ears.of("client")
    )


# -- a line that is dead, though nobody has said so ---------------------------------------------------------------


async def test_a_client_whose_line_is_dead_may_go_on_at_once(world, arrive, row, ears, nothing_left):
    dead = arrive("talk 40: client's line dies")
    life = asyncio.create_task(world.live(dead))
    while not any(line.dead_at for line in world.asterisk.core.known.values()):
        await asyncio.sleep(1)
    await asyncio.sleep(8)
    again = arrive(GOES_ON, "talk 20: client hangs up")
    call = await world.live(again)
    assert call.outcome == Outcome.TALKED
    await life
    nothing_left()
    assert row(again.id).continues_id == dead.id
    assert row(dead.id).billed_seconds in {
        40,
        41,
    }  # to the last packet, to which one looked every two seconds
    assert "line-lost" in ears.of("consultant")


async def test_a_client_who_talks_on_another_line_is_not_cut_and_hears_of_the_other_call(
    world, arrive, row, ears
):
    talking = arrive("talk 120: client hangs up")
    life = asyncio.create_task(world.live(talking))
    while not world.asterisk.core.bridges:
        await asyncio.sleep(1)
    ears.heard.clear()
    second = await world.live(arrive())
    assert second.outcome == Outcome.NO_CREDIT  # it is held
    assert {"no-credit", "other-call"} <= set(ears.of("client"))
    assert "resume-offer" not in ears.of("client")
    assert (await life).outcome == Outcome.TALKED
    assert row(talking.id).billed_seconds == 120
