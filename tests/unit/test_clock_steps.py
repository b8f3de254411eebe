"""The wall clock is changed during a talk: no more is billed than was talked."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner
from clocks import BEGIN, TO_THE_BRIDGE, moment, noted

from taxiphone.billing import continuation
from taxiphone.billing.evidence import proof
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.rerating import rerate
from taxiphone.commands.call import call as call_command
from taxiphone.store import types
from taxiphone.store.models import Call, Client
from taxiphone.store.types import Moment


@pytest.fixture
def call_id(house: Any) -> str:
    found: str = house.call(house.client(), house.consultant())
    return found


def rows(house: Any, call_id: str, seconds: str, step: int) -> list[str]:
    """Return Asterisk's rows of a talk during which the wall clock is changed."""
    begun, ended = house.talk(call_id, seconds), house.talk(call_id, str(Decimal(seconds) + step))
    return [*begun[:TO_THE_BRIDGE], *ended[TO_THE_BRIDGE:]]


def price(house: Any, call_id: str, at: Moment, **how: Any) -> Call:
    """Let the meter read the log at this moment."""
    with types.using_clocks(lambda: at.at, lambda: at.monotonic_us):
        Meter(house.settings, house.database, **how).read_once()
    assert house.problems() == []
    found: Call = house.get(call_id)
    return found


def explained(house: Any, call_id: str) -> dict[str, Any]:
    app = house.app
    story = CliRunner().invoke(call_command, ["explain", call_id, "--json"], obj=app)
    found: dict[str, Any] = json.loads(story.stdout)
    return found


@pytest.mark.parametrize(
    ("length", "step", "billed", "total"),
    [
        ("60", 3600, 60, 155),
        ("600", -3600, 600, 1550),
        ("60", 86_400, 60, 155),
        ("60", 3, 60, 155),
        ("60", 0, 60, 155),
    ],
)
def test_a_step_in_the_talk_is_not_billed(
    house: Any, call_id: str, length: str, step: int, billed: int, total: int
) -> None:
    end = float(length)
    house.write(*rows(house, call_id, length, step))
    noted(
        house,
        call_id,
        bridging=moment(-0.01),
        bridged=moment(0.002),
        alive=moment(10),
        parted=moment(end + 0.001, step),
        left=moment(end + 0.001, step),
    )
    found = price(house, call_id, moment(end + 0.1, step))
    assert (found.billed_seconds, found.receipt.total) == (billed, total)
    assert found.talk_to is not None
    assert found.talk_from == BEGIN
    assert (found.review is not None) is (step != 0)
    if step:
        assert found.review.startswith("the wall clock was set")
    story = explained(house, call_id)
    assert "difference" not in {each["what"] for each in story["steps"]}
    assert not house.database.do(lambda s: rerate(s, s.get_one(Call, call_id))).changed


def test_a_step_while_the_program_is_dead_bills_what_the_monotonic_clock_allows(
    house: Any, call_id: str
) -> None:
    house.write(*rows(house, call_id, "60", 3600))
    noted(house, call_id, bridging=moment(-0.01), bridged=moment(0.002), alive=moment(10))
    found = price(house, call_id, moment(120, 3600), program_seconds=0)
    assert (found.billed_seconds, found.receipt.total) == (60, 155)
    assert "set forward by 3600.000 s" in found.review


def test_a_log_that_ends_before_it_begins_is_no_talk_of_a_few_seconds(house: Any, call_id: str) -> None:
    house.write(*rows(house, call_id, "600", -3600))
    found = price(house, call_id, moment(601, -3600))
    assert (found.status, found.receipt) == ("closed", None)
    assert "nothing was charged" in found.review


def test_the_meter_waits_for_the_programs_word_on_the_end(house: Any, call_id: str) -> None:
    house.write(*rows(house, call_id, "60", 3600))
    noted(house, call_id, bridging=moment(-0.01), bridged=moment(0.002))
    reader = Meter(house.settings, house.database, program_seconds=3600)
    reader.read_once()
    assert house.get(call_id).receipt is None
    noted(house, call_id, parted=moment(60.001, 3600))
    with types.using_clocks(lambda: moment(60.1, 3600).at, lambda: moment(60.1).monotonic_us):
        reader.read_once()
    assert house.get(call_id).receipt.total == 155


def test_call_events_after_pricing_do_not_change_the_price(house: Any, call_id: str) -> None:
    house.write(*rows(house, call_id, "60", 0))
    noted(house, call_id, bridging=moment(-0.01), bridged=moment(0.002))
    price(house, call_id, moment(60.1), program_seconds=0)
    noted(house, call_id, parted=moment(30), ended=moment(90, 7200))
    assert not house.database.do(lambda s: rerate(s, s.get_one(Call, call_id))).changed


@pytest.mark.parametrize(
    ("passed", "step", "open_"), [(200, 3600, True), (400, -3600, False), (200, 0, True)]
)
def test_a_dropped_call_can_be_continued_within_the_configured_time(
    house: Any, call_id: str, passed: int, step: int, open_: bool
) -> None:
    lines = [line.replace('""hangupcause"": 16', '""hangupcause"": 41') for line in house.talk(call_id)]
    house.write(*lines)
    noted(house, call_id, bridging=moment(-0.01), bridged=moment(0.002), parted=moment(60.001))
    assert price(house, call_id, moment(60.1)).dropped
    later = moment(60 + passed, step)
    with types.using_clocks(lambda: later.at, lambda: later.monotonic_us):
        found = house.database.do(
            lambda s: continuation.interrupted(s, house.settings, s.query(Client).one())
        )
    assert (found is not None) is open_


def test_a_talk_that_is_taken_over_has_lasted_as_long_as_it_did(house: Any, call_id: str) -> None:
    noted(house, call_id, bridged=moment(0))
    later = moment(45, -3600)
    with types.using_clocks(lambda: later.at, lambda: later.monotonic_us):
        passed = house.database.do(lambda s: proof.since(s.get_one(Call, call_id).events[0]))
    assert passed == timedelta(seconds=45)
