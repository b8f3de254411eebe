"""Whatever is cancelled, lost or late: no channel, no bridge and no leg is left behind, and the row says how it ended."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import OperationalError

from taxiphone.ari_app import recovery
from taxiphone.ari_app.consultation import House
from taxiphone.ari_app.router import Router
from taxiphone.ari_app.verbs import Lines
from taxiphone.errors import AriConnectionError, AriTimeoutError, InsufficientFundsError
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call

OWN_DID = "+33199001234"


def nothing_left(ari):
    return (ari.channels, ari.bridges, len(ari.router)) == (set(), set(), 0)


def row(database, call_id):
    return database.do(lambda session: session.get_one(Call, call_id))


def answering(ari, special):
    """Let `special` have the first word on each request of a fake."""
    usual = ari.request

    async def request(method, path, query=None, body=None):
        found = await special(method, path)
        return found if found is not None else await usual(method, path, query, body)

    ari.request = request
    return usual


async def test_a_call_that_is_cancelled_while_it_ends_ends_all_the_same(arrive, fake_ari, database):
    ari = fake_ari(client_gone_at="talk")
    consultation = arrive(ari)

    async def stop(method, path):
        if method == "DELETE" and path.endswith(".consultant"):
            task.cancel()
            await asyncio.sleep(0.02)

    answering(ari, stop)
    task = asyncio.create_task(consultation.run())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert nothing_left(ari)
    assert (row(database, consultation.id).status, row(database, consultation.id).outcome) == (
        "ended",
        "talked",
    )


@pytest.mark.parametrize("first", [True, False], ids=["playback's end first", "hang-up first"])
@pytest.mark.parametrize("prompt", ["busy", "goodbye"])
async def test_a_hang_up_in_the_farewell_leaves_nothing(live, fake_ari, consultant, first, prompt):
    ari = fake_ari(consultant=consultant(does="busy"), client_gone_at=prompt, tells_playback_first=first)
    call = await live(ari)
    assert call.outcome in {Outcome.BUSY, Outcome.CALLER_GONE}


async def test_credit_that_was_spent_meanwhile_frees_the_consultant_even_if_the_client_hangs_up(
    live, fake_ari, monkeypatch
):
    def spent(*_):
        raise InsufficientFundsError("spent by another call")

    monkeypatch.setattr("taxiphone.billing.holds.accept", spent)
    ari = fake_ari(client_gone_at="no-credit", tells_playback_first=False)
    await live(ari)


@pytest.mark.parametrize("error", [AriTimeoutError, AriConnectionError])
async def test_a_phone_that_may_be_ringing_is_hung_up(live, fake_ari, consultant, error):
    ari = fake_ari(consultant=consultant(does="rings"))
    usual = ari.request

    async def request(method, path, query=None, body=None):
        found = await usual(method, path, query, body)
        if (method, path) == ("POST", "channels"):
            raise error("no answer")
        return found

    ari.request = request
    assert (await live(ari)).outcome == Outcome.UNREACHABLE


async def test_a_consultant_who_hangs_up_instead_of_pressing_a_key_is_not_waited_for(
    arrive, fake_ari, consultant, settings
):
    ari = fake_ari(consultant=consultant(key="hang up"))
    consultation = arrive(ari)
    patient = settings.call.model_copy(update={"accept_seconds": 60})
    consultation.settings = settings.model_copy(update={"call": patient})
    async with asyncio.timeout(20):
        assert await consultation.run() == Outcome.NOT_ACCEPTED
    assert nothing_left(ari)


async def test_a_consultant_who_hangs_up_at_the_tone_is_no_fault_and_is_told(live, fake_ari):
    ari = fake_ari()

    async def gone(_method, path):
        if path.endswith("addChannel"):
            ari.hang_up(next(channel for channel in ari.channels if channel.endswith(".consultant")))

    answering(ari, gone)
    call = await live(ari)
    assert call.outcome == Outcome.NOT_ACCEPTED
    assert "not-accepted" in ari.heard["c1"]


async def test_a_command_waits_for_a_lost_connection_to_come_back(live, fake_ari):
    ari = fake_ari(client_gone_at="talk")
    losses = []

    async def lose(method, path):
        if method == "POST" and "/play/" in path and not losses:
            losses.append(path)
            raise AriConnectionError("lost")

    answering(ari, lose)
    assert (await live(ari)).outcome == Outcome.TALKED
    assert losses


async def test_a_database_that_is_away_at_the_end_leaves_no_leg(arrive, fake_ari, monkeypatch):
    ari = fake_ari(client_gone_at="talk")
    consultation = arrive(ari)

    async def away(_outcome):
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr(consultation.record, "ended", away)
    with pytest.raises(OperationalError):
        await consultation.run()
    assert nothing_left(ari)


# -- after a restart ----------------------------------------------------------------------------------------------


@pytest.fixture
def left_talking(database):
    """A call that an earlier process left in the status `talking`."""
    call_id = "261122-aaaaaa"
    database.do(
        lambda session: session.add(
            Call(id=call_id, status=Status.TALKING, client_channel="c1", dialled=OWN_DID, language="en")
        )
    )
    return call_id


@pytest.fixture
def restarted(settings, database, fake_ari):
    """A fake with the legs of that call, and the house of the new process."""

    def restarted(call_id, *, bridged):
        ari = fake_ari()
        ari.router = Router(lambda *_: None)
        legs = ["c1", f"{call_id}.consultant"]
        ari.channels |= set(legs)
        if bridged:
            ari.bridges.add(f"{call_id}.talk")
            ari.joined[f"{call_id}.talk"] = legs
        return ari, House(settings, database, Lines(ari, ari.router))

    return restarted


async def test_a_talk_that_was_found_is_resumed_even_if_the_rest_of_the_recovery_fails(
    left_talking, restarted
):
    ari, house = restarted(left_talking, bridged=True)
    failures = []

    async def fail_once(method, path):
        if method == "GET" and path.startswith("applications") and not failures:
            failures.append(path)
            raise AriTimeoutError("no answer")

    answering(ari, fail_once)
    resumed = []
    with pytest.raises(AriTimeoutError):
        await recovery.recover(house, resumed.append)
    await recovery.recover(house, resumed.append)
    assert [talk.id for talk in resumed] == [left_talking]
    task = asyncio.create_task(resumed[0].resume())
    await asyncio.sleep(0.05)
    ari.hang_up("c1")
    assert await task == Outcome.TALKED
    assert nothing_left(ari)


async def test_two_legs_that_were_never_bridged_are_not_left_in_silence(left_talking, restarted, database):
    ari, house = restarted(left_talking, bridged=False)
    resumed = []
    await recovery.recover(house, resumed.append)
    assert resumed == []
    assert nothing_left(ari)
    assert row(database, left_talking).status == Status.ENDED


async def test_calls_without_a_leg_are_told_of(left_talking, restarted):
    ari, house = restarted(left_talking, bridged=False)
    ari.channels.clear()
    assert await recovery.recover(house, lambda _: None) == {left_talking}
