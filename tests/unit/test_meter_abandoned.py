"""Calls during which Asterisk died are finished: nothing unproven is billed, and no hold is left."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.rerating import rerate
from taxiphone.commands.call import call as call_command
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call, CallEvent, Posting

BEGIN = datetime.fromtimestamp(1_763_846_400, UTC)  # both are in the bridge, as `house.talk` writes it
TO_THE_BRIDGE, TO_THE_FIRST_EXIT = 6, 7  # rows of `house.talk`


@pytest.fixture
def call_id(house: Any) -> str:
    found: str = house.call(house.client(), house.consultant())
    return found


def mark(house: Any, call_id: str, what: str, seconds: float) -> None:
    at = BEGIN + timedelta(seconds=seconds)
    house.database.do(lambda s: s.add(CallEvent(call_id=call_id, at=at, monotonic_us=0, what=what)))


def finish(house: Any, *call_ids: str) -> Call:
    Meter(house.settings, house.database).abandoned(call_ids, patience=0)
    assert house.problems() == []
    found: Call = house.get(call_ids[0])
    assert house.balance("hold", found.id) == 0
    return found


def postings(house: Any) -> int:
    found: int = house.database.do(lambda s: s.scalar(select(func.count()).select_from(Posting)))
    return found


def test_the_talk_is_priced_to_the_last_mark_that_it_went_on(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id)[:TO_THE_BRIDGE])
    for seconds in (10, 20, 59.5):
        mark(house, call_id, "alive", seconds)
    found = finish(house, call_id)
    assert (found.status, found.receipt.total, found.billed_seconds) == ("rated", 155, 60)
    assert found.talk_to == BEGIN + timedelta(seconds=59.5)
    assert found.review == (
        "Asterisk's log has no end of this talk: it was priced up to the last proof that it was in progress, "
        "at 2025-11-22 21:20:59 UTC"
    )
    assert house.balance("wallet", 1) == 10_000 - 155


def test_call_events_of_a_later_restart_prove_nothing(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id)[:TO_THE_BRIDGE])
    mark(house, call_id, "alive", 10)
    for what in ("left", "ended", "bridging", "recording"):
        mark(house, call_id, what, 3000)
    assert finish(house, call_id).talk_to == BEGIN + timedelta(seconds=10)


def test_a_talk_of_which_nothing_is_proven_costs_nothing(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id)[:TO_THE_BRIDGE])
    found = finish(house, call_id)
    assert (found.status, found.receipt) == ("closed", None)
    assert "nothing was charged" in found.review
    assert house.balance("wallet", 1) == 10_000


def test_a_talk_with_a_logged_end_is_priced_to_it_without_review(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id)[:TO_THE_FIRST_EXIT])
    mark(house, call_id, "alive", 3000)
    found = finish(house, call_id)
    assert (found.receipt.total, found.review) == (155, None)


def test_an_end_in_the_log_that_was_not_read_yet_is_read_first(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id, "83.4"))
    found = finish(house, call_id)
    assert (found.receipt.total, found.review) == (217, None)


def test_never_more_is_charged_than_was_held(house: Any) -> None:
    call_id = house.call(house.client(credit=155), house.consultant())
    house.write(*house.talk(call_id)[:TO_THE_BRIDGE])
    mark(house, call_id, "alive", 100)
    found = finish(house, call_id)
    assert (found.receipt.total, found.billed_seconds) == (155, 60)
    assert found.review.startswith("Asterisk's log has no end")


def test_a_call_that_never_was_a_talk_is_closed(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id)[:4])
    house.database.do(lambda s: setattr(s.get_one(Call, call_id), "outcome", None))
    found = finish(house, call_id)
    assert (found.status, found.outcome, found.review) == (Status.CLOSED, Outcome.FAILED, None)
    assert house.balance("wallet", 1) == 10_000


def test_a_talk_that_only_the_program_saw_is_not_charged_and_marked_for_review(
    house: Any, call_id: str
) -> None:
    mark(house, call_id, "alive", 10)
    found = finish(house, call_id)
    assert found.status == Status.CLOSED
    assert "nothing was charged" in found.review


@pytest.mark.parametrize("status", [Status.RECEIVED, Status.TALKING, Status.ENDED])
def test_a_call_is_finished_from_any_status(house: Any, call_id: str, status: Status) -> None:
    house.database.do(lambda s: setattr(s.get_one(Call, call_id), "status", status))
    house.write(*house.talk(call_id)[:TO_THE_BRIDGE])
    mark(house, call_id, "alive", 30)
    assert finish(house, call_id).status == Status.RATED


def test_finishing_twice_and_reading_late_rows_change_nothing(house: Any, call_id: str) -> None:
    rows = house.talk(call_id, "83.4")
    house.write(*rows[:TO_THE_BRIDGE])
    mark(house, call_id, "alive", 30)
    total, before = finish(house, call_id).receipt.total, postings(house)
    house.write(*rows[TO_THE_BRIDGE:])
    assert finish(house, call_id, call_id, "no-such-call").receipt.total == total
    assert postings(house) == before


def test_other_calls_are_left_alone(house: Any, call_id: str) -> None:
    other = house.call(house.client(code="7002"), 1)
    house.write(*house.talk(other)[:TO_THE_BRIDGE])
    finish(house, call_id)
    assert house.get(other).status == Status.TALKING


def test_explain_and_a_second_rating_find_the_same_talk(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id)[:TO_THE_BRIDGE])
    mark(house, call_id, "alive", 45)
    found = finish(house, call_id)
    assert not house.database.do(lambda s: rerate(s, s.get_one(Call, call_id))).changed
    app = house.app
    told = CliRunner().invoke(call_command, ["explain", call_id], obj=app).stdout
    assert "For review: Asterisk's log has no end of this talk" in " ".join(told.split())
    story = json.loads(CliRunner().invoke(call_command, ["explain", call_id, "--json"], obj=app).stdout)
    assert (story["review"], story["talk"]["complete"]) == (found.review, False)
    assert "difference" not in {step["what"] for step in story["steps"]}


async def test_the_running_meter_reports_a_call_finished_by_another_thread(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id)[:TO_THE_BRIDGE])
    mark(house, call_id, "alive", 45)
    told: asyncio.Queue[str] = asyncio.Queue()
    reader, stop = Meter(house.settings, house.database, told.put_nowait), asyncio.Event()
    running = asyncio.create_task(reader.run(stop))
    await asyncio.to_thread(reader.abandoned, [call_id], 0)
    reader.nudge()
    assert await asyncio.wait_for(told.get(), 20) == call_id
    stop.set()
    await running
    assert told.empty()


def test_rows_that_arrive_slightly_late_decide(house: Any, call_id: str) -> None:
    rows = house.talk(call_id)
    house.write(*rows[:TO_THE_BRIDGE])
    mark(house, call_id, "alive", 10)

    class Late(Meter):
        looks = 0

        def _read(self) -> int:
            self.looks += 1
            if self.looks == 2:
                house.write(*rows[TO_THE_BRIDGE:])
            return super()._read()

    Late(house.settings, house.database).abandoned([call_id], patience=60)
    found = house.get(call_id)
    assert (found.receipt.total, found.review) == (155, None)
