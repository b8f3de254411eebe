"""The result of a call for every way in which the two people can behave."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import OperationalError

from taxiphone.ari_app import recovery
from taxiphone.ari_app.endings import FAREWELLS
from taxiphone.ari_app.router import Leg, Router
from taxiphone.ari_app.waiting import CallerGoneError, staying
from taxiphone.billing.metering.meter import PROGRAM_SECONDS
from taxiphone.store.calls import Outcome, Status

OWN_DID, SHARED_DID = "+33199001234", "+33199001235"
CLIENT, BLOCKED, POOR = "+33639980001", "+33639980003", "+33639980004"
ENDS = "talk 75: client hangs up"

# what the two do -> what was dialled, by whom, how the call ends, and whether the consultant's phone rang
CASES = {
    "they talk until the client hangs up": ([ENDS], {}, Outcome.TALKED, True),
    "they talk until the consultant hangs up": (["talk 75: consultant hangs up"], {}, Outcome.TALKED, True),
    "they talk until the client presses hash and star": (["talk 75: client presses #*"], {}, Outcome.TALKED, True),
    "they talk until the client's line drops": (["talk 75: client's line drops"], {}, Outcome.TALKED, True),
    "they talk until the consultant's line dies": (["talk 75: consultant's line dies"], {}, Outcome.TALKED, True),
    "they talk until the credit is used up": ([], {}, Outcome.TALKED, True),
    "the code is keyed in with hash": (["client hears enter-code: press 1234#", ENDS], {"dialled": SHARED_DID}, Outcome.TALKED, True),
    "the code is keyed in without hash": (["client hears enter-code: press 1234", ENDS], {"dialled": SHARED_DID}, Outcome.TALKED, True),
    "a wrong code three times": (["client hears enter-code: press 99#"], {"dialled": SHARED_DID}, Outcome.UNKNOWN_CODE, False),
    "nonsense for a code": (["client hears enter-code: press #*#"], {"dialled": SHARED_DID}, Outcome.UNKNOWN_CODE, False),
    "the price is skipped by hash": (["client hears price-is: press #", ENDS], {}, Outcome.TALKED, True),
    "the number is not in service": ([], {"dialled": "+33199009999"}, Outcome.UNKNOWN_NUMBER, False),
    "what was dialled is no number": ([], {"dialled": "100"}, Outcome.UNKNOWN_NUMBER, False),
    "the caller is unknown": ([], {"caller": "+33639989999"}, Outcome.UNKNOWN_CALLER, False),
    "the caller's number is hidden": ([], {"caller": ""}, Outcome.UNKNOWN_CALLER, False),
    "the caller is anonymous": ([], {"caller": "anonymous"}, Outcome.UNKNOWN_CALLER, False),
    "the caller's number could be two numbers": ([], {"caller": "639980001"}, Outcome.UNKNOWN_CALLER, False),
    "the caller's number is the keys of a word": ([], {"caller": "+86282452253"}, Outcome.UNKNOWN_CALLER, False),
    "the client is blocked": ([], {"caller": BLOCKED}, Outcome.BLOCKED, False),
    "the credit is a cent short of the first minute": ([], {"caller": POOR}, Outcome.NO_CREDIT, False),
    "the caller hangs up while it is answered": (["at 0: client hangs up"], {}, Outcome.CALLER_GONE, False),
    "the caller hangs up at the welcome": (["client hears welcome: hang up"], {}, Outcome.CALLER_GONE, False),
    "the caller hangs up at the price": (["client hears price-is: hang up"], {}, Outcome.CALLER_GONE, False),
    "the caller hangs up at the recording's question": (["client hears recording-choice: hang up"], {}, Outcome.CALLER_GONE, False),
    "the caller hangs up while it rings": (["consultant rings: ignore", "ringing 5: client hangs up"], {}, Outcome.CALLER_GONE, True),
    "the caller hangs up at the tone": (["client hears tone-start: hang up"], {}, Outcome.CALLER_GONE, True),
    "the consultant is busy": (["consultant rings: busy"], {}, Outcome.BUSY, True),
    "the consultant declines on the phone": (["consultant rings: decline"], {}, Outcome.REFUSED, True),
    "the consultant's phone can't be reached": (["consultant rings: unreachable"], {}, Outcome.UNREACHABLE, True),
    "nobody answers": (["consultant rings: ignore"], {}, Outcome.NO_ANSWER, True),
    "the consultant presses 3": (["consultant hears accept-menu: press 3"], {}, Outcome.REFUSED, True),
    "a voicemail answers": (["consultant hears accept-menu: nothing"], {}, Outcome.NOT_ACCEPTED, True),
    "a key that means nothing does not accept": (["consultant hears accept-menu: press 0"], {}, Outcome.NOT_ACCEPTED, True),
    "the consultant answers and hangs up": (["consultant hears accept-menu: hang up"], {}, Outcome.NOT_ACCEPTED, True),
}  # fmt: skip


@pytest.mark.parametrize(("script", "numbers", "outcome", "rang"), CASES.values(), ids=CASES.keys())
async def test_the_call_ends_as_its_people_behave(live, world, ears, script, numbers, outcome, rang):
    call = await live(*script, **numbers)
    assert call.outcome == outcome
    assert call.status == (Status.RATED if outcome is Outcome.TALKED else Status.CLOSED)
    asked = world.asterisk.requests
    assert ("POST channels/create" in asked) is rang
    if outcome in FAREWELLS:
        assert set(FAREWELLS[outcome]) <= set(ears.of("client"))
    bridged = any("addChannel" in request for request in asked)
    assert bridged is (outcome is Outcome.TALKED)
    assert (call.tariff is not None) is (bridged or "tone-start" in ears.of("client"))


@pytest.mark.parametrize(
    ("keys", "asked"), [("1", True), ("2", False), ("", False), ("7", False), ("21", False), ("71", True)]
)
async def test_only_the_key_1_asks_for_the_recording(live, ears, keys, asked):
    does = f"press {keys}" if keys else "nothing"
    call = await live(f"client hears recording-choice: {does}", ENDS)
    assert call.recording_asked is asked
    assert ("talk-recorded" in ears.of("consultant")) is asked


async def test_price_and_fee_are_announced_before_any_phone_rings(live, ears):
    await live(ENDS)
    heard = ears.of("client")
    assert heard.index("price-is") < heard.index("recording-offer") < heard.index("connecting")


async def test_a_whole_wallet_is_talked_to_its_last_second_and_no_cent_more(live, ears):
    call = await live()
    assert ears.talked == pytest.approx(call.max_seconds, abs=1)
    assert 4995 <= call.receipt.total <= 5000
    assert "credit-used-up" in ears.of("client")


async def test_asterisk_itself_cuts_at_the_end_of_the_credit_though_the_program_is_dead(
    arrive, world, ears, only_talk_was_charged, wallets
):
    arrived = arrive()
    task = asyncio.create_task(arrived.run())
    while not world.asterisk.core.bridges or ears.talked:
        await asyncio.sleep(1)
    await asyncio.sleep(1)
    world.asterisk.lost = lambda _: True  # nobody hears of anything any more ...

    async def deaf(*_):
        await asyncio.Event().wait()

    world.asterisk.request = deaf  # ... nor can do anything
    while world.asterisk.core.known:
        await asyncio.sleep(1)
    await world.price()
    await asyncio.sleep(PROGRAM_SECONDS)  # the meter waits this long for the program to record the end
    await world.price()
    call = only_talk_was_charged(arrived.id, wallets, ears.talked)
    assert call.receipt.total <= 5000
    assert ears.talked <= call.max_seconds
    del world.asterisk.request
    world.asterisk.lost = lambda _: False
    for leg in world.router.known():
        leg.mark_gone()
    await task


async def test_nothing_is_held_if_nobody_accepted(live):
    call = await live("consultant hears accept-menu: press 3")
    assert call.tariff is None


async def test_a_wait_is_left_when_the_caller_hangs_up():
    leg = Leg("c1")
    asyncio.get_running_loop().call_later(0.01, leg.mark_gone)
    with pytest.raises(CallerGoneError):
        async with staying(leg):
            await asyncio.Event().wait()


async def test_a_cancelled_call_is_cancelled_even_if_the_caller_hangs_up_at_the_same_moment():
    leg = Leg("c1")

    async def life():
        async with staying(leg):
            await asyncio.Event().wait()

    task = asyncio.create_task(life())
    await asyncio.sleep(0)
    leg.mark_gone()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_block_that_ends_by_itself_is_not_disturbed_by_a_later_hang_up():
    leg = Leg("c1")
    async with staying(leg):
        await asyncio.sleep(0)
    leg.mark_gone()
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


async def test_a_database_failure_during_the_call_is_announced_and_costs_nothing(
    live, ears, database, monkeypatch
):
    begin, writes = database.begin, []

    def fail_once(work, *priority):
        writes.append(work)
        if len(writes) == 2:  # the price is about to be announced
            raise OperationalError("UPDATE", {}, Exception("disk I/O error"))
        return begin(work, *priority)

    monkeypatch.setattr(database, "begin", fail_once)
    call = await live()
    assert (call.status, call.outcome, call.tariff) == (Status.CLOSED, Outcome.FAILED, None)
    assert ears.of("client")[-3:] == ["failed", "nothing-charged", "goodbye"]


async def test_a_leg_is_hung_up_once_even_if_it_has_not_gone_when_the_call_ends(arrive, world):
    arrived = arrive(ENDS)
    world.asterisk.lost = lambda event: event["type"] == "ChannelDestroyed"
    await arrived.run()
    hung_up = [request for request in world.asterisk.requests if request.startswith("DELETE channels/")]
    assert len(hung_up) == len(set(hung_up))


async def test_a_playback_whose_end_was_missed_is_not_waited_for(arrive, world, ears):
    arrived = arrive(ENDS)
    world.asterisk.lost = lambda event: (
        event["type"] == "PlaybackFinished" and "price-is" in ears.of("client")
    )
    task = asyncio.create_task(arrived.run())
    while "recording-offer" not in ears.of("client"):
        await asyncio.sleep(60)
        world.asterisk.lost = lambda _: False
        await recovery.reconcile(world.services)
    assert await task == Outcome.TALKED


async def test_legs_that_asterisk_has_not_reported_are_not_treated_as_lost():
    router = Router(lambda *_: None)
    router.open("x.consultant")
    assert router.known() == []
    router.route({"type": "Dial", "peer": {"id": "x.consultant"}, "dialstatus": "RINGING"})
    assert [leg.id for leg in router.known()] == ["x.consultant"]
