"""After a restart, a gap, or the program's end: talks are taken over once, billed as heard, and no leg is left."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import pytest_asyncio
from sqlalchemy import select

from taxiphone.ari_app import consultation, recovery
from taxiphone.ari_app.application import Application
from taxiphone.errors import AriConnectionError, AriTimeoutError
from taxiphone.simulate.people import ScriptedPeople
from taxiphone.simulate.script import deed
from taxiphone.simulate.world import SimulatedSignalling
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call

RECORDED = "client hears recording-choice: press 1"


@pytest.fixture
def backend():
    return "sqlite"


def looks_at_the_talk(method, path):
    """A moment at which the program checks whether both are in the bridge, which it does every ten seconds."""
    return method == "GET" and path.startswith("bridges")


def parts(_method, path):
    return path.endswith("removeChannel")


@pytest.fixture
def taken_over(world):
    """Restart the program, let it take over the only talk, and run that to its end and price it."""

    async def taken_over(found=None):
        resumed = []
        await recovery.recover(world.services, lambda *talk: resumed.append(talk))
        assert len(resumed) == 1
        if found is not None:
            found(resumed[0][0])
        assert await consultation.resume(*resumed[0]) == Outcome.TALKED
        await world.price()

    return taken_over


@pytest_asyncio.fixture
async def application(world, settings, database):
    """Start the application as `taxiphone serve` does, on the simulated Asterisk: `await application()`."""

    running = []

    async def application():
        made = Application(
            settings,
            database,
            ari=world.asterisk,
            recording_control=world.recording_control,
            signalling=SimulatedSignalling(),
            sentence_sounds=world.asterisk.sounds,
            on_end=world.services.on_over,
            on_gone=lambda _: None,
        )
        world.router, world.on_rated = made.router, made.call_rated
        running.append(asyncio.create_task(made.run()))
        await asyncio.sleep(0)
        return made

    yield application
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)


# -- talks that are taken over ------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [-5, -200, 100], ids=["before", "long before", "after"])
async def test_a_line_that_dies_about_a_takeover_is_billed_to_its_last_packet_and_never_called_one_way(
    killed, world, taken_over, row, nothing_left, later
):
    looks = itertools.count(1)

    def looks_once_more(method, path):  # at the first look it has noted how many packets there were
        return looks_at_the_talk(method, path) and next(looks) == 2

    call_id = await killed(looks_once_more, "talk 600: client hangs up")
    line = next(line for line in world.asterisk.core.known.values() if "consultant" not in line.id)
    begun = asyncio.get_running_loop().time() - 20
    await asyncio.sleep(300)
    if later < 0:
        world.asterisk.core.die(line)
        await asyncio.sleep(-later)
        await taken_over()
    else:
        asyncio.get_running_loop().call_later(later, world.asterisk.core.die, line)
        await taken_over()
    nothing_left()
    call = row(call_id)
    assert (call.status, call.outcome, call.fault) == (Status.RATED, Outcome.TALKED, None)
    assert call.receipt.total > 0
    died = line.dead_at - begun
    assert call.billed_seconds == pytest.approx(died, abs=2)


@pytest.mark.parametrize("error", [AriTimeoutError, AriConnectionError])
async def test_a_talk_missing_from_asterisks_first_answer_is_requested_again_and_taken_over(
    killed, world, answering, taken_over, row, nothing_left, error
):
    call_id = await killed(looks_at_the_talk, "talk 600: client hangs up")
    failures = []

    async def fail_once(method, path):
        if looks_at_the_talk(method, path) and not failures:
            failures.append(path)
            raise error("no answer")

    answering(fail_once)
    with pytest.raises(error):
        await recovery.recover(world.services, lambda *_: None)
    await taken_over()
    nothing_left()
    assert row(call_id).billed_seconds == 600


async def test_a_recording_that_was_paused_stays_so_over_a_takeover(killed, world, taken_over, ears):
    await killed(
        looks_at_the_talk,
        RECORDED,
        "talk 4: client presses 0",
        "talk 60: client presses 0",
        "talk 90: client hangs up",
    )
    assert ears.of("consultant")[-1] == "recording-paused"
    assert world.recording_control.muted
    await taken_over()
    assert "recording-resumed" in ears.of("consultant")
    assert ears.of("client").count("recording-paused") == 1
    assert not world.recording_control.muted


async def test_a_talk_that_is_over_is_ended_and_not_taken_over_again(killed, world, row, nothing_left):
    call_id = await killed(parts, "talk 50: client presses #*")
    assert row(call_id).status == Status.OVER
    resumed = []
    await recovery.recover(world.services, lambda *talk: resumed.append(talk))
    assert resumed == []
    nothing_left()
    await world.price()
    call = row(call_id)
    assert (call.status, call.outcome) == (Status.RATED, Outcome.TALKED)
    assert call.billed_seconds in {50, 51}


async def test_a_talk_that_continues_another_is_taken_over_too(killed, live, taken_over, row, nothing_left):
    await live("talk 70: client's line drops")
    call_id = await killed(
        looks_at_the_talk, "client hears resume-offer: press 1", "talk 100: consultant hangs up"
    )
    await taken_over()
    nothing_left()
    assert row(call_id).billed_seconds == 100


async def test_a_channel_that_came_in_a_gap_is_hung_up(world):
    world.asterisk.lost = lambda _: True
    world.asterisk.arrives("stray", dialled="+33199001234", caller="+33639980001")
    world.asterisk.lost = lambda _: False
    await recovery.reconcile(world.services)
    assert not world.asterisk.core.known
    assert len(world.router) == 0


# -- the program's own end ----------------------------------------------------------------------------------------


async def test_a_talk_is_ended_though_the_program_is_ended_while_it_takes_it_over(
    killed, world, application, answering, row, nothing_left
):
    call_id = await killed(looks_at_the_talk, "talk 600: client hangs up")
    asked = asyncio.Event()

    async def slow(method, path):
        if looks_at_the_talk(method, path):
            asked.set()
            await asyncio.sleep(1)

    answering(slow)
    program = await application()
    async with asyncio.timeout(60):
        await asked.wait()
        await program.hang_up_all()
    nothing_left()
    await world.price()
    call = row(call_id)
    assert (call.status, call.outcome) == (Status.RATED, Outcome.TALKED)
    assert call.billed_seconds < 20


async def test_an_asterisk_that_does_not_answer_does_not_hold_up_the_programs_end(
    killed, application, answering
):
    await killed(looks_at_the_talk, "talk 600: client hangs up")

    async def deaf(method, path):
        if looks_at_the_talk(method, path):
            await asyncio.Event().wait()

    answering(deaf)
    program = await application()
    async with asyncio.timeout(10):
        await program.hang_up_all()
    assert program.calls == 0


@pytest.mark.usefixtures("two_phones")
async def test_an_endless_announcement_to_a_phone_does_not_delay_the_programs_end(
    world, application, ears, nothing_left, database
):
    program = await application()
    script = (
        *("consultant rings: answer", "consultant 1 hears accept-menu: after 2, press 1"),
        "consultant 2 hears accept-menu: nothing",
    )
    ScriptedPeople(world.asterisk, map(deed, script), "c1")
    world.asterisk.lost = lambda event: (
        event["type"] == "PlaybackFinished" and ".consultant.2" in event["playback"]["id"]
    )
    world.asterisk.arrives("c1", dialled="+33199001234", caller="+33639980001")
    async with asyncio.timeout(600):
        while not ears.of("consultant 2").count("taken-elsewhere"):
            await asyncio.sleep(1)
    await asyncio.sleep(30)
    assert program.calls == 1
    async with asyncio.timeout(10):
        await program.hang_up_all()
    nothing_left()
    await world.price()
    found = database.read(lambda session: session.scalars(select(Call)).one())
    assert (found.status, found.outcome) == (Status.RATED, Outcome.TALKED)


# -- hold ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missed", ["ChannelHold", "ChannelUnhold"])
async def test_a_hold_that_began_or_ended_in_a_gap_of_the_connection_is_seen_after_it(
    live, world, ears, missed
):
    reconnecting = []

    async def reconnect():
        await asyncio.sleep(10)
        await recovery.reconcile(world.services)

    def lost(event):
        if event["type"] == missed and not reconnecting:
            reconnecting.append(asyncio.create_task(reconnect()))
            return True
        return False

    world.asterisk.lost = lost
    call = await live(
        *("talk 30: consultant holds", "talk 60: consultant comes back", "talk 300: client hangs up")
    )
    await reconnecting[0]
    assert call.outcome == Outcome.TALKED
    held = {"ChannelHold": 20, "ChannelUnhold": 40}[missed]  # seconds, as far as the program knew of it
    assert ears.of("client").count("tone-hold") == pytest.approx(held / 3.2, abs=2)
