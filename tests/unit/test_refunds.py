"""Refunds are taken from everyone who received the price, never exceed what was paid, and are exact to the cent."""

import json
import threading
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from taxiphone.billing.ledger import payouts, postings, refunds
from taxiphone.billing.ledger.keys import new_key
from taxiphone.billing.ledger.refunds import refund
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.pricing.tariff_price import half_up
from taxiphone.billing.rating import settle_recording
from taxiphone.commands.call import call as call_command
from taxiphone.commands.receipt import receipt as receipt_command
from taxiphone.commands.refund import refund as refund_command
from taxiphone.errors import LedgerError, UsageError
from taxiphone.store.models import Account, Call, CreditNote


def talked(house: Any, seconds: str = "83.4", *, vat: str = "0.20", recorded: bool = True) -> str:
    """A call at 1.55 a minute, recorded (5.00), with tax inside: 2.17 + 5.00 = 7.17."""
    billing = house.settings.billing.model_copy(update={"vat": Decimal(vat)})
    house.settings = house.settings.model_copy(update={"billing": billing})
    call_id: str = house.call(house.client(), house.consultant(recording_allowed=True), recorded=recorded)
    house.write(*house.talk(call_id, seconds))
    Meter(house.settings, house.database).read_once()
    if recorded:
        house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=True))
    return call_id


def give(
    house: Any, call_id: str, amount: int | None, key: str | None = None, reason: str = "bad line"
) -> CreditNote:
    given = new_key() if key is None else key
    made: CreditNote = house.database.do(lambda s: refund(s, s.get_one(Call, call_id), amount, reason, given))
    return made


def test_a_partial_refund_is_taken_from_each_account_in_proportion(house: Any) -> None:
    call_id = talked(house)
    note = give(house, call_id, 100)
    # 7.17 paid: 5.02 consultant, 2.15 commission, of which 1.20 tax (7.17 / 1.20 = 5.975, half up 5.98: tax 1.19)
    assert (note.amount, note.consultant_share, note.commission) == (100, 70, 30)
    assert note.vat == half_up(100 * 119, 717)
    assert house.balance(postings.WALLET, 1) == 10_000 - 717 + 100
    assert house.balance(postings.EARNINGS, 1) == 502 - 70
    assert house.balance(postings.VAT) == 119 - note.vat
    assert house.balance(postings.REFUNDS) == -(30 - note.vat)
    assert house.problems() == []


def test_a_full_refund_restores_every_account(house: Any) -> None:
    call_id = talked(house)
    give(house, call_id, 1)
    give(house, call_id, 333)
    note = give(house, call_id, None)
    assert note.amount == 717 - 334
    assert house.balance(postings.WALLET, 1) == 10_000
    assert house.balance(postings.EARNINGS, 1) == house.balance(postings.VAT) == 0
    platform = (postings.COMMISSION, postings.RECORDING_FEES, postings.REFUNDS)
    assert sum(house.balance(kind) for kind in platform) == 0
    with pytest.raises(LedgerError, match="nothing is left"):
        give(house, call_id, None)
    assert house.problems() == []


def test_never_more_than_was_paid_over_all_refunds(house: Any) -> None:
    call_id = talked(house)
    give(house, call_id, 700)
    with pytest.raises(LedgerError, match=r"0\.17 EUR are left"):
        give(house, call_id, 18)
    assert house.balance(postings.WALLET, 1) == 10_000 - 17
    give(house, call_id, 17)


def test_a_key_of_a_partial_refund_does_not_stand_for_everything(house: Any) -> None:
    call_id = talked(house)
    give(house, call_id, 100, "a")
    with pytest.raises(LedgerError, match=r"the key a was used for a refund of 1\.00 EUR"):
        give(house, call_id, None, "a")
    whole = give(house, call_id, None, "b")
    assert give(house, call_id, None, "b").number == whole.number


def test_the_same_key_refunds_once(house: Any) -> None:
    call_id = talked(house)
    first = give(house, call_id, 200, "ticket-1")
    assert give(house, call_id, 200, "ticket-1").number == first.number
    with pytest.raises(LedgerError, match=r"was used for a refund of 2\.00 EUR"):
        give(house, call_id, 201, "ticket-1")
    assert house.balance(postings.WALLET, 1) == 10_000 - 517


def test_two_concurrent_refunds_never_exceed_what_was_paid(house: Any) -> None:
    call_id = talked(house)
    made: list[int] = []

    def one() -> None:
        try:
            made.append(give(house, call_id, 400).amount)
        except LedgerError:
            made.append(0)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(made) == [0, 0, 0, 400]
    assert house.problems() == []


def test_a_consultant_who_was_paid_out_owes_it(house: Any) -> None:
    call_id = talked(house)
    house.database.do(lambda s: payouts.pay(s, 1, "EUR", 0, new_key()))
    shown = json.loads(
        house.invoke(refund_command, call_id, "--all", "--reason", "bad line", "--json").stdout
    )
    assert (shown["amount"], shown["consultant_owes"], shown["left"]) == ("7.17", "5.02", "0.00")
    assert house.balance(postings.EARNINGS, 1) == -502
    assert house.database.do(lambda s: payouts.pay(s, 1, "EUR", 0, new_key()))[1] is None
    assert house.problems() == []


def test_an_invalid_refund_is_refused_in_one_sentence(house: Any) -> None:
    call_id = talked(house)
    unpriced = house.call(house.client(code="7002"), 1)
    for arguments, sentence in (
        ((call_id, "--reason", "x"), "either AMOUNT or --all"),
        ((call_id, "1", "--all", "--reason", "x"), "either AMOUNT or --all"),
        ((call_id, "-1", "--reason", "x"), "more than 0"),
        ((call_id, "0", "--reason", "x"), "more than 0"),
        ((call_id, "0.001", "--reason", "x"), "more decimals"),
        ((call_id, "1", "--reason", " "), "a reason is one line"),
        ((call_id, "1", "--reason", "two\nlines"), "a reason is one line"),
        ((call_id, "1", "--reason", "x", "--key", "k" * 51), "a key is one line"),
        ((unpriced, "1", "--reason", "x"), "no receipt"),
    ):
        with pytest.raises(UsageError, match=sentence):
            house.invoke(refund_command, *arguments)
    assert house.invoke(refund_command, call_id, "1").exit_code == 2  # no --reason
    assert house.balance(postings.WALLET, 1) == 10_000 - 717


def test_the_refund_command_prints_where_the_money_came_from_and_what_remains(house: Any) -> None:
    call_id = talked(house)
    text = house.invoke(refund_command, call_id, "1.00", "--reason", "bad line").stdout
    assert "Credit note 1: 1.00 EUR" in text
    assert "0.70 from the consultant and 0.30 from the platform" in text
    assert "Still paid for the call: 6.17 EUR" in text


def test_the_receipt_and_the_explanation_show_the_credit_note(house: Any) -> None:
    call_id = talked(house)
    give(house, call_id, 100, reason="mauvaise ligne")
    shown = json.loads(house.invoke(receipt_command, "show", call_id, "--json").stdout)
    (note,) = shown["credit_notes"]
    assert (note["amount"], note["reason"], shown["refunded"], shown["paid"]) == (
        "1.00",
        "mauvaise ligne",
        "1.00",
        "6.17",
    )
    assert Decimal(note["net"]) + Decimal(note["vat"]) == Decimal(note["amount"])
    assert Decimal(shown["net"]) + Decimal(shown["vat"]) == Decimal(shown["total"])
    text = house.invoke(receipt_command, "show", call_id).stdout.replace("\xa0", " ")
    for part in ("Avoir n° 1 du ", "mauvaise ligne", "-1,00 €", "Payé après remboursement", "6,17 €"):
        assert part in text
    story = json.loads(house.invoke(call_command, "explain", call_id, "--json").stdout)
    assert [step["what"] for step in story["steps"]].count("difference") == 0
    assert (story["refunds"][0]["consultant"], story["paid"]) == ("0.70", "6.17")
    assert sum(Decimal(entry["amount"]) for entry in story["postings"]) == 0
    assert "Paid after refunds: 6.17 EUR" in house.invoke(call_command, "explain", call_id).stdout


def test_a_recording_that_is_ready_after_a_refund_can_still_be_refunded(house: Any) -> None:
    call_id = talked(house, recorded=False)
    del call_id
    late = house.call(1, 1, recorded=True)
    house.write(*house.talk(late, "60", at=1_763_850_000))
    Meter(house.settings, house.database).read_once()
    give(house, late, 100)
    house.database.do(lambda s: settle_recording(s, s.get_one(Call, late), ready=True))
    assert give(house, late, None).amount == 155 + 500 - 100
    assert house.database.do(lambda s: sum(refunds.paid_shares(s, late).values())) == 0
    assert house.problems() == []


def test_a_credit_note_that_is_not_as_posted_is_found(house: Any) -> None:
    call_id = talked(house)
    give(house, call_id, 100)
    house.database.do(lambda s: s.execute(update(CreditNote).values(amount=99, commission=29)))
    assert house.problems() == ["credit note"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pockets=st.tuples(st.integers(0, 9_999), st.integers(-500, 9_999), st.integers(0, 2_000)),
    parts=st.lists(st.integers(1, 4_000), max_size=12),
)
def test_however_a_price_is_refunded_the_parts_sum_and_a_full_refund_empties_every_account(
    pockets: tuple[int, int, int], parts: list[int]
) -> None:
    earnings, platform, tax = pockets
    for part in [*parts, None]:
        left = earnings + platform + tax
        if left <= 0:
            return
        amount = left if part is None else min(part, left)
        share, vat = refunds.part(amount, earnings, left), refunds.part(amount, tax, left)
        assert 0 <= share <= earnings
        assert 0 <= vat <= tax
        earnings, tax, platform = earnings - share, tax - vat, platform - (amount - share - vat)
    assert (earnings, platform, tax) == (0, 0, 0)


def test_the_wallets_of_others_are_not_touched(house: Any) -> None:
    call_id = talked(house)
    house.client(code="7002")
    give(house, call_id, None)
    rows = house.database.do(
        lambda s: [
            s.get_one(Account, number).balance for (number,) in s.query(Account.id).filter_by(kind="wallet")
        ]
    )
    assert rows == [10_000, 10_000]
