"""Payouts: every cent earned is paid once, even if runs are repeated, concurrent, or for a day in the past."""

import json
import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from taxiphone.billing.ledger import double_entry, payouts, postings
from taxiphone.billing.ledger.postings import Change
from taxiphone.commands.payout import payout
from taxiphone.errors import LedgerError, UsageError

DAY = date(2026, 11, 22)


def earn(house: Any, consultant: int, amount: int, key: str) -> None:
    """Create earnings, paid from the platform's commission."""
    changes = [
        Change(postings.EARNINGS, str(consultant), "EUR", amount),
        Change(postings.COMMISSION, "", "EUR", -amount),
    ]
    house.database.do(lambda s: postings.post(s, key, "test", changes))


def on(monkeypatch: pytest.MonkeyPatch, day: date) -> None:
    """Make further postings on this day."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    monkeypatch.setattr(double_entry, "now", lambda: noon)


def run(house: Any, *arguments: str) -> Any:
    return house.invoke(payout, *arguments)


def rows(house: Any, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(house, *arguments, "--json").stdout)
    return found


def test_earnings_are_paid_once(house: Any) -> None:
    anne = house.consultant()
    earn(house, anne, 5_020, "a")
    (row,) = rows(house, "run")
    assert (row["consultant"], row["earned"], row["paid"], row["note"]) == ("101", "50.20", "50.20", None)
    assert rows(house, "run") == []
    assert house.balance(postings.EARNINGS, anne) == 0
    assert house.balance(postings.PAYOUTS, anne) == 5_020
    earn(house, anne, 1_000, "b")
    assert [row["paid"] for row in rows(house, "run")] == ["10.00"]
    assert [row["amount"] for row in rows(house, "list")] == ["10.00", "50.20"]


def test_earnings_below_the_minimum_accumulate(house: Any) -> None:
    anne = house.consultant()
    earn(house, anne, 999, "a")
    (row,) = rows(house, "run")
    assert (row["paid"], row["note"]) == ("0.00", "below the minimum of 10.00 EUR")
    assert [row["paid"] for row in rows(house, "run", "--minimum", "9.99", "--dry-run")] == ["9.99"]
    assert house.balance(postings.EARNINGS, anne) == 999
    earn(house, anne, 1, "b")
    assert [row["paid"] for row in rows(house, "run")] == ["10.00"]


def test_a_dry_run_posts_nothing_and_says_so(house: Any) -> None:
    earn(house, house.consultant(), 2_000, "a")
    text = run(house, "run", "--dry-run").stdout
    assert "20.00 EUR would be paid; nothing was posted" in text
    assert run(house, "list").stdout.strip() == "No payouts yet."


def test_a_consultant_who_owes_is_shown_and_not_paid(house: Any) -> None:
    anne = house.consultant()
    earn(house, anne, -500, "a")
    (row,) = rows(house, "run", "--minimum", "0")
    assert (row["earned"], row["paid"], row["note"]) == ("-5.00", "0.00", "owes this amount")
    earn(house, anne, 1_700, "b")
    assert [row["paid"] for row in rows(house, "run")] == ["12.00"]


def test_runs_at_once_pay_once(house: Any) -> None:
    anne = house.consultant()
    earn(house, anne, 5_020, "a")
    paid: list[int] = []

    def pay(number: int) -> None:
        earn(house, anne, 1, f"more-{number}")
        _, made = house.database.do(lambda s: payouts.pay(s, anne, "EUR", 0, f"run {number}"))
        paid.append(0 if made is None else 1)

    threads = [threading.Thread(target=pay, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert house.balance(postings.PAYOUTS, anne) + house.balance(postings.EARNINGS, anne) == 5_026
    assert house.balance(postings.EARNINGS, anne) == 0
    assert len(rows(house, "list")) == sum(paid)


def test_a_run_that_is_repeated_with_its_key_prints_the_same_payouts_and_pays_nothing(house: Any) -> None:
    anne = house.consultant()
    earn(house, anne, 2_000, "a")
    (made,) = rows(house, "run", "--key", "november")
    earn(house, anne, 3_000, "b")
    assert rows(house, "run", "--key", "november") == [made]
    assert house.balance(postings.EARNINGS, anne) == 3_000
    with pytest.raises(LedgerError, match="used for a run without a last day"):
        run(house, "run", "--key", "november", "--until", str(DAY))
    assert [row["paid"] for row in rows(house, "run")] == ["30.00"]
    assert rows(house, "run", "--key", "november") == [made], "although nothing is due any more"


def test_a_run_prints_the_key_with_which_it_can_be_repeated(house: Any) -> None:
    earn(house, house.consultant(), 2_000, "a")
    first = run(house, "run", "--json")
    key = first.stderr.strip().rpartition("--key ")[2]
    assert run(house, "run", "--json", "--key", key).stdout == first.stdout


def test_until_a_day_pays_what_was_earned_by_then(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    anne = house.consultant()
    on(monkeypatch, DAY)
    earn(house, anne, 3_000, "a")
    on(monkeypatch, DAY + timedelta(days=1))
    earn(house, anne, 4_000, "b")
    assert [row["paid"] for row in rows(house, "run", "--until", str(DAY))] == ["30.00"]
    assert [row["note"] for row in rows(house, "run", "--until", str(DAY))] == ["nothing due"]
    assert rows(house, "list")[0]["memo"] == "until 2026-11-22"
    assert [row["paid"] for row in rows(house, "run")] == ["40.00"]


def test_until_a_day_does_not_pay_what_was_deducted_later(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    anne = house.consultant()
    on(monkeypatch, DAY)
    earn(house, anne, 3_000, "a")
    on(monkeypatch, DAY + timedelta(days=3))
    earn(house, anne, -2_500, "refund")
    earn(house, anne, 9_000, "b")
    (row,) = rows(house, "run", "--until", str(DAY), "--minimum", "0")
    assert row["paid"] == "5.00"


def test_payouts_can_be_listed_for_one_consultant(house: Any) -> None:
    anne, paul = house.consultant(), house.consultant(code="102")
    earn(house, anne, 2_000, "a")
    earn(house, paul, 3_000, "b")
    assert [row["consultant"] for row in rows(house, "run")] == ["101", "102"]
    assert [row["amount"] for row in rows(house, "list", "--consultant", "102")] == ["30.00"]
    with pytest.raises(UsageError, match="no consultant"):
        run(house, "list", "--consultant", "999")


def test_a_minimum_or_a_day_that_is_none_is_refused(house: Any) -> None:
    for arguments in (("--until", "22/11/2026"), ("--until", "2026-02-30"), ("--minimum", "ten")):
        assert run(house, "run", *arguments).exit_code == 2
    for minimum in ("-1", "1.001"):
        with pytest.raises(UsageError):
            run(house, "run", "--minimum", minimum)
