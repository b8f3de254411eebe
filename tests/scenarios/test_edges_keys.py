"""Keys during the talk and before it: only `#*` ends the talk at once, whatever else is happening."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from decimal import Decimal

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app import menu
from taxiphone.directory import pins
from taxiphone.errors import AriTimeoutError
from taxiphone.simulate.core import What
from taxiphone.store.calls import ALIVE, Outcome
from taxiphone.store.models import CallEvent, Client, Consultant

RECORDED = "client hears recording-choice: press 1"
PACKAGE = "client hears mode-choice: press 2"
SHARED_DID = "+33199001235"


@pytest.fixture
def backend():
    return "sqlite"


async def test_hash_and_a_late_star_do_nothing(live):
    call = await live(
        *("talk 10: client presses #", "talk 20: client presses *", "talk 30: client presses *#"),
        "talk 100: client hangs up",
    )
    assert call.billed_seconds == 100


async def test_the_end_of_the_talk_does_not_wait_for_a_sentence(live, ears):
    call = await live(RECORDED, "talk 20: client presses 0#*", "talk 60: client hangs up")
    assert call.billed_seconds in {20, 21}
    assert "recording-paused" in ears.of("client")
    assert "you-ended" in ears.of("client")


async def test_the_key_of_a_recorded_talk_does_nothing_in_one_that_is_not(live, world, ears):
    await live("talk 20: client presses 09", "talk 60: client hangs up")
    assert not {"recording-paused", "recording-unchanged"} & set(ears.of("client"))
    assert not world.recording_control.muted


async def test_both_hear_that_a_recording_could_not_be_paused(live, world, ears, monkeypatch):
    async def fails(_channel, _muted):
        return False

    monkeypatch.setattr(world.recording_control, "mute", fails)
    await live(RECORDED, "talk 20: consultant presses 0", "talk 60: client hangs up")
    for who in ("client", "consultant"):
        assert "recording-unchanged" in ears.of(who)
        assert "recording-paused" not in ears.of(who)


@pytest.mark.parametrize("failing", [AriTimeoutError("no answer in 5 s"), ValueError("a fault of ours")])
async def test_a_fault_at_the_key_that_ends_with_the_package_leaves_the_other_keys_working(
    live, world, change, failing
):
    change(Consultant, package_price=Decimal(30), package_minutes=10)
    usual, pressed = world.asterisk.request, []
    world.asterisk.core.listeners.append(
        lambda happening: pressed.append(happening.key) if happening.what is What.PRESSED else None
    )

    async def request(method, path, query=None, body=None):
        if pressed[-1:] == ["9"] and "absolute" in (query or {}).get("variable", ""):
            raise failing
        return await usual(method, path, query, body)

    world.asterisk.request = request
    call = await live(PACKAGE, "talk 560: client presses 9", "talk 580: client presses #*")
    assert call.billed_seconds in {580, 581}


async def test_a_talk_ends_with_the_package_even_if_asterisks_timeout_could_not_be_set(
    live, world, change, ears
):
    change(Consultant, package_price=Decimal(30), package_minutes=10)
    usual, pressed = world.asterisk.request, []
    world.asterisk.core.listeners.append(
        lambda happening: pressed.append(happening.key) if happening.what is What.PRESSED else None
    )

    async def request(method, path, query=None, body=None):
        if pressed[-1:] == ["9"] and "absolute" in (query or {}).get("variable", ""):
            raise AriTimeoutError("no answer in 5 s")
        return await usual(method, path, query, body)

    world.asterisk.request = request
    call = await live(PACKAGE, "talk 560: client presses 9")
    assert call.billed_seconds == 600
    assert call.receipt.total == 3000
    assert "package-over" in ears.of("client")


async def test_a_blocked_database_delays_the_end_by_at_most_a_second(world, arrive, ears):
    arrived = arrive("talk 60: client presses #*")
    record = arrived.call.record
    usual = record.over

    async def slow(*args, **more):
        await asyncio.sleep(5)
        await usual(*args, **more)

    record.over = slow
    assert (await world.live(arrived)).outcome == Outcome.TALKED
    assert ears.talked < 61.5
    assert "talk-lasted" in ears.of("client")


@pytest.mark.parametrize("hash_", ["", "#"])
async def test_a_client_code_and_a_pin_of_eight_digits_may_be_ended_with_hash(live, database, ears, hash_):
    def write(session):
        client = session.get_one(Client, 1)
        client.code, client.pin_hash = "20481632", pins.hash_pin("48025771")

    database.do(write)
    call = await live(
        f"client hears enter-client-code: press 20481632{hash_}",
        f"client hears enter-pin: press 48025771{hash_}",
        *("client hears add-number-offer: press 2", "talk 30: client hangs up"),
        caller="+33639980031",
    )
    assert call.outcome == Outcome.TALKED
    assert "wrong-pin" not in ears.of("client")


# -- what is written down -----------------------------------------------------------------------------------------


async def test_no_log_has_the_number_of_a_person(live, database, caplog):
    caplog.set_level(logging.DEBUG, "taxiphone")
    await live("talk 70: client's line drops")
    await live("client hears resume-offer: press 1", "talk 30: client hangs up")
    await live("consultant rings: unreachable")
    await live(caller="+33639980031")
    database.do(lambda session: session.execute(text("ALTER TABLE client_number RENAME TO away")))
    with contextlib.suppress(SQLAlchemyError):
        await live()
    assert "no such table" in caplog.text
    assert not [number for number in ("39980001", "39980002", "39980031") if number in caplog.text]


async def test_hash_before_the_first_digit_asks_for_the_code_again(live, ears):
    call = await live("client hears enter-client-code: press #", caller="")
    assert ears.of("client").count("enter-client-code") == 3
    assert call.outcome == Outcome.UNKNOWN_CALLER


async def test_silence_at_the_code_ends_the_call_at_once(live, ears):
    await live("client hears enter-client-code: nothing", caller="")
    assert ears.of("client").count("enter-client-code") == 1


async def test_hash_alone_costs_a_try(world, arrive, ears):
    keys = ("client hears enter-client-code: press 99#", "client hears enter-pin: press #")
    call = await world.live(arrive(*keys, caller=""))
    assert call.outcome == Outcome.WRONG_PIN
    assert ears.of("client").count("enter-pin") == 3
    assert ears.of("client").count("enter-client-code") == 1


# -- where the program dies ---------------------------------------------------------------------------------------


async def test_at_each_question_asterisk_gives_the_caller_nearly_the_whole_time(
    live, world, change, database
):
    change(Consultant, package_price=Decimal(30), package_minutes=10)
    database.do(lambda session: setattr(session.get_one(Client, 1), "pin_hash", pins.hash_pin("480257")))
    code = database.read(lambda session: session.get_one(Client, 1).code)
    loop, left = asyncio.get_running_loop(), {}

    def listen(happening):
        if happening.what is What.HEARD:
            timer = happening.channel.timers.get("absolute")
            left[happening.sounds[0].removeprefix("taxiphone/")] = timer.when() - loop.time() if timer else 0

    world.asterisk.core.listeners.append(listen)
    await live(
        *(f"client hears enter-client-code: press {code}#", "client hears enter-pin: press 480257#"),
        *("client hears add-number-offer: press 2", "client hears enter-code: press 1234#"),
        *(PACKAGE, RECORDED, "talk 30: client hangs up"),
        caller="+33639980031",
        dialled=SHARED_DID,
    )
    announcement = 30  # of the two minutes and more that menu_seconds has to spare
    for question in (menu.CLIENT_CODE, menu.PIN, menu.ADD_NUMBER, menu.CODE, menu.SKIP_PRICE, menu.MODE):
        earliest = world.settings.call.menu_seconds - 30 - announcement
        assert earliest <= left[question.name] <= world.settings.call.menu_seconds, question.name


async def test_a_usual_call_sends_few_commands(live, world):
    await live("talk 30: client hangs up")
    asked = Counter(request.rpartition("/")[2].partition("?")[0] for request in world.asterisk.requests)
    assert asked["variable"] <= 5


async def test_that_talks_go_on_is_found_out_for_all_of_them_at_once(live, world, database):
    call = await live("talk 300: client hangs up")
    asked = [request for request in world.asterisk.requests if request.startswith("GET bridges")]
    assert 28 <= len(asked) <= 30
    assert set(asked) == {"GET bridges"}
    noted = select(func.count()).where(CallEvent.call_id == call.id, CallEvent.what == ALIVE)
    assert database.read(lambda session: session.scalar(noted)) in {len(asked), len(asked) - 1}
