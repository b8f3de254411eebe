"""Re-rating a call: reversed and charged again in one transaction, never twice, never more than was held."""

import json
import threading
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from taxiphone.billing.evidence import cel
from taxiphone.billing.ledger import postings
from taxiphone.billing.ledger.refunds import refund
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.rating import settle_recording
from taxiphone.billing.rerating import Rerated, rerate
from taxiphone.commands.call import call as call_command
from taxiphone.commands.receipt import receipt as receipt_command
from taxiphone.errors import InsufficientFundsError, LedgerError, UsageError
from taxiphone.store.models import Call, CelRow, Posting

START = 1_763_846_400


def talked(house: Any, seconds: str = "60", *, credit: int = 10_000, recorded: bool = False) -> str:
    billing = house.settings.billing.model_copy(update={"vat": Decimal("0.20")})
    house.settings = house.settings.model_copy(update={"billing": billing})
    call_id: str = house.call(
        house.client(credit), house.consultant(recording_allowed=True), recorded=recorded
    )
    house.write(*house.talk(call_id, seconds))
    Meter(house.settings, house.database).read_once()
    if recorded:
        house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=True))
    return call_id


def correct(house: Any, call_id: str, seconds: str) -> None:
    """Replace the rows with those of a repaired log in which the talk ends at another moment."""
    lines = house.talk(call_id, seconds)

    def work(session: Any) -> None:
        legs = [session.get_one(Call, call_id).client_channel, f"{call_id}.consultant"]
        known = session.scalars(select(CelRow).where(CelRow.channel.in_(legs)).order_by(CelRow.offset)).all()
        for row, line in zip(known, lines, strict=True):
            row.at = cel.parse(line.rstrip("\n")).at

    house.database.do(work)


def again(house: Any, call_id: str, reason: str = "") -> Rerated:
    done: Rerated = house.database.do(lambda s: rerate(s, s.get_one(Call, call_id), reason))
    return done


def count_postings(house: Any) -> int:
    return len(house.database.do(lambda s: s.scalars(select(Posting.id)).all()))


def test_the_same_price_posts_nothing_and_says_so(house: Any) -> None:
    call_id = talked(house, recorded=True)
    before = count_postings(house)
    assert again(house, call_id).changed is False
    text = house.invoke(call_command, "rate", "--again", call_id).stdout
    assert "costs 6.55 EUR: nothing was posted" in text
    assert count_postings(house) == before


def test_a_lower_price_goes_back_to_the_wallet(house: Any) -> None:
    call_id = talked(house, "120")
    correct(house, call_id, "60")
    done = again(house, call_id, "the end was wrong")
    assert (done.before, done.receipt.total, done.changed) == (310, 155, True)
    assert house.balance(postings.WALLET, 1) == 10_000 - 155
    assert house.balance(postings.EARNINGS, 1) == 155 - 47  # 30 % of 1.55 is 0.465, half up 0.47
    assert house.balance(postings.HOLD, call_id) == 0
    assert house.get(call_id).billed_seconds == 60
    assert house.problems() == []


def test_a_lower_price_works_even_if_the_released_credit_was_spent(house: Any) -> None:
    call_id = talked(house, "120", credit=1_000)
    other = house.call(1, 1)  # holds all that is left
    assert house.balance(postings.WALLET, 1) < 155
    correct(house, call_id, "60")
    assert again(house, call_id).changed
    assert house.problems() == []
    assert house.balance(postings.HOLD, other) > 0


def test_a_higher_price_comes_from_the_wallet(house: Any) -> None:
    call_id = talked(house, "60", recorded=True)
    correct(house, call_id, "120.5")
    done = again(house, call_id)
    assert (done.before, done.receipt.total) == (655, 500 + 313)  # 121 s x 1.55 / 60 = 3.1258, half up 3.13
    assert house.balance(postings.WALLET, 1) == 10_000 - 813
    assert house.balance(postings.EARNINGS, 1) == done.receipt.consultant_share == 813 - 244
    assert house.problems() == []


def test_a_higher_price_that_the_wallet_can_not_pay_is_refused_and_changes_nothing(house: Any) -> None:
    call_id = talked(house, "60", credit=1_000)
    house.call(1, 1)  # the rest is held for another call
    correct(house, call_id, "300")
    before = count_postings(house)
    with pytest.raises(InsufficientFundsError, match="the call keeps its price"):
        house.invoke(call_command, "rate", "--again", call_id)
    assert count_postings(house) == before
    assert house.get(call_id).receipt.total == 155
    assert house.problems() == []


def test_never_more_than_was_held_when_it_was_accepted(house: Any) -> None:
    call_id = talked(house, "60", credit=310)
    house.database.do(lambda s: postings.top_up(s, 1, 10_000, "EUR", "later"))
    correct(house, call_id, "600")
    assert again(house, call_id).receipt.total == 310
    assert house.balance(postings.WALLET, 1) == 10_000
    assert house.problems() == []


def test_repeated_rerating_makes_versions_of_one_receipt_with_the_balances_of_the_last(
    house: Any,
) -> None:
    call_id = talked(house, "60", recorded=True)
    for seconds, total in (("120", 810), ("30", 578), ("30", 578), ("61", 658)):
        correct(house, call_id, seconds)
        assert again(house, call_id, f"{seconds} s").receipt.total == total
        assert house.balance(postings.WALLET, 1) == 10_000 - total
        assert house.problems() == []
    shown = json.loads(house.invoke(receipt_command, "show", call_id, "--json").stdout)
    assert (shown["number"], shown["version"]) == (1, 4)
    assert [old["total"] for old in shown["replaces"]] == ["6.55", "8.10", "5.78"]
    assert [old["reason"] for old in shown["replaces"]] == ["120 s", "30 s", "61 s"]
    text = house.invoke(receipt_command, "show", call_id).stdout
    assert "Numéro : 1-4" in text
    assert "Remplace la version 3 du " in text


def test_the_explanation_shows_the_prices_before_and_proves_the_one_now(house: Any) -> None:
    call_id = talked(house, "60")
    correct(house, call_id, "90")
    again(house, call_id, "late rows")
    story = json.loads(house.invoke(call_command, "explain", call_id, "--json").stdout)
    assert "difference" not in {step["what"] for step in story["steps"]}
    assert (story["total"], story["former"][0]["total"], story["former"][0]["reason"]) == (
        "2.33",
        "1.55",
        "late rows",
    )
    assert {entry["kind"] for entry in story["postings"]} == {"hold", "charge", "release", "reversal"}
    text = house.invoke(call_command, "explain", call_id).stdout
    assert "late rows" in text
    assert f"call:{call_id}:talk:reversed" in text


def test_two_at_once_charge_once(house: Any) -> None:
    call_id = talked(house, "60")
    correct(house, call_id, "120")
    changed: list[bool] = []
    threads = [
        threading.Thread(target=lambda: changed.append(again(house, call_id).changed)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(changed) == [False, False, False, True]
    assert house.balance(postings.WALLET, 1) == 10_000 - 310
    assert house.problems() == []


def test_a_call_that_can_not_be_rerated_says_why(house: Any) -> None:
    call_id = talked(house, "60")
    open_call = house.call(1, 1)
    with pytest.raises(UsageError, match="never priced"):
        again(house, open_call)
    with pytest.raises(UsageError, match="--again"):
        house.invoke(call_command, "rate", call_id)
    with pytest.raises(UsageError, match="one line"):
        again(house, call_id, "x" * 201)
    house.database.do(lambda s: refund(s, s.get_one(Call, call_id), 10, "bad line", "first"))
    correct(house, call_id, "120")
    with pytest.raises(LedgerError, match="were refunded"):
        again(house, call_id)
    house.database.do(lambda s: s.query(CelRow).delete())
    assert house.problems() == []


def test_a_log_without_the_talk_is_no_reason_to_refund_everything(house: Any) -> None:
    call_id = talked(house, "60")
    house.database.do(lambda s: s.query(CelRow).delete())
    with pytest.raises(LedgerError, match="has no talk of call"):
        again(house, call_id)


def test_the_hold_of_a_pending_recording_survives_rerating(house: Any) -> None:
    call_id = talked(house, "60")
    del call_id
    late = house.call(1, 1, recorded=True)
    house.write(*house.talk(late, "60", at=START + 3600))
    Meter(house.settings, house.database).read_once()
    lines = house.talk(late, "120", at=START + 3600)

    def longer(session: Any) -> None:
        legs = [session.get_one(Call, late).client_channel, f"{late}.consultant"]
        rows = session.scalars(select(CelRow).where(CelRow.channel.in_(legs)).order_by(CelRow.offset)).all()
        for row, line in zip(rows, lines, strict=True):
            row.at = cel.parse(line.rstrip("\n")).at

    house.database.do(longer)
    done = again(house, late)
    assert (done.receipt.total, done.receipt.recording_pending) == (310, True)
    assert house.balance(postings.HOLD, late) == 500
    house.database.do(lambda s: settle_recording(s, s.get_one(Call, late), ready=True))
    assert house.get(late).receipt.total == 810
    assert house.problems() == []
