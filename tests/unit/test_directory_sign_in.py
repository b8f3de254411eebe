"""Signing in by code and PIN: what is counted, and which pauses follow, on both databases."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from taxiphone.directory import clients, consultants, dids, pins, sign_in
from taxiphone.directory.sign_in import Authenticator, SignInResult
from taxiphone.settings import Settings
from taxiphone.settings_sections import Call as CallSettings
from taxiphone.settings_sections import Platform, Trunk
from taxiphone.simulate import clock
from taxiphone.store import types
from taxiphone.store.models import Client, ClientNumber, SignIn
from taxiphone.store.types import now

CODE, PIN, NUMBER = "7001", "907134", "+33698765432"
DAY = timedelta(days=1)


def check(house: Any, **keyed: Any) -> tuple[SignInResult, Client | None]:
    return asyncio.run(Authenticator().check(house.database, house.settings, **keyed))


class Door:
    """A client with a PIN, and a caller who signs in."""

    def __init__(self, house: Any) -> None:
        self.house, self.database, self.settings = house, house.database, house.settings
        self.client = house.client()
        self.pin_hash = pins.hash_pin(PIN)
        self.change(pin_hash=self.pin_hash)

    def change(self, **fields: Any) -> None:
        def work(session: Any) -> None:
            client = session.get_one(Client, self.client)
            for key, value in fields.items():
                setattr(client, key, value)

        self.database.do(work)

    def check(self, pin: str = PIN, code: str = CODE, caller: str | None = NUMBER) -> SignInResult:
        checked, client = check(self.house, code=code, pin=pin, caller=caller)
        assert (client is not None) == (checked is SignInResult.RIGHT)
        return checked

    def fail(self, times: int, **keyed: Any) -> None:
        for _ in range(times):
            assert self.check(pin="907135", **keyed) is SignInResult.WRONG

    def paused(self, caller: str | None = NUMBER) -> bool:
        with self.database.reading() as session:
            return sign_in.locked_out(session, caller, now())

    def rows(self) -> dict[str, SignIn]:
        with self.database.reading() as session:
            return {row.key: row for row in session.scalars(select(SignIn))}

    def seconds(self, key: str) -> float:
        row = self.rows()[key]
        return 0 if row.paused_until is None else (row.paused_until - row.last_at).total_seconds()

    def later(self, by: timedelta) -> None:
        """Move everything this much into the past."""

        def work(session: Any) -> None:
            for row in session.scalars(select(SignIn)):
                row.last_at -= by
                if row.paused_until is not None:
                    row.paused_until -= by

        self.database.do(work)

    def numbers(self) -> set[str]:
        with self.database.reading() as session:
            return set(session.scalars(select(ClientNumber.number)))


@pytest.fixture
def door(house: Any) -> Door:
    return Door(house)


def test_the_right_code_and_pin_give_the_client_with_their_numbers(door: Door) -> None:
    checked, client = check(door.house, code=CODE, pin=PIN, caller=None)
    assert checked is SignInResult.RIGHT
    assert client is not None
    assert (client.id, client.numbers) == (door.client, [])
    assert door.rows() == {}


@pytest.mark.parametrize(
    "keyed",
    [
        {"pin": "907135"},
        {"code": "7002"},
        {"code": "7002", "pin": "907135"},
        {"pin": ""},
        {"code": ""},
        {"pin": "9071345"},
        {"pin": "907134 "},
        {"pin": "90713#"},
        {"pin": "٩٠٧١٣٤"},
        {"code": "7001'; --"},
        {"code": "7" * 500},
        {"pin": "9" * 500},
        {"code": "7001\x00"},
    ],
)
def test_any_other_input_is_wrong_and_counts_against_the_number(door: Door, keyed: dict[str, str]) -> None:
    assert door.check(**keyed) is SignInResult.WRONG
    assert door.rows()[f"number:{NUMBER}"].failures == 1
    assert door.check() is SignInResult.RIGHT


def test_a_client_without_a_pin_can_not_sign_in(door: Door) -> None:
    door.change(pin_hash=None)
    assert door.check() is SignInResult.WRONG
    assert door.check(pin="") is SignInResult.WRONG


def test_the_last_try_starts_the_pause_and_then_even_the_right_pin_is_refused(door: Door) -> None:
    door.fail(2)
    assert not door.paused()
    door.fail(1)
    assert door.paused()
    assert door.check() is SignInResult.LOCKED_OUT
    assert {row.failures for row in door.rows().values()} == {3}


def test_the_right_pin_at_the_last_try_is_right(door: Door) -> None:
    door.fail(2)
    assert door.check() is SignInResult.RIGHT
    assert door.rows() == {}
    door.fail(2)
    assert not door.paused()


def test_after_the_pause_the_right_pin_is_right_and_counts_from_nothing(door: Door) -> None:
    door.fail(3)
    door.later(timedelta(seconds=60))
    assert not door.paused()
    assert door.check() is SignInResult.RIGHT
    door.fail(2)
    assert not door.paused()


def test_setting_the_clock_back_locks_nobody_out(door: Door) -> None:
    door.fail(3)
    assert door.paused()
    back = now() - timedelta(hours=1)
    with types.using_clocks(lambda: back):
        assert not door.paused()
        assert door.check(pin="907135") is SignInResult.WRONG  # one more try, and the pause begins anew
        assert door.paused()
        assert door.rows()[f"number:{NUMBER}"].failures == 4
        assert door.rows()[f"number:{NUMBER}"].paused_until == back + timedelta(seconds=120)
    with types.using_clocks(lambda: back - timedelta(hours=1)):
        assert door.check() is SignInResult.RIGHT


def test_the_pause_ends_at_its_second_not_before(door: Door) -> None:
    door.fail(3)
    until = door.rows()[f"number:{NUMBER}"].paused_until
    assert until is not None
    with door.database.reading() as session:
        assert sign_in.locked_out(session, NUMBER, until - timedelta(microseconds=1))
        assert not sign_in.locked_out(session, NUMBER, until)


def test_the_pause_doubles_to_an_hour_for_the_code_and_a_day_for_the_number(door: Door) -> None:
    door.fail(3)
    seen = []
    for _ in range(12):
        seen.append((door.seconds(f"number:{NUMBER}"), door.seconds(f"code:{CODE}")))
        door.later(DAY)
        door.fail(1)
    assert [number for number, _ in seen] == [60 * 2**n for n in range(11)] + [86_400]
    assert [code for _, code in seen] == [60 * 2**n for n in range(6)] + [3600] * 6


@given(
    tries=st.integers(1, 10),
    first=st.integers(1, 3600),
    failures=st.integers(0, 10_000),
    longest=st.sampled_from([timedelta(hours=1), DAY]),
)
def test_a_pause_never_shrinks_never_passes_its_longest_and_begins_with_the_last_try(
    tries: int, first: int, failures: int, longest: timedelta
) -> None:
    settings = Settings(
        platform=Platform(cli="+33199000000"),
        trunk=Trunk(host="127.0.0.1"),
        call=CallSettings(code_tries=tries, pin_pause_seconds=first),
    )
    wait = sign_in.lockout_seconds(settings, failures, longest)
    after = sign_in.lockout_seconds(settings, failures + 1, longest)
    assert (wait == 0) == (failures < tries)
    assert 0 <= wait <= after <= longest.total_seconds()
    assert sign_in.lockout_seconds(settings, tries, longest) == first
    if wait:
        assert after == min(2 * wait, longest.total_seconds())


def test_a_number_is_paused_across_codes_and_a_code_across_numbers(door: Door) -> None:
    for code in ("9001", "9002", "9003"):
        door.fail(1, code=code)
    assert door.check() is SignInResult.LOCKED_OUT
    assert door.check(caller="+33144556677") is SignInResult.RIGHT
    for caller in ("+33144556601", "+33144556602", None):
        door.fail(1, caller=caller)
    assert door.check(caller="+33144556677") is SignInResult.LOCKED_OUT
    assert door.check(caller=None) is SignInResult.LOCKED_OUT
    assert not door.paused("+33144556677")


@pytest.mark.parametrize("caller", [None, "", "anonymous", "33698765432", "+33x", "+" + "3" * 40])
def test_a_caller_without_a_known_number_is_never_paused_but_the_code_is(
    door: Door, caller: str | None
) -> None:
    door.fail(3, caller=caller)
    assert set(door.rows()) == {f"code:{CODE}"}
    assert not door.paused(caller)
    assert door.check(caller=caller) is SignInResult.LOCKED_OUT


def test_a_pause_does_not_reveal_which_codes_exist(door: Door) -> None:
    door.fail(3, code="9001", caller=None)
    assert door.check(code="9001", caller=None) is SignInResult.LOCKED_OUT


def test_what_is_older_than_thirty_days_is_forgotten(door: Door) -> None:
    for code in ("9001", "9002", "9003"):
        door.fail(1, code=code)
    door.later(timedelta(days=30, seconds=1))
    door.fail(1, code="9004", caller=None)
    assert set(door.rows()) == {"code:9004"}


def test_unlocking_ends_the_pauses_of_only_that_clients_code_and_numbers(door: Door) -> None:
    assert door.database.do(lambda session: sign_in.add_number(session, door.settings, door.client, NUMBER))
    door.fail(3)
    door.fail(3, code="9001", caller="+33144556677")

    def work(session: Any) -> list[str]:
        client = session.get_one(Client, door.client)
        theirs = select(SignIn.key).where(SignIn.key.in_(sign_in.keys_of(client))).order_by(SignIn.key)
        before = list(session.scalars(theirs))
        sign_in.reset_failures(session, client)
        return before

    assert door.database.do(work) == [f"code:{CODE}", f"number:{NUMBER}"]
    assert set(door.rows()) == {"code:9001", "number:+33144556677"}
    assert door.check() is SignInResult.RIGHT


def test_many_wrong_pins_at_once_are_no_more_tries_than_one_after_the_other(door: Door) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: door.check(pin="907135"), range(16)))
    assert answers.count(SignInResult.WRONG) == 3
    assert answers.count(SignInResult.LOCKED_OUT) == 13
    assert {row.failures for row in door.rows().values()} == {3}


def test_no_count_is_lost_where_many_fail_at_once(house: Any) -> None:
    house.settings = house.settings.model_copy(update={"call": CallSettings(code_tries=10)})
    door = Door(house)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: door.check(pin="907135", code=f"900{n % 3}"), range(9)))
    assert answers == [SignInResult.WRONG] * 9
    rows = {key: row.failures for key, row in door.rows().items()}
    assert rows == {f"number:{NUMBER}": 9, "code:9000": 3, "code:9001": 3, "code:9002": 3}


def test_concurrent_right_and_wrong_pins_each_get_an_answer(house: Any) -> None:
    house.settings = house.settings.model_copy(update={"call": CallSettings(code_tries=10)})
    door = Door(house)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: door.check(pin=PIN if n % 2 else "907135"), range(8)))
    assert answers == [SignInResult.WRONG, SignInResult.RIGHT] * 4


def test_a_number_signed_in_from_is_added_once_and_then_needs_no_pin(door: Door) -> None:
    for _ in range(2):
        assert door.database.do(
            lambda session: sign_in.add_number(session, door.settings, door.client, NUMBER)
        )
    with door.database.reading() as session:
        found = clients.client_calling(session, NUMBER)
        assert found is not None
        assert found.id == door.client


@pytest.mark.parametrize(
    "number",
    [
        *("+33199000000", "+33199000001", "+33612345678", "+33644444444", "+33155555555", "anonymous", ""),
        # What carriers send for a withheld number, or in the place of one that they do not know.
        *("+86282452253", "86282452253", "+11111111111", "+19999999999", "687123456"),
    ],
)
def test_a_number_of_another_client_is_not_added(door: Door, number: str) -> None:
    other = door.house.client(code="7002")
    door.house.consultant()

    def arrange(session: Any) -> None:
        dids.add_number(session, door.settings, number="+33199000001")
        consultants.set_consultant(session, door.settings, "101", more_phones=["+33644444444"])
        session.add(ClientNumber(number="+33155555555", client_id=other))

    door.database.do(arrange)
    assert not door.database.do(
        lambda session: sign_in.add_number(session, door.settings, door.client, number)
    )
    assert door.numbers() == {"+33155555555"}


def test_of_two_clients_who_add_a_number_at_once_one_gets_it_and_both_hear_the_result(door: Door) -> None:
    asking = [door.client, door.house.client(code="7002")] * 4

    def add(client_id: int) -> bool:
        added: bool = door.database.do(
            lambda session: sign_in.add_number(session, door.settings, client_id, NUMBER)
        )
        return added

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(add, asking))
    with door.database.reading() as session:
        owner = clients.client_calling(session, NUMBER)
        assert owner is not None
        assert [client == owner.id for client in asking] == answers
        assert session.scalar(select(func.count()).select_from(ClientNumber)) == 1


def test_no_client_no_number(door: Door) -> None:
    assert not door.database.do(lambda session: sign_in.add_number(session, door.settings, 999, NUMBER))
    assert door.numbers() == set()


def test_a_pin_reaches_no_log_and_no_column(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for keyed in ({}, {"pin": "907135"}, {"code": "70x1"}, {"pin": "9071x4"}):
        door.check(**keyed)
    assert not any(each in caplog.text for each in (PIN, "907135", "70x1", "9071x4"))
    with door.database.reading() as session:
        kept = " ".join(
            str(value)
            for table in (Client, SignIn)
            for row in session.execute(select(table.__table__))
            for value in row
        )
    assert door.pin_hash in kept
    assert not any(each in kept for each in (PIN, "907135", "70x1", "9071x4"))


# -- many at once -----------------------------------------------------------------------------------------------------


def guesses(
    desk: Authenticator, door: Door, number: int
) -> list[asyncio.Task[tuple[SignInResult, Client | None]]]:
    """Let hidden callers try a wrong PIN concurrently, each for another code."""
    return [
        asyncio.create_task(
            desk.check(door.database, door.settings, code=f"{9000 + n}", pin="907135", caller=None)
        )
        for n in range(number)
    ]


@pytest.mark.usefixtures("real_pins")
async def test_pin_checks_do_not_occupy_the_database_threads(door: Door) -> None:
    """While many callers enter PINs, another call's write doesn't wait for them."""
    checks = guesses(Authenticator(), door, 8)
    await asyncio.wait(checks, return_when=asyncio.FIRST_COMPLETED)
    under_way = sum(not check.done() for check in checks)
    for _ in range(5):
        await door.database.run(lambda session: session.get_one(Client, door.client))
    assert sum(not check.done() for check in checks) > under_way // 2
    assert {checked for checked, _ in await asyncio.gather(*checks)} == {SignInResult.WRONG}


@pytest.mark.usefixtures("real_pins")
async def test_a_caller_with_a_number_does_not_wait_for_hidden_callers(door: Door) -> None:
    desk = Authenticator()
    hidden = guesses(desk, door, 20)
    await asyncio.wait(hidden, return_when=asyncio.FIRST_COMPLETED)
    checked, _ = await desk.check(door.database, door.settings, code=CODE, pin=PIN, caller=NUMBER)
    assert checked is SignInResult.RIGHT
    assert not all(task.done() for task in hidden)
    for task in hidden:
        task.cancel()
    await asyncio.gather(*hidden, return_exceptions=True)


def test_wrong_pins_of_hidden_callers_slow_them_all_down_and_lock_nobody_out(door: Door) -> None:
    def fill(session: Any) -> None:
        for n in range(50):
            session.add(Client(code=f"{9000 + n}", name="Paul", language="fr", pin_hash=door.pin_hash))

    door.database.do(fill)
    clock.run(lambda _: slowed_down(door))


async def slowed_down(door: Door) -> None:
    desk = Authenticator()

    async def check(code: str, pin: str, caller: str | None) -> SignInResult:
        return (await desk.check(door.database, door.settings, code=code, pin=pin, caller=caller))[0]

    for n in range(10):
        assert desk.delay() == 0
        await check(f"{9000 + n}", "907135", None)
    for n in range(5):
        await check(f"{9000 + n}", "907135", NUMBER if n == 0 else None)
    assert 0 < desk.delay() <= 0.5
    await asyncio.gather(*(check(f"{9010 + n}", "907135", None) for n in range(30)))
    assert desk.delay() == 3
    assert await check("9049", PIN, None) is SignInResult.RIGHT
