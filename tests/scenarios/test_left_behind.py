"""After any cancellation, loss or delay, no channel, bridge or leg is left, and the row has the outcome."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import OperationalError

from taxiphone.ari_app import consultation, recovery
from taxiphone.errors import AriConnectionError, AriRequestError, AriTimeoutError, InsufficientFundsError
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call

ENDS = "talk 75: client hangs up"


def row(database, call_id):
    return database.do(lambda session: session.get_one(Call, call_id))


async def test_a_call_that_is_cancelled_while_it_ends_still_ends(arrive, answering, database, nothing_left):
    arrived = arrive(ENDS)

    async def stop(method, path):
        if method == "DELETE" and path.endswith(".consultant"):
            task.cancel()
            await asyncio.sleep(0.02)

    answering(stop)
    task = asyncio.create_task(arrived.run())
    with pytest.raises(asyncio.CancelledError):
        await task
    nothing_left()
    assert row(database, arrived.id).outcome == Outcome.TALKED


@pytest.mark.parametrize("first", [True, False], ids=["playback's end first", "hang-up first"])
@pytest.mark.parametrize("prompt", ["busy", "goodbye"])
async def test_a_hang_up_in_the_farewell_leaves_nothing(live, world, first, prompt):
    world.asterisk.core.tells_playback_first = first
    call = await live("consultant rings: busy", f"client hears {prompt}: hang up")
    assert call.outcome in {Outcome.BUSY, Outcome.CALLER_GONE}


async def test_credit_that_was_spent_meanwhile_frees_the_consultant_even_if_the_client_hangs_up(
    live, world, monkeypatch
):
    def spent(*_, **__):
        raise InsufficientFundsError("spent by another call")

    monkeypatch.setattr("taxiphone.billing.holds.accept", spent)
    world.asterisk.core.tells_playback_first = False
    await live("client hears no-credit: hang up")


@pytest.mark.parametrize("step", ["create", "dial"])
@pytest.mark.parametrize("error", [AriTimeoutError, AriConnectionError])
async def test_a_phone_that_may_be_ringing_is_hung_up(live, world, error, step):
    usual = world.asterisk.request

    async def request(method, path, query=None, body=None):
        found = await usual(method, path, query, body)
        if method == "POST" and path.endswith(f"/{step}"):
            raise error("no answer")
        return found

    world.asterisk.request = request
    assert (await live("consultant rings: ignore")).outcome == Outcome.UNREACHABLE


async def test_a_consultant_who_hangs_up_instead_of_pressing_a_key_is_not_waited_for(live, ears):
    call = await live("consultant hears accept-menu: hang up")
    assert call.outcome == Outcome.NOT_ACCEPTED
    assert ears.of("consultant").count("accept-menu") == 1


async def test_a_consultant_who_hangs_up_at_the_tone_has_not_accepted_and_the_client_hears_so(
    live, world, answering, ears
):
    async def gone(_method, path):
        if path.endswith("addChannel"):
            lines = world.asterisk.core.known.values()
            world.asterisk.hangs_up(next(line for line in lines if line.id.endswith(".consultant")))

    answering(gone)
    call = await live()
    assert call.outcome == Outcome.NOT_ACCEPTED
    assert "not-accepted" in ears.of("client")


async def test_a_command_waits_for_a_lost_connection_to_come_back(live, answering):
    losses = []

    async def lose(method, path):
        if method == "POST" and "/play/" in path and not losses:
            losses.append(path)
            raise AriConnectionError("lost")

    answering(lose)
    assert (await live(ENDS)).outcome == Outcome.TALKED
    assert losses


async def test_a_database_that_is_away_at_the_end_leaves_no_leg(arrive, nothing_left, monkeypatch):
    arrived = arrive(ENDS)

    async def away(_outcome):
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr(arrived.call.record, "ended", away)
    with pytest.raises(OperationalError):
        await arrived.run()
    nothing_left()


# -- after a restart ----------------------------------------------------------------------------------------------


def looks_at_the_talk(method, path):
    """A moment at which the program checks whether both are in the bridge."""
    return method == "GET" and path.startswith("bridges")


def bridges(_method, path):
    return path.endswith("addChannel")


async def test_a_talk_that_was_found_is_resumed_even_if_a_stray_cannot_be_hung_up_yet(
    killed, world, answering, nothing_left, only_talk_was_charged, ears, wallets
):
    call_id = await killed(looks_at_the_talk, ENDS)
    world.asterisk.lost = lambda _: True
    world.asterisk.arrives("stray", dialled="+33199001234", caller="+33639980001")
    world.asterisk.lost = lambda _: False
    failures = []

    async def fail(method, path):
        if (method, path) == ("DELETE", "channels/stray") and len(failures) < 3:
            failures.append(path)
            raise AriTimeoutError("no answer")

    answering(fail)
    resumed = []
    await recovery.recover(world.services, lambda *talk: resumed.append(talk))
    assert [call.id for call, _ in resumed] == [call_id]
    assert "stray" in world.asterisk.core.known
    await recovery.reconcile(world.services)
    assert await consultation.resume(*resumed[0]) == Outcome.TALKED
    await world.price()
    nothing_left()
    assert only_talk_was_charged(call_id, wallets, ears.talked).billed_seconds == 75


async def test_a_list_of_channels_that_asterisk_cannot_write_stops_no_recovery(
    killed, world, answering, nothing_left, only_talk_was_charged, ears, wallets
):
    call_id = await killed(looks_at_the_talk, ENDS)

    async def unreadable(method, path):
        if (method, path) == ("GET", "channels"):
            raise AriRequestError("Invalid UTF-8 string", 500)

    answering(unreadable)
    resumed = []
    assert await recovery.recover(world.services, lambda *talk: resumed.append(talk)) == set()
    assert [call.id for call, _ in resumed] == [call_id]
    await recovery.reconcile(world.services)
    assert await consultation.resume(*resumed[0]) == Outcome.TALKED
    await world.price()
    nothing_left()
    assert only_talk_was_charged(call_id, wallets, ears.talked).billed_seconds == 75


async def test_two_legs_that_were_never_bridged_are_not_left_in_silence(
    killed, world, database, nothing_left
):
    call_id = await killed(bridges)
    resumed = []
    await recovery.recover(world.services, lambda *talk: resumed.append(talk))
    assert resumed == []
    nothing_left()
    await world.price()
    assert row(database, call_id).status == Status.CLOSED


async def test_calls_without_a_leg_are_reported(killed, world):
    call_id = await killed(looks_at_the_talk, "talk 15: client hangs up")
    for line in tuple(world.asterisk.core.known.values()):
        world.asterisk.core.known.pop(line.id)  # Asterisk has died, and could not write any more
    assert await recovery.recover(world.services, lambda *_: None) == {call_id}
