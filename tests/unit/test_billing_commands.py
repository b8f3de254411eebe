"""`taxiphone call`, `receipt` and `ledger`, with output for people and for programs."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.rating import settle_recording
from taxiphone.commands.call import call
from taxiphone.commands.ledger import ledger
from taxiphone.commands.receipt import receipt
from taxiphone.errors import UsageError
from taxiphone.store.calls import add_event
from taxiphone.store.models import Account, Call, Consultant


@pytest.fixture
def talked(house: Any) -> str:
    """A call of 83.4 s at 1.55, recorded, priced, its fee settled."""
    call_id: str = house.call(house.client(), house.consultant(recording_allowed=True), recorded=True)
    house.database.do(lambda s: add_event(s.connection(), call_id, "accepted"))
    house.write(*house.talk(call_id, "83.4"))
    Meter(house.settings, house.database).read_once()
    house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=True))
    return call_id


def read(house: Any, command: Any, *arguments: str) -> Any:
    return json.loads(house.invoke(command, *arguments, "--json").stdout)


def test_the_list_shows_the_latest_calls_and_can_be_narrowed(house: Any, talked: str) -> None:
    closed = house.call(house.client(code="7002"), 1, accept=False)
    rows = read(house, call, "list")
    assert {row["id"] for row in rows} == {talked, closed}
    (priced,) = read(house, call, "list", "--status", "rated")
    assert (priced["total"], priced["currency"], priced["billed_seconds"]) == ("7.17", "EUR", 84)
    assert len(read(house, call, "list", "--limit", "1")) == 1
    assert talked in house.invoke(call, "list").stdout
    assert house.invoke(call, "list", "--status", "gone").exit_code == 2


def test_the_calls_for_review_are_listed_with_the_reason(house: Any, talked: str) -> None:
    assert read(house, call, "list", "--review") == []
    assert house.invoke(call, "list", "--review").stdout == "No matching calls.\n"
    reason = "the wall clock was set back by 60.000 s during the talk"
    marked = house.call(house.client(code="7002"), 1, accept=False)
    house.database.do(lambda s: setattr(s.get_one(Call, marked), "review", reason))
    assert [(row["id"], row["review"]) for row in read(house, call, "list", "--review")] == [(marked, reason)]
    table = house.invoke(call, "list", "--review").stdout
    assert (marked in table, reason in table, talked in table) == (True, True, False)


def test_the_list_is_narrowed_by_people_days_and_outcomes(house: Any, talked: str) -> None:
    other = house.call(house.client(code="7002"), house.consultant(code="102"), accept=False)

    def ids(*words: str) -> set[str]:
        return {row["id"] for row in read(house, call, "list", *words)}

    house.database.do(lambda s: s.execute(update(Call).where(Call.id == other).values(outcome="busy")))
    assert ids("--client", "7001") == ids("--consultant", "101") == ids("--outcome", "talked") == {talked}
    assert ids("--client", "7002", "--outcome", "busy") == {other}
    assert ids("--client", "7002", "--consultant", "101") == set()
    assert "No matching calls" in house.invoke(call, "list", "--client", "7002", "--consultant", "101").stdout
    with pytest.raises(UsageError):
        ids("--client", "7009")
    with pytest.raises(UsageError, match="is before the first"):
        ids("--from", "2025-11-23", "--to", "2025-11-22")
    with pytest.raises(UsageError, match="--day can't be combined with"):
        ids("--from", "2025-11-23", "--day", "2025-11-22")


def test_a_call_belongs_to_the_day_on_which_its_talk_began_in_the_platforms_time_zone(
    house: Any, talked: str
) -> None:
    """The talk began at 21:20 UTC on November 22: at 10:20 on the 23rd in Auckland. The call arrived another day."""
    arrived = datetime(2025, 11, 21, 23, tzinfo=UTC)
    house.database.do(lambda s: s.execute(update(Call).values(arrived_at=arrived)))

    def ids(*words: str) -> list[str]:
        return [row["id"] for row in read(house, call, "list", *words)]

    assert ids("--day", "2025-11-22") == [talked]
    assert ids("--day", "2025-11-21") == ids("--from", "2025-11-23") == ids("--to", "2025-11-21") == []
    platform = house.settings.platform.model_copy(update={"timezone": "Pacific/Auckland"})
    house.settings = house.settings.model_copy(update={"platform": platform})
    assert ids("--day", "2025-11-23") == ids("--from", "2025-11-23", "--to", "2025-11-30") == [talked]
    assert ids("--day", "2025-11-22") == []


def test_explain_of_a_long_talk_groups_the_alive_events(house: Any, talked: str) -> None:
    house.database.do(lambda s: [add_event(s.connection(), talked, "alive") for _ in range(1069)] and None)
    text = house.invoke(call, "explain", talked).stdout
    assert len([line for line in text.splitlines() if "alive" in line]) == 3
    assert "1067 more of these" in text
    events = read(house, call, "explain", talked)["events"]
    assert len([event for event in events if event["what"] == "alive"]) == 1069


def test_a_call_is_found_by_the_beginning_or_the_end_of_its_id(house: Any, talked: str) -> None:
    for text in (talked, "call01", "2611"):
        assert read(house, call, "show", text)["id"] == talked
    house.call(house.client(code="7002"), 1)
    with pytest.raises(UsageError, match="more than one call"):
        house.invoke(call, "show", "261122")
    for text in ("nothing", "%", ""):
        with pytest.raises(UsageError, match="no call"):
            house.invoke(call, "show", text)


def test_show_prints_the_result_of_a_call(house: Any, talked: str) -> None:
    shown = read(house, call, "show", talked)
    assert (shown["status"], shown["outcome"], shown["recording"]) == ("rated", "talked", "asked")
    assert shown["talk_from"] == "2025-11-22T21:20:00Z"
    assert shown["talk_to"] == "2025-11-22T21:21:23.400000Z"
    assert "7.17" in house.invoke(call, "show", talked).stdout


def test_explain_gives_every_event_every_step_and_every_posting(house: Any, talked: str) -> None:
    story = read(house, call, "explain", talked)
    assert [event["at"] for event in story["events"]] == sorted(event["at"] for event in story["events"])
    assert {event["source"] for event in story["events"]} == {"asterisk", "program"}
    assert story["talk"]["seconds"] == "83.400000"
    assert story["tariff"]["segments"][0]["price_per_minute"] == "1.55"
    amounts = {step["what"]: step["amount"] for step in story["steps"]}
    assert (amounts["total"], amounts["commission"], amounts["consultant"]) == ("7.17", "2.15", "5.02")
    assert "difference" not in amounts
    assert sum(Decimal(entry["amount"]) for entry in story["postings"]) == 0
    text = house.invoke(call, "explain", talked).stdout
    for part in (
        "BRIDGE_ENTER",
        "accepted",
        "84 s x 1.55 / 60 = 2.17",
        "client left first",
        "call:261122-call01:talk",
    ):
        assert part in text


def test_explain_names_a_receipt_that_the_sum_does_not_give(house: Any, talked: str) -> None:
    def harm(session: Any) -> None:
        found = session.get_one(Call, talked)
        found.receipt.total += 1
        found.receipt.commission += 1

    house.database.do(harm)
    assert read(house, call, "explain", talked)["steps"][-1]["what"] == "difference"


def test_explain_of_a_talk_that_ended_too_late_says_what_was_not_charged(house: Any) -> None:
    call_id = house.call(house.client(credit=155), house.consultant())
    house.write(*house.talk(call_id, "60.2"))
    Meter(house.settings, house.database).read_once()
    steps = read(house, call, "explain", call_id)["steps"]
    assert "lasted 60.200000 s" in steps[0]["text"]
    assert steps[-1]["what"] == "consultant"


def test_explain_of_a_call_that_nobody_accepted_says_so(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant(), accept=False)
    text = house.invoke(call, "explain", call_id).stdout
    assert "The two parties were never connected" in text
    assert "did not accept" in text


def test_a_receipt_is_in_the_clients_language_and_exact_for_programs(house: Any, talked: str) -> None:
    shown = read(house, receipt, "show", talked)
    assert shown["total"] == "7.17"
    assert [(line["what"], line["amount"]) for line in shown["lines"]] == [
        ("talk", "2.17"),
        ("recording", "5.00"),
    ]
    assert (shown["statement"]["share"], shown["statement"]["commission"]) == ("5.02", "2.15")
    text = house.invoke(receipt, "show", talked).stdout.replace("\xa0", " ")
    for part in (
        "Reçu",
        "Numéro : 1",
        "Consultation",
        "1 min 24 s",
        "1,55 € / min",
        "7,17 €",
        "votre part 5,02 €",
    ):
        assert part in text


def test_a_receipt_of_a_network_fault_says_that_nothing_is_charged(house: Any) -> None:
    consultant = house.consultant(package_price=Decimal(60), package_minutes=60)
    call_id = house.call(house.client(), consultant, mode="package")
    house.write(*house.talk(call_id, "12"))
    Meter(house.settings, house.database).read_once()
    assert read(house, receipt, "show", call_id)["network_fault"] is True
    assert "rien n'est facturé" in house.invoke(receipt, "show", call_id).stdout


def test_a_package_and_the_tax_inside_it_are_named(house: Any) -> None:
    billing = house.settings.billing.model_copy(update={"vat": Decimal("0.20")})
    house.settings = house.settings.model_copy(update={"billing": billing})
    consultant = house.consultant(package_price=Decimal(60), package_minutes=60)
    call_id = house.call(house.client(), consultant, mode="package")
    house.write(*house.talk(call_id, "3661"))
    Meter(house.settings, house.database).read_once()
    shown = read(house, receipt, "show", call_id)
    assert Decimal(shown["net"]) + Decimal(shown["vat"]) == Decimal(shown["total"]) == Decimal("61.58")
    text = house.invoke(receipt, "show", call_id).stdout
    for part in ("Forfait", "Compris dans le forfait", "60 min 00 s", "Au-delà du forfait", "TVA (20 %)"):
        assert part in text


def test_a_call_without_a_receipt_says_where_to_look(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant())
    with pytest.raises(UsageError, match="call show"):
        house.invoke(receipt, "show", call_id)


def test_a_correct_ledger_is_reported_and_a_wrong_one_exits_with_1_and_its_rows(
    house: Any, talked: str
) -> None:
    del talked
    assert read(house, ledger, "check") == {"ok": True, "problems": []}
    assert "No problems" in house.invoke(ledger, "check").stdout
    house.database.do(
        lambda s: s.execute(update(Account).where(Account.kind == "earnings").values(balance=1))
    )
    wrong = house.invoke(ledger, "check", "--json")
    assert wrong.exit_code == 1
    assert json.loads(wrong.stdout)["problems"][0]["where"] == "earnings 1"
    shown = house.invoke(ledger, "check")
    assert shown.exit_code == 1
    assert "its entries sum to 502" in shown.stdout


def test_the_balances_sum_to_zero(house: Any, talked: str) -> None:
    del talked
    rows = read(house, ledger, "balances")
    assert {row["kind"] for row in rows} == {"wallet", "top_up", "earnings", "commission", "recording_fees"}
    assert sum(Decimal(row["balance"]) for row in rows) == 0


def test_a_name_with_brackets_is_shown_as_it_is(house: Any, talked: str) -> None:
    house.database.do(lambda s: s.execute(update(Consultant).values(name="Anne [/bold]")))
    assert "Anne [/bold]" in house.invoke(receipt, "show", talked).stdout
    assert "Anne [/bold]" in house.invoke(call, "list").stdout
    assert "Anne [/bold]" in house.invoke(call, "show", talked).stdout
