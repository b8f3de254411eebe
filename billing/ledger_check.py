"""Checks the ledger: rules that every posting, balance, call and receipt must meet, and where one doesn't."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, exists, func, select
from sqlalchemy.orm import Session

from taxiphone.billing.ledger.postings import (
    CHARGE,
    COMMISSION,
    EARNINGS,
    HOLD,
    KEPT,
    RECORDING_FEES,
    REFUND,
    REVERSAL,
    VAT,
    WALLET,
)
from taxiphone.billing.metering import log_gaps, stale_holds, unpriced
from taxiphone.store.calls import Status
from taxiphone.store.models import Account, Call, CreditNote, Entry, Posting, Receipt


@dataclass(frozen=True, slots=True)
class Problem:
    """A violation of a rule of the ledger.

    Attributes:
        what: the rule, in one or two words.
        where: the posting's key, the account or the call.
        text: one sentence with the amounts, in minor units.
    """

    what: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def check(session: Session) -> list[Problem]:
    """Return all problems; an empty list proves that there are none.

    The rules: every posting sums to zero over two or more entries. Every balance is the sum of its entries. No wallet and no
    hold is negative. Every priced call was posted exactly once, as its receipt says. Every refund was posted as its credit
    note says, and does not exceed what was paid. Nothing is still held for a call that is over. Every call that is over could
    be priced.
    """
    return [
        *_unbalanced(session),
        *_balances(session),
        *_negative(session),
        *_receipts(session),
        *_credit_notes(session),
        *_unpriced(session),
        *_left_held(session),
        *(
            Problem("log gap", str(gap.id), f"{gap.text} {log_gaps.ADVICE} {gap.id}")
            for gap in log_gaps.find(session)
        ),
    ]


def _unbalanced(session: Session) -> Iterator[Problem]:
    sums = (
        select(Posting.key, Account.currency, func.sum(Entry.amount))
        .join(Entry, Entry.posting_id == Posting.id)
        .join(Account, Account.id == Entry.account_id)
        .group_by(Posting.key, Account.currency)
        .having(func.sum(Entry.amount) != 0)
    )
    for key, currency, amount in session.execute(sums):
        yield Problem("unbalanced", key, f"its entries in {currency} sum to {amount}, not to zero")
    incomplete = (
        select(Posting.key, func.count(Entry.id))
        .outerjoin(Entry, Entry.posting_id == Posting.id)
        .group_by(Posting.key)
        .having(func.count(Entry.id) < 2)  # noqa: PLR2004 - double entry
    )
    for key, entries in session.execute(incomplete):
        yield Problem("unbalanced", key, f"it has {entries} entries, not two or more")


def _balances(session: Session) -> Iterator[Problem]:
    entered = func.coalesce(func.sum(Entry.amount), 0)
    wrong = (
        select(Account.kind, Account.owner, Account.balance, entered)
        .outerjoin(Entry, Entry.account_id == Account.id)
        .group_by(Account.id, Account.kind, Account.owner, Account.balance)
        .having((Account.balance != entered) | (Account.kind.in_(KEPT) & Account.balance.is_(None)))
    )
    for kind, owner, balance, total in session.execute(wrong):
        yield Problem(
            "balance", f"{kind} {owner}".strip(), f"its balance is {balance}, its entries sum to {total}"
        )


def _negative(session: Session) -> Iterator[Problem]:
    below = select(Account.kind, Account.owner, Account.balance).where(
        Account.kind.in_((WALLET, HOLD)), Account.balance < 0
    )
    for kind, owner, balance in session.execute(below):
        yield Problem("negative", f"{kind} {owner}", f"its balance is {balance}, below zero")


def _receipts(session: Session) -> Iterator[Problem]:
    """Compare receipts with the charges of their calls, less reversed ones."""

    def earned(*kinds: str) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((Account.kind.in_(kinds), Entry.amount), else_=0)), 0)

    rows = session.execute(
        select(
            Receipt.call_id,
            Receipt.lines,
            Receipt.total,
            Receipt.commission,
            Receipt.consultant_share,
            Receipt.vat,
            earned(COMMISSION, RECORDING_FEES, VAT),
            earned(EARNINGS),
            earned(VAT),
        )
        .outerjoin(Posting, and_(Posting.call_id == Receipt.call_id, Posting.kind.in_((CHARGE, REVERSAL))))
        .outerjoin(Entry, Entry.posting_id == Posting.id)
        .outerjoin(Account, Account.id == Entry.account_id)
        .group_by(Receipt.number)
    ).yield_per(1000)
    for call_id, lines, total, commission, share, vat, posted_commission, posted_share, posted_vat in rows:
        listed = sum(line["amount"] for line in lines)
        if listed != total:
            yield Problem("receipt", call_id, f"its lines sum to {listed}, its total is {total}")
        if commission + share != total:
            yield Problem(
                "receipt", call_id, f"commission {commission} and share {share} do not sum to {total}"
            )
        if (commission, share, vat) != (posted_commission, posted_share, posted_vat):
            yield Problem(
                "receipt",
                call_id,
                f"it says commission {commission}, share {share}, tax {vat}, "
                f"posted were {posted_commission}, {posted_share}, {posted_vat}",
            )


def _credit_notes(session: Session) -> Iterator[Problem]:
    """Compare credit notes with their postings and with what was paid."""

    def moved(kind: str) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((Account.kind == kind, Entry.amount), else_=0)), 0)

    rows = session.execute(
        select(Posting.key, CreditNote, moved(WALLET), moved(EARNINGS), moved(VAT))
        .outerjoin_from(CreditNote, Posting, Posting.key == CreditNote.key)
        .outerjoin(Entry, Entry.posting_id == Posting.id)
        .outerjoin(Account, Account.id == Entry.account_id)
        .group_by(CreditNote.number, Posting.id)
    )
    for key, note, wallet, earnings, vat in rows:
        stated = (note.amount, note.consultant_share, note.vat)
        if key is None or stated != (wallet, -earnings, -vat):
            text = f"credit note {note.number} says {note.amount}, share {note.consultant_share}, tax {note.vat}, "
            yield Problem("credit note", note.call_id, text + f"posted were {wallet}, {-earnings}, {-vat}")
    without_note = select(Posting.key).where(
        Posting.kind == REFUND, ~exists().where(CreditNote.key == Posting.key)
    )
    for (key,) in session.execute(without_note):
        yield Problem("credit note", key, "a refund was posted without a credit note")
    above = (
        select(Receipt.call_id, Receipt.total, func.sum(CreditNote.amount))
        .join(CreditNote, CreditNote.call_id == Receipt.call_id)
        .group_by(Receipt.number)
        .having(func.sum(CreditNote.amount) > Receipt.total)
    )
    for call_id, total, amount in session.execute(above):
        yield Problem("credit note", call_id, f"{amount} were refunded of {total}")


def _unpriced(session: Session) -> Iterator[Problem]:
    without_receipt = select(Call.id).where(
        Call.status == Status.RATED, ~exists().where(Receipt.call_id == Call.id)
    )
    for (call_id,) in session.execute(without_receipt):
        yield Problem("unpriced", call_id, "the call is marked as priced and has no receipt")
    early = (
        select(Receipt.call_id, Call.status)
        .join(Call, Call.id == Receipt.call_id)
        .where(Call.status != Status.RATED)
    )
    for call_id, status in session.execute(early):
        yield Problem("unpriced", call_id, f"the call has a receipt and is marked as {status}")
    charged = (
        select(Posting.key, Posting.call_id)
        .where(Posting.kind == CHARGE, ~exists().where(Receipt.call_id == Posting.call_id))
        .order_by(Posting.id)
    )
    for key, charged_call in session.execute(charged):
        yield Problem("unpriced", key, f"call {charged_call} was charged and has no receipt")
    for call in unpriced.find(session):
        text = f"the call is over and can't be priced: {call.why}. Once the cause is gone: taxiphone call rate {call.call_id}"
        yield Problem("unpriced", call.call_id, text)


def _left_held(session: Session) -> Iterator[Problem]:
    for stale in stale_holds.find(session):
        if not stale.unpriced:
            yield Problem("held", stale.call_id, f"{stale.amount} are still held, and {stale.why}")
