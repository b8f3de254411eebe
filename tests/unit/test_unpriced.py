"""A finished talk that can't be priced raises an alarm everywhere, delays nothing, and can be settled by a command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import update

from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.metering.unpriced import DeferredCalls
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.commands.call import call
from taxiphone.commands.ledger import ledger
from taxiphone.errors import LedgerError, UsageError
from taxiphone.server.checks import check_billing
from taxiphone.store.models import Call, Consultant

BROKEN = {"currency": "EUR", "digits": 2, "segments": [{"from": 0, "price_per_minute": "many"}]}


def freeze(house: Any, call_id: str, tariff: dict[str, Any]) -> None:
    house.database.do(lambda s: s.execute(update(Call).where(Call.id == call_id).values(tariff=tariff)))


@pytest.fixture
def broken(house: Any) -> tuple[str, dict[str, Any]]:
    """A talk of 60 s whose tariff can't be read, and the tariff that it should have."""
    call_id = house.call(house.client(), house.consultant())
    right = house.get(call_id).tariff
    freeze(house, call_id, BROKEN)
    house.write(*house.talk(call_id))
    return call_id, right


def test_it_delays_no_other_call_and_is_logged_once(
    house: Any, broken: tuple[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    other = house.call(house.client(code="7002"), 1)
    house.write(*house.talk(other))
    told: list[str] = []
    reader = Meter(house.settings, house.database, told.append, again_seconds=0)
    for _ in range(4):
        reader.read_once()
    assert told == [other]
    assert caplog.text.count(f"call {broken[0]} is over and can't be priced") == 1
    assert "Traceback" not in caplog.text
    freeze(house, *broken)
    reader.read_once()
    assert told == [other, broken[0]]
    assert house.problems() == []


def test_the_log_sums_up_once_an_hour_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError("vat: is missing")
    often = DeferredCalls(again_seconds=60, summary_seconds=0)
    for call_id in ("a", "b", "a", "b"):
        often.defer(call_id, error)
    assert caplog.text.count("is over and can't be priced") == 2
    assert caplog.text.count("2 call(s) still can't be priced: a, b") == 2
    often.settled("a")
    often.defer("b", error)
    assert "1 call(s) still can't be priced: b" in caplog.text
    caplog.clear()
    hourly = DeferredCalls(again_seconds=0)
    for _ in range(60):
        assert hourly.due("a")
        hourly.defer("a", error)
    assert len(caplog.records) == 1
    hourly.defer("a", ValueError("commission: is missing"))
    assert len(caplog.records) == 2


def test_it_is_an_alarm_everywhere(house: Any, broken: tuple[str, Any]) -> None:
    assert all(finding.ok for finding in check_billing.check(house.database))
    Meter(house.settings, house.database).read_once()
    call_id, why = broken[0], "segments[0].price_per_minute: 'many' is not a number"
    assert house.get(call_id).unpriced.startswith(why)
    assert house.problems() == ["unpriced"]
    checked = house.invoke(ledger, "check")
    assert checked.exit_code == 1
    assert f"taxiphone call rate {call_id}" in " ".join(checked.stdout.split())
    listed = house.invoke(call, "list")
    assert "1 finished call(s) can't be priced" in listed.stderr
    assert json.loads(house.invoke(call, "list", "--json").stdout)[0]["unpriced"].startswith(why)
    assert json.loads(house.invoke(call, "show", call_id, "--json").stdout)["unpriced"].startswith(why)
    explained = house.invoke(call, "explain", call_id)
    assert explained.exit_code == 0
    assert "can't be priced" in explained.stdout
    assert "can't be read: segments[0]" in explained.stdout
    assert json.loads(house.invoke(call, "explain", call_id, "--json").stdout)["tariff_fault"].startswith(why)
    wrong = [finding for finding in check_billing.check(house.database) if finding.ok is False]
    assert [call_id in finding.what for finding in wrong] == [True]
    assert f"taxiphone call rate {call_id}" in wrong[0].advice


def test_a_command_prices_the_call_once_the_cause_is_fixed(house: Any, broken: tuple[str, Any]) -> None:
    call_id, right = broken
    Meter(house.settings, house.database).read_once()
    with pytest.raises(LedgerError, match="still can't be priced: segments"):
        house.invoke(call, "rate", call_id)
    assert house.balance("wallet", 1) < 10_000 - 155
    freeze(house, call_id, right)
    assert "costs 1.55 EUR" in house.invoke(call, "rate", call_id).stdout
    assert house.problems() == []
    assert house.get(call_id).unpriced is None
    assert (house.balance("wallet", 1), house.balance("hold", call_id)) == (10_000 - 155, 0)
    with pytest.raises(UsageError, match="is already priced"):
        house.invoke(call, "rate", call_id)
    Meter(house.settings, house.database).read_once()
    assert house.balance("wallet", 1) == 10_000 - 155


def test_a_call_that_can_not_be_priced_is_released_by_name(house: Any, broken: tuple[str, Any]) -> None:
    Meter(house.settings, house.database).read_once()
    house.invoke(ledger, "release-holds")
    assert house.problems() == ["unpriced"]
    house.invoke(ledger, "release-holds", "--call", broken[0])
    assert (house.balance("wallet", 1), house.problems()) == (10_000, [])


def test_the_command_prices_no_call_in_progress_and_no_call_without_a_talk(house: Any) -> None:
    going_on = house.call(house.client(), house.consultant())
    with pytest.raises(LedgerError, match=r"not over by Asterisk's log \(it is talking\)"):
        house.invoke(call, "rate", going_on)
    nothing = house.call(house.client(code="7002"), 1)
    client = house.get(nothing).client_channel
    house.write(*[row for row in house.talk(nothing) if row.startswith('"CHAN_END"') and client in row])
    Meter(house.settings, house.database).read_once()
    with pytest.raises(UsageError, match="nobody talked"):
        house.invoke(call, "rate", nothing)
    with pytest.raises(UsageError, match="--reason requires --again"):
        house.invoke(call, "rate", nothing, "--reason", "x")


def test_minus_zero_in_a_database_of_an_older_program_prices_as_zero(house: Any) -> None:
    consultant = house.consultant()
    house.database.do(lambda s: s.connection().exec_driver_sql("UPDATE consultant SET commission = '-0.00'"))
    call_id = house.call(house.client(), consultant)
    house.write(*house.talk(call_id))
    Meter(house.settings, house.database).read_once()
    receipt = house.get(call_id).receipt
    assert (receipt.total, receipt.commission, house.problems()) == (155, 0, [])
    frozen = house.call(house.client(code="7002"), consultant)
    freeze(house, frozen, {**house.get(frozen).tariff, "commission": "-0.00", "vat": "-0"})
    house.write(*house.talk(frozen))
    Meter(house.settings, house.database).read_once()
    assert house.get(frozen).receipt.total == 155
    with house.database.reading() as session:
        assert str(session.get_one(Consultant, consultant).commission) == "0.00"
    assert from_json(house.get(frozen).tariff).commission == 0
