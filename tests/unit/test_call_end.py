"""A talk is priced as soon as it has ended, even if a leg is up. Only the phone that accepted counts."""

from typing import Any

import pytest
from sqlalchemy import update

from taxiphone.billing.metering.meter import Meter
from taxiphone.store.calls import Status
from taxiphone.store.models import Call

CLIENT_LEFT, CLIENT_HUNG_UP, CLIENT_GONE, CONSULTANT_LEFT = 6, 7, 8, 9  # rows of `house.talk`


@pytest.fixture
def call_id(house: Any) -> str:
    found: str = house.call(house.client(), house.consultant())
    return found


def stands(house: Any, call_id: str, status: Status, **columns: Any) -> None:
    values = {"status": status, **columns}
    house.database.do(lambda s: s.execute(update(Call).where(Call.id == call_id).values(values)))


def read(house: Any) -> None:
    Meter(house.settings, house.database).read_once()
    assert house.problems() == []


@pytest.mark.parametrize("status", [Status.OVER, Status.ENDED])
def test_a_talk_that_the_program_has_ended_is_priced_while_both_legs_are_up(
    house: Any, call_id: str, status: Status
) -> None:
    rows = house.talk(call_id, "83.4")
    house.write(*rows[:CLIENT_HUNG_UP], rows[CONSULTANT_LEFT])
    read(house)
    assert house.get(call_id).status == Status.TALKING
    stands(house, call_id, status)
    read(house)
    found = house.get(call_id)
    assert (found.status, found.receipt.total, found.billed_seconds) == (Status.RATED, 217, 84)


def test_one_side_leaving_ends_the_talk_and_the_other_may_keep_listening(house: Any, call_id: str) -> None:
    rows = house.talk(call_id, "83.4")
    stands(house, call_id, Status.OVER)
    house.write(*rows[: CLIENT_LEFT + 1])
    read(house)
    assert house.get(call_id).receipt.total == 217


def test_it_waits_for_the_row_that_somebody_left(house: Any, call_id: str) -> None:
    rows = house.talk(call_id, "83.4")
    stands(house, call_id, Status.OVER)
    house.write(*rows[:CLIENT_LEFT])
    read(house)
    assert house.get(call_id).status == Status.OVER
    house.write(*rows[CLIENT_LEFT:])
    read(house)
    assert house.get(call_id).receipt.total == 217


def test_who_left_the_bridge_while_the_talk_may_go_on_has_not_ended_it(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id)[: CLIENT_LEFT + 1])
    read(house)
    assert house.get(call_id).status == Status.TALKING


def test_what_is_heard_after_the_talk_adds_nothing(house: Any, call_id: str) -> None:
    rows = house.talk(call_id, "60")
    stands(house, call_id, Status.OVER)
    house.write(*rows[: CLIENT_GONE + 1])
    read(house)
    paid = house.get(call_id).receipt.total
    late = [row.replace(row.split(",")[1], f'"{1_763_846_400 + 90:.6f}"') for row in rows[CONSULTANT_LEFT:]]
    house.write(*late)
    read(house)
    assert house.get(call_id).receipt.total == paid == 155


@pytest.mark.parametrize("by", ["client", "consultant"])
def test_the_talk_is_that_of_the_phone_that_accepted(house: Any, call_id: str, by: str) -> None:
    second = f"{call_id}.consultant.2"
    rows = house.talk(call_id, "60")
    stopped = [row for row in rows if f'"{call_id}.consultant"' in row and "BRIDGE" not in row]
    stands(house, call_id, Status.TALKING, consultant_channel=second)
    house.write(*stopped)
    read(house)
    assert house.get(call_id).status == Status.TALKING
    answered = [row.replace(f'"{call_id}.consultant"', f'"{second}"') for row in rows]
    gone = '"HANGUP"', '"CHAN_END"', '"LINKEDID_END"'
    kept = [row for row in answered if not row.startswith(gone) or (second in row) == (by == "consultant")]
    house.write(*kept)
    read(house)
    found = house.get(call_id)
    assert (found.status, found.receipt.total) == (Status.RATED, 155)
    assert (found.talk_to - found.talk_from).total_seconds() == 60
