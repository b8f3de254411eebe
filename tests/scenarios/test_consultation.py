"""What becomes of a call, for every way in which the two people can behave."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import OperationalError

from taxiphone.ari_app import recovery
from taxiphone.ari_app.consultation import FAREWELLS, House
from taxiphone.ari_app.router import Leg, Router
from taxiphone.ari_app.waiting import CallerGoneError, staying
from taxiphone.billing import ledger
from taxiphone.store.calls import Outcome, Status

OWN_DID, SHARED_DID = "+33199001234", "+33199001235"
CLIENT, BLOCKED, POOR = "+33639980001", "+33639980003", "+33639980004"

# how the client behaves, how the consultant does -> how the call ends, and whether the consultant's phone rang
CASES = {
    "they talk until the client hangs up": ({"gone": "talk"}, {}, Outcome.TALKED, True),
    "they talk until the consultant hangs up": ({"gone": "consultant leaves"}, {}, Outcome.TALKED, True),
    "the code is keyed in with hash": ({"dialled": SHARED_DID, "keys": {"enter-code": "1234#"}, "gone": "talk"}, {}, Outcome.TALKED, True),
    "the code is keyed in without hash": ({"dialled": SHARED_DID, "keys": {"enter-code": "1234"}, "gone": "talk"}, {}, Outcome.TALKED, True),
    "a wrong code three times": ({"dialled": SHARED_DID, "keys": {"enter-code": "99#"}}, {}, Outcome.UNKNOWN_CODE, False),
    "nonsense for a code": ({"dialled": SHARED_DID, "keys": {"enter-code": "**#*#"}}, {}, Outcome.UNKNOWN_CODE, False),
    "the price is skipped by hash": ({"keys": {"price-is": "#"}, "gone": "talk"}, {}, Outcome.TALKED, True),
    "the number is not in service": ({"dialled": "+33199009999"}, {}, Outcome.UNKNOWN_NUMBER, False),
    "what was dialled is no number": ({"dialled": "100"}, {}, Outcome.UNKNOWN_NUMBER, False),
    "the caller is unknown": ({"caller": "+33639989999"}, {}, Outcome.UNKNOWN_CALLER, False),
    "the caller's number is hidden": ({"caller": ""}, {}, Outcome.UNKNOWN_CALLER, False),
    "the caller is anonymous": ({"caller": "anonymous"}, {}, Outcome.UNKNOWN_CALLER, False),
    "the client is blocked": ({"caller": BLOCKED}, {}, Outcome.BLOCKED, False),
    "the credit is a cent short of the first minute": ({"caller": POOR}, {}, Outcome.NO_CREDIT, False),
    "the caller hangs up while it is answered": ({"gone": "answer"}, {}, Outcome.CALLER_GONE, False),
    "the caller hangs up at the welcome": ({"gone": "welcome"}, {}, Outcome.CALLER_GONE, False),
    "the caller hangs up at the price": ({"gone": "price-is"}, {}, Outcome.CALLER_GONE, False),
    "the caller hangs up at the recording's question": ({"gone": "recording-choice"}, {}, Outcome.CALLER_GONE, False),
    "the caller hangs up while it rings": ({"gone": "ring"}, {"does": "rings"}, Outcome.CALLER_GONE, None),
    "the caller hangs up at the tone": ({"gone": "tone-start"}, {}, Outcome.CALLER_GONE, True),
    "the consultant is busy": ({}, {"does": "busy"}, Outcome.BUSY, True),
    "the consultant declines on the phone": ({}, {"does": "declines"}, Outcome.REFUSED, True),
    "the consultant's phone can't be reached": ({}, {"does": "unreachable"}, Outcome.UNREACHABLE, True),
    "nobody answers": ({}, {"does": "rings"}, Outcome.NO_ANSWER, True),
    "the consultant presses 3": ({}, {"key": "3"}, Outcome.REFUSED, True),
    "a voicemail answers": ({}, {"key": ""}, Outcome.NOT_ACCEPTED, True),
    "a key that means nothing does not accept": ({}, {"key": "0"}, Outcome.NOT_ACCEPTED, True),
    "the consultant answers and hangs up": ({}, {"key": "hang up"}, Outcome.NOT_ACCEPTED, True),
}  # fmt: skip


@pytest.mark.parametrize(("client", "consultant_does", "outcome", "rang"), CASES.values(), ids=CASES.keys())
async def test_the_call_ends_as_its_people_behave(
    live, fake_ari, consultant, client, consultant_does, outcome, rang
):
    ari = fake_ari(consultant=consultant(**consultant_does))
    ari.client_keys, ari.client_gone_at = client.get("keys", {}), client.get("gone")
    call = await live(ari, dialled=client.get("dialled", OWN_DID), caller=client.get("caller", CLIENT))
    assert call.outcome == outcome
    assert call.status == Status.ENDED
    if rang is not None:
        assert ("POST channels" in ari.requests) is rang
    if outcome in FAREWELLS:
        said = ari.heard["c1"]
        assert set(FAREWELLS[outcome]) <= set(said)
    bridged = any("addChannel" in request for request in ari.requests)
    assert bridged is (outcome is Outcome.TALKED)
    assert (call.tariff is not None) is (bridged or client.get("gone") == "tone-start")


@pytest.mark.parametrize(
    ("keys", "asked"), [("1", True), ("2", False), ("", False), ("7", False), ("21", False), ("71", True)]
)
async def test_only_the_key_1_asks_for_the_recording(live, fake_ari, keys, asked):
    ari = fake_ari(client_keys={"recording-choice": keys}, client_gone_at="talk")
    call = await live(ari)
    assert call.recording_asked is asked
    consultant_heard = ari.heard[f"{call.id}.consultant"]
    assert ("talk-recorded" in consultant_heard) is asked


async def test_the_price_and_the_fee_are_told_before_anything_rings(live, fake_ari):
    ari = fake_ari(client_gone_at="talk")
    await live(ari)
    heard = ari.heard["c1"]
    assert heard.index("price-is") < heard.index("recording-offer") < heard.index("connecting")


async def test_asterisk_itself_cuts_at_the_end_of_the_credit(live, fake_ari, database):
    ari = fake_ari(client_gone_at="talk")
    call = await live(ari)
    held = database.do(lambda session: ledger.balance(session, ledger.HOLD, call.id))
    assert 4997 <= held <= 5000, "a whole wallet of 50 EUR, to the last second that it pays for"
    assert float(ari.variables["TIMEOUT(absolute)"]) == call.max_seconds - 0.5


async def test_nothing_is_held_where_nobody_accepted(live, fake_ari, consultant, database):
    call = await live(fake_ari(consultant=consultant(key="3")))
    assert call.tariff is None
    assert database.do(lambda session: ledger.balance(session, ledger.HOLD, call.id)) == 0


async def test_a_wait_is_left_when_the_caller_hangs_up():
    leg = Leg("c1")
    asyncio.get_running_loop().call_later(0.01, leg.lost)
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
    leg.lost()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_block_that_ends_by_itself_is_not_disturbed_by_a_later_hang_up():
    leg = Leg("c1")
    async with staying(leg):
        await asyncio.sleep(0)
    leg.lost()
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


async def test_a_database_that_fails_in_the_middle_is_said_and_costs_nothing(
    live, fake_ari, database, monkeypatch
):
    ari = fake_ari()
    look, looks = database.look, []

    async def fail_once(work):
        looks.append(work)
        if len(looks) == 1:
            raise OperationalError("SELECT", {}, Exception("disk I/O error"))
        return await look(work)

    monkeypatch.setattr(database, "look", fail_once)
    call = await live(ari)
    assert (call.status, call.outcome, call.tariff) == (Status.ENDED, Outcome.FAILED, None)
    assert ari.heard["c1"][-3:] == ["failed", "nothing-charged", "goodbye"]


async def test_a_playback_whose_end_was_missed_is_not_waited_for(arrive, fake_ari, settings, database):
    ari = fake_ari(client_gone_at="talk", deaf_at="price-is")
    consultation = arrive(ari)
    task = asyncio.create_task(consultation.run())
    while "price-is" not in ari.heard.get("c1", []):
        await asyncio.sleep(0)
    await recovery.reconcile(House(settings, database, consultation.lines))
    assert await task == Outcome.TALKED


async def test_legs_that_asterisk_has_not_told_of_are_not_taken_for_lost():
    router = Router(lambda *_: None)
    router.open("x.consultant")
    assert router.known() == []
    router.route({"type": "Dial", "peer": {"id": "x.consultant"}, "dialstatus": "RINGING"})
    assert [leg.id for leg in router.known()] == ["x.consultant"]
