"""A call that only Asterisk's event log has gets a row as soon as the meter reads its end."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from taxiphone.ari_app.call_record import CallRecord
from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.billing.evidence.cel import format_row
from taxiphone.billing.metering.meter import Meter
from taxiphone.directory import numbers
from taxiphone.directory.callers import Caller
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call, CelRow, ClientNumber

CHANNEL = "1763846400.7"
CALLER, DIALLED = "+33639980007", "+33199001234"
AWAY, IN = f"away:{DIALLED}:{CALLER}", f"in:{DIALLED}:{CALLER}"


def lines(note: str, channel: str = CHANNEL, linked: str = "", began: int = 1_763_846_400) -> list[str]:
    """Return the rows that Asterisk 22 writes for a call that it answers itself."""
    gone = {"hangupcause": 16, "hangupsource": "", "dialstatus": ""}
    rows = [
        ("CHAN_START", began, "", {}),
        ("ANSWER", began + 1, note, {}),
        ("HANGUP", began + 9, note, gone),
        ("CHAN_END", began + 9, note, {}),
        ("LINKEDID_END", began + 9, note, {}),
    ]
    written = []
    for event, at, said, extra in rows:
        more = json.dumps(extra) if extra else ""
        columns = (event, f"{at}.000000", channel, linked or channel, "PJSIP/trunk-1", "", "", "", said, more)
        written.append(format_row(columns))
    return written


def all_calls(house: Any) -> list[Call]:
    return house.database.do(lambda session: list(session.query(Call).order_by(Call.client_channel)))


def columns_kept(house: Any) -> int:
    return house.database.do(lambda session: session.query(CelRow).count())


def read(house: Any) -> None:
    Meter(house.settings, house.database).read_once()


def test_a_call_that_heard_the_apology_has_a_row_once_however_often_the_log_is_read(house: Any) -> None:
    client = house.client()
    house.database.do(lambda session: session.add(ClientNumber(number=CALLER, client_id=client)))
    house.write(*lines(AWAY))
    read(house)
    house.settings.cel_file.rename(house.settings.cel_file.with_suffix(".csv.1"))
    house.write(*lines(AWAY)[1:], *lines(AWAY))
    read(house)
    [call] = all_calls(house)
    assert (call.status, call.outcome) == (Status.CLOSED, Outcome.APOLOGY)
    assert (call.dialled, call.caller, call.client_id) == (DIALLED, CALLER, client)
    assert (call.ended_at - call.arrived_at).total_seconds() == 9
    assert "call back" in call.review


@pytest.mark.parametrize("note", [f"away:{DIALLED}:", "away::", "away:999999999999999999999999:0"])
def test_a_call_without_a_usable_number_has_a_row_too(house: Any, note: str) -> None:
    house.write(*lines(note))
    read(house)
    [call] = all_calls(house)
    assert call.outcome == Outcome.APOLOGY
    assert call.caller is None


def test_a_caller_who_was_told_that_all_lines_are_busy_has_a_row_that_asks_for_nothing(house: Any) -> None:
    house.write(*lines(f"full:{DIALLED}:{CALLER}"))
    read(house)
    [call] = all_calls(house)
    assert (call.status, call.outcome, call.review) == (Status.CLOSED, Outcome.ALL_LINES_BUSY, None)
    assert (call.dialled, call.caller) == (DIALLED, CALLER)


def test_a_call_that_the_application_had_but_could_not_write_has_a_row(house: Any) -> None:
    house.write(*lines(IN))
    read(house)
    [call] = all_calls(house)
    assert (call.status, call.outcome) == (Status.CLOSED, Outcome.FAILED)
    assert "call back" in call.review


@pytest.mark.parametrize(
    ("source", "outcome"), [("PJSIP/trunk-1", Outcome.CALLER_GONE), ("", Outcome.FAILED)]
)
def test_an_unanswered_call_is_called_back_only_where_it_was_not_its_caller_who_ended_it(
    house: Any, source: str, outcome: Outcome
) -> None:
    start, _, hangup, *rest = lines(IN)
    house.write(start, hangup.replace('hangupsource"": """"', f'hangupsource"": ""{source}""'), *rest)
    read(house)
    [call] = all_calls(house)
    assert call.outcome == outcome
    assert (call.review is None) is (outcome == Outcome.CALLER_GONE)


def test_a_call_that_has_a_row_gets_no_other(house: Any) -> None:
    house.call(house.client(), house.consultant(), accept=False)
    house.write(*lines(IN, channel="channel-1"))
    read(house)
    [call] = all_calls(house)
    assert call.id == "261122-call01"


async def test_if_the_application_writes_after_the_meter_its_outcome_counts(house: Any) -> None:
    house.write(*lines(IN))
    read(house)
    record = CallRecord(house.settings, DatabaseWithTimeout(house.database), "261122-mine22")
    await record.received(CHANNEL, DIALLED, Caller(CALLER))
    await record.ended(Outcome.CALLER_GONE)
    read(house)
    [call] = all_calls(house)
    assert (call.id, call.status, call.outcome) == ("261122-mine22", Status.CLOSED, Outcome.CALLER_GONE)


def test_a_consultants_leg_and_lines_of_other_versions_make_no_row(house: Any) -> None:
    house.write(*lines(AWAY, channel="261122-aaaaaa.consultant", linked=CHANNEL))
    for other in ("", "taxiphone,inbound,+33199001234", "away:+33x:1", f"{AWAY}:", "away:\n:"):
        house.write(*lines(other))
    read(house)
    assert all_calls(house) == []


def test_a_flood_of_refused_calls_is_one_line_and_leaves_nothing_in_the_database(
    house: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(500):
        house.write(*lines("full", channel=f"1763846400.{number}"))
    house.write(*lines("often", channel="1763846500.0"), *lines(AWAY, channel="1763846500.1"))
    meter = Meter(house.settings, house.database)
    with caplog.at_level(logging.WARNING):
        meter.read_once()
        meter._arrivals.tell()
        meter._arrivals.tell()
    assert columns_kept(house) == 5
    assert len(all_calls(house)) == 1
    refused, often, apologised = caplog.messages
    assert refused.startswith("500 calls were refused because all lines were busy")
    assert often.startswith("1 calls were refused with 486 ")
    assert apologised.startswith("1 calls arrived while the program was not available")


def test_the_numbers_of_a_caller_are_kept_in_the_call_alone(house: Any) -> None:
    house.write(*lines(AWAY))
    read(house)
    kept = house.database.do(lambda session: [repr(vars(row)) for row in session.query(CelRow)])
    assert CALLER not in "".join(kept)
    assert numbers.home_region(house.settings) == "FR"
