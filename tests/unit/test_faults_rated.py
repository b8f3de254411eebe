"""A talk that could not be heard is billed only as far as it was heard, or not at all; both sides hear the result."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from taxiphone.billing import corrections
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.papers.receipt_paper import receipt_text
from taxiphone.billing.papers.receipts import client_receipt
from taxiphone.billing.rating import settle_recording
from taxiphone.billing.rerating import rerate
from taxiphone.billing.summary import CallSummary, call_summary
from taxiphone.commands.call import call as call_command
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call, CallEvent, Recording

BEGIN = datetime.fromtimestamp(1_763_846_400, UTC)
CLIENT_HANGUP = 7  # row of `house.talk`


def change(house: Any, call_id: str, **columns: Any) -> None:
    house.database.do(lambda s: s.execute(update(Call).where(Call.id == call_id).values(columns)))


def talked(house: Any, call_id: str, seconds: str = "60", *, cause: int = 16) -> Call:
    rows = house.talk(call_id, seconds)
    rows[CLIENT_HANGUP] = rows[CLIENT_HANGUP].replace('hangupcause"": 16', f'hangupcause"": {cause}')
    house.write(*rows)
    Meter(house.settings, house.database).read_once()
    assert house.problems() == []
    found: Call = house.get(call_id)
    return found


def due(house: Any, call_id: str) -> CallSummary | None:
    found: CallSummary | None = house.database.read(lambda s: call_summary(s.connection(), call_id))
    return found


def explained(house: Any, call_id: str) -> Any:
    app = house.app
    shown = json.loads(CliRunner().invoke(call_command, ["explain", call_id, "--json"], obj=app).stdout)
    assert "difference" not in {step["what"] for step in shown["steps"]}
    assert CliRunner().invoke(call_command, ["explain", call_id], obj=app).exit_code == 0
    return shown


# -- one-way audio ------------------------------------------------------------------------------------------------


def test_a_talk_with_one_way_audio_is_not_billed_and_names_why(house: Any) -> None:
    consultant = house.consultant(free_minutes=10, recording_allowed=True)
    call_id = house.call(house.client(), consultant, recorded=True)
    change(house, call_id, fault="one-way audio")
    call = talked(house, call_id, "600")
    assert (call.status, call.billed_seconds, call.dropped) == (Status.RATED, 0, True)
    assert (call.receipt.total, call.receipt.lines, call.receipt.recording_pending) == (0, [], False)
    assert call.review == "one-way audio: a network fault, so the talk was not billed"
    assert (house.balance("wallet", 1), house.balance("hold", call_id)) == (10_000, 0)
    steps = explained(house, call_id)["steps"]
    assert [step["what"] for step in steps] == ["fault"]
    assert "one-way audio" in steps[0]["text"]
    receipt = house.database.read(lambda s: client_receipt(s, call_id))
    assert (receipt["network_fault"], receipt["fault"]) == (True, "one-way audio")
    assert "L'un des correspondants ne pouvait pas être entendu" in house.database.read(
        lambda s: receipt_text(s, house.settings, call_id)
    )
    again = house.call(1, consultant)
    assert talked(house, again, "600").receipt.total == 0  # the free minutes were left unused


def test_a_recording_of_a_talk_that_was_not_billed_is_not_charged_when_it_is_ready(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant(recording_allowed=True), recorded=True)
    change(house, call_id, fault="one-way audio")
    house.database.do(lambda s: setattr(s.get_one(Recording, call_id), "status", "ready"))
    assert talked(house, call_id).receipt.total == 0
    house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=True))
    assert house.get(call_id).receipt.total == 0
    assert house.balance("wallet", 1) == 10_000


def test_a_package_with_one_way_audio_costs_nothing_however_long(house: Any) -> None:
    consultant = house.consultant(package_price=Decimal(60), package_minutes=60)
    call_id = house.call(house.client(), consultant, mode="package")
    change(house, call_id, fault="one-way audio")
    assert talked(house, call_id, "3000").receipt.total == 0
    assert not house.database.do(lambda s: rerate(s, s.get_one(Call, call_id))).changed


# -- silence ------------------------------------------------------------------------------------------------------


def test_a_talk_is_billed_to_the_last_packet_of_who_fell_silent(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant())
    change(house, call_id, heard_until=BEGIN + timedelta(seconds=83.4), rtp_timeout=30)
    call = talked(house, call_id, "113.4")
    assert (call.receipt.total, call.billed_seconds, call.dropped) == (217, 84, True)
    assert call.talk_to == BEGIN + timedelta(seconds=83.4)
    told = [step["text"] for step in explained(house, call_id)["steps"]]
    assert told[0].startswith("One side fell silent; its last packet arrived at 21:21:23.400000")


@pytest.mark.parametrize(
    ("seconds", "timeout", "cause", "total", "dropped"),
    [
        ("90", 30, 44, 155, True),
        ("90", 30, 16, 233, False),
        ("90", None, 44, 233, True),
        ("20", 30, 44, 0, True),
        ("90", 30, 38, 233, True),
    ],
)
def test_what_asterisk_cut_for_silence_is_billed_to_where_the_silence_began(
    house: Any, seconds: str, timeout: int | None, cause: int, total: int, dropped: bool
) -> None:
    call_id = house.call(house.client(), house.consultant())
    change(house, call_id, rtp_timeout=timeout)
    call = talked(house, call_id, seconds, cause=cause)
    assert (call.receipt.total, call.dropped) == (total, dropped)
    texts = " ".join(step["text"] for step in explained(house, call_id)["steps"])
    assert ("sent no packet for 30 s (cause 44)" in texts) is (cause == 44 and timeout == 30)


def test_a_talk_that_was_never_heard_costs_nothing(house: Any) -> None:
    consultant = house.consultant(
        package_price=Decimal(60), package_minutes=60, recording_allowed=True, free_minutes=10
    )
    call_id = house.call(house.client(20_000), consultant, mode="package", recorded=True)
    change(house, call_id, heard_until=BEGIN - timedelta(seconds=1))
    call = talked(house, call_id, "60")
    assert (call.receipt.total, call.billed_seconds, call.receipt.recording_pending) == (0, 0, False)
    assert house.balance("wallet", 1) == 20_000


def test_where_asterisk_died_the_earlier_of_the_two_ends_counts(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant())
    change(house, call_id, heard_until=BEGIN + timedelta(seconds=60))
    house.write(*house.talk(call_id)[:6])
    mark = CallEvent(call_id=call_id, at=BEGIN + timedelta(seconds=85), monotonic_us=0, what="alive")
    house.database.do(lambda s: s.add(mark))
    Meter(house.settings, house.database).abandoned([call_id], patience=0)
    call = house.get(call_id)
    assert (call.receipt.total, call.dropped) == (155, True)
    assert "to the last proof that it was in progress, at 2025-11-22 21:21:00 UTC" in call.review
    assert house.problems() == []


@pytest.mark.parametrize(("cause", "total", "dropped"), [(16, 233, False), (38, 233, True), (44, 155, True)])
def test_a_cause_that_is_read_after_pricing_is_taken_into_account(
    house: Any, cause: int, total: int, dropped: bool
) -> None:
    call_id = house.call(house.client(), house.consultant())
    change(house, call_id, rtp_timeout=30, status=Status.OVER)
    rows = house.talk(call_id, "90")
    house.write(*rows[:CLIENT_HANGUP])
    reader = Meter(house.settings, house.database)
    reader.read_once()
    assert house.get(call_id).receipt.total == 233
    house.write(rows[CLIENT_HANGUP].replace('hangupcause"": 16', f'hangupcause"": {cause}'))
    reader.read_once()
    call = house.get(call_id)
    assert (call.receipt.total, call.dropped) == (total, dropped)
    assert house.balance("wallet", 1) == 10_000 - total
    assert house.problems() == []


# -- what is due --------------------------------------------------------------------------------------------------


def test_the_amount_is_known_as_soon_as_the_call_is_priced(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant(recording_allowed=True), recorded=True)
    assert due(house, call_id) is None
    assert due(house, "no-such-call") is None
    talked(house, call_id, "83.4")
    assert due(house, call_id) == CallSummary(84, 217, 500, 152, 10_000 - 717, "EUR", network_fault=False)
    house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=True))
    assert due(house, call_id) == CallSummary(84, 717, 0, 502, 10_000 - 717, "EUR", network_fault=False)


def test_the_announced_duration_is_that_of_the_talk_and_not_of_its_blocks(house: Any) -> None:
    billing = house.settings.billing.model_copy(update={"first_seconds": 60, "step_seconds": 60})
    house.settings = house.settings.model_copy(update={"billing": billing})
    call_id = house.call(house.client(), house.consultant())
    talked(house, call_id, "61.2")
    found = due(house, call_id)
    assert found is not None
    assert (found.seconds, found.total) == (62, 310)


def test_a_network_fault_costs_nothing(house: Any) -> None:
    consultant = house.consultant(package_price=Decimal(60), package_minutes=60)
    short = house.call(house.client(), consultant, mode="package")
    talked(house, short, "29.5")
    assert due(house, short) == CallSummary(30, 0, 0, 0, 10_000, "EUR", network_fault=True)
    deaf = house.call(house.client(code="7002"), consultant)
    change(house, deaf, fault="one-way audio")
    talked(house, deaf)
    assert due(house, deaf) == CallSummary(60, 0, 0, 0, 10_000, "EUR", network_fault=True)


def test_a_call_without_a_talk_costs_nothing(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant())
    change(house, call_id, outcome=Outcome.CALLER_GONE)
    rows = house.talk(call_id)
    house.write(rows[0], *rows[7:9])
    Meter(house.settings, house.database).read_once()
    assert house.get(call_id).status == Status.CLOSED
    assert due(house, call_id) == CallSummary(0, 0, 0, 0, 10_000, "EUR", network_fault=True)


def test_a_correction_that_the_database_refuses_is_marked_for_review(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> None:
        raise IntegrityError("INSERT", {}, Exception("constraint"))

    call_id = house.call(house.client(), house.consultant())
    talked(house, call_id)
    monkeypatch.setattr(corrections, "rerate", refuses)
    house.database.do(
        lambda session: corrections.correct(session, session.get_one(Call, call_id), corrections.NOT_HEARD)
    )
    assert "the price is unchanged" in house.get(call_id).review
