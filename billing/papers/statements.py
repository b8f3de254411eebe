"""Statements: a consultant's calls, corrections, refunds and payouts over a period, from opening to closing balance.

A statement is read from the ledger entries of the consultant's earnings, so it always agrees with the ledger. It contains
nothing that identifies a client.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import case, exists, func, or_, select
from sqlalchemy.orm import Session

from taxiphone.billing.days import UTC_ZONE, begin_of, end_of
from taxiphone.billing.ledger import postings
from taxiphone.billing.ledger.keys import CallKey, Purpose, charge_keys
from taxiphone.billing.ledger.payouts import PAYOUT
from taxiphone.store.models import Account, Call, Consultant, Entry, Posting, Receipt
from taxiphone.store.types import now

CLOSED_AFTER = timedelta(minutes=10)
"""A day is closed so long after its end. No transaction takes longer (store/engines.py)."""

TALK, RECORDING, CORRECTION, AGAIN, OTHER = "talk", "recording", "correction", "again", "other"


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One posting as the consultant sees it. Amounts are in minor units; deductions are negative.

    Attributes:
        at: when it was posted.
        what: `talk`, `recording`, `correction` (reversal of the old price), `again` (the new price), `refund`, `payout`.
        call: the call's id.
        mode: the call's mode.
        seconds: billed seconds; None unless the line is for talk time.
        total: what the client paid.
        commission: the platform's part of the total, including tax.
        share: what is added to the consultant's earnings.
        payout: what was paid out.
        reason: the reason for a refund, correction or payout.
        posting: the posting's key in the ledger; None for a call that cost nothing.
        continues: the call that this one continues after it was cut off.
    """

    at: datetime
    what: str
    call: str | None
    mode: str | None
    seconds: int | None
    total: int
    commission: int
    share: int
    payout: int
    reason: str
    posting: str | None
    continues: str | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A consultant's account from the first day to the last, both included. Amounts are in minor units.

    Days are in the time zone `zone`. A line belongs to the day on which it was posted.

    Opening balance + shares + corrections (including refunds) - payouts = closing balance.
    """

    consultant: Consultant
    first: date
    last: date
    currency: str
    opening: int
    closing: int
    lines: list[StatementLine]
    zone: ZoneInfo = UTC_ZONE
    provisional: bool = False  # the period isn't closed yet, so lines may still be added

    @property
    def calls(self) -> list[StatementLine]:
        """Lines of talk and recordings."""
        return [line for line in self.lines if line.what in {TALK, RECORDING}]

    @property
    def corrections(self) -> list[StatementLine]:
        """Lines that change an earlier price: reversals, new prices and refunds."""
        return [line for line in self.lines if line.what not in {TALK, RECORDING, PAYOUT}]

    @property
    def shares(self) -> int:
        """Total earned from calls."""
        return sum(line.share for line in self.calls)

    @property
    def corrected(self) -> int:
        """Total change from corrections and refunds."""
        return sum(line.share for line in self.corrections)

    @property
    def paid_out(self) -> int:
        """Total of the payouts."""
        return sum(line.payout for line in self.lines)


def statement(
    session: Session,
    consultant: Consultant,
    currency: str,
    first: date,
    last: date,
    zone: ZoneInfo = UTC_ZONE,
    at: datetime | None = None,
) -> Statement:
    """Return a consultant's statement for a period in a time zone, first and last day included.

    Lines are selected by the time of posting, so consecutive statements have no gap and no overlap. A talk across midnight
    is in the statement of the day on which it was priced.

    A posting has the time at which it was written, shortly before it is committed and can be seen here. So a day is closed
    `CLOSED_AFTER` its end; until then the statement is provisional.

    Args:
        session: the database session.
        consultant: the consultant.
        currency: ISO 4217.
        first: the first day.
        last: the last day.
        zone: the platform's time zone.
        at: the current time; None to read the clock.
    """
    begin, end = begin_of(first, zone), end_of(last, zone)
    return Statement(
        consultant=consultant,
        first=first,
        last=last,
        currency=currency,
        opening=_balance(session, consultant.id, currency, begin),
        closing=_balance(session, consultant.id, currency, end),
        lines=sorted(
            [
                *_posted(session, consultant.id, currency, begin, end),
                *_free(session, consultant.id, begin, end),
            ],
            key=lambda line: line.at,
        ),
        zone=zone,
        provisional=(at or now()) < end + CLOSED_AFTER,
    )


def _balance(session: Session, consultant_id: int, currency: str, before: datetime) -> int:
    found = (
        select(func.coalesce(func.sum(Entry.amount), 0))
        .join(Posting, Posting.id == Entry.posting_id)
        .join(Account, Account.id == Entry.account_id)
        .where(
            Account.kind == postings.EARNINGS,
            Account.owner == str(consultant_id),
            Account.currency == currency,
            Posting.at < before,
        )
    )
    return int(session.execute(found).scalar_one())


def _posted(
    session: Session, consultant_id: int, currency: str, begin: datetime, end: datetime
) -> Iterator[StatementLine]:
    """Yield a line for each posting of the consultant's calls and earnings."""
    own = (Account.kind == postings.EARNINGS) & (Account.owner == str(consultant_id))
    outside = Account.kind.in_((postings.WALLET, postings.HOLD, postings.EARNINGS, postings.PAYOUTS))
    share = func.coalesce(func.sum(case((own, Entry.amount), else_=0)), 0)
    platform = func.coalesce(func.sum(case((outside, 0), else_=Entry.amount)), 0)
    rows = session.execute(
        select(Posting, Call, Receipt, share, platform)
        .join(Entry, Entry.posting_id == Posting.id)
        .join(Account, Account.id == Entry.account_id)
        .outerjoin(Call, Call.id == Posting.call_id)
        .outerjoin(Receipt, Receipt.call_id == Posting.call_id)
        .where(Posting.at >= begin, Posting.at < end, Account.currency == currency)
        .where(Posting.kind.not_in(("hold", postings.RELEASE, "top_up")))
        .where(or_(Call.consultant_id == consultant_id, own))
        .group_by(Posting.id, Call.id, Receipt.number)
        .order_by(Posting.id)
    )
    for posting, call, receipt, earned, kept in rows:
        paid_out = -earned if posting.kind == PAYOUT else 0
        charge = _charge(posting, receipt)
        yield StatementLine(
            at=posting.at,
            what=_what(posting, charge),
            call=posting.call_id,
            mode=None if call is None else call.mode,
            seconds=_seconds(posting, charge, call, receipt),
            total=0 if posting.kind == PAYOUT else int(earned + kept),
            commission=int(kept),
            share=0 if posting.kind == PAYOUT else int(earned),
            payout=int(paid_out),
            reason=posting.memo,
            posting=posting.key,
            continues=None if call is None else call.continues_id,
        )


def _free(session: Session, consultant_id: int, begin: datetime, end: datetime) -> Iterator[StatementLine]:
    """Yield a line for each priced call that cost nothing and therefore has no posting."""
    charged = exists().where(Posting.call_id == Call.id, Posting.kind == postings.CHARGE)
    rows = session.execute(
        select(Receipt, Call)
        .join(Call, Call.id == Receipt.call_id)
        .where(Call.consultant_id == consultant_id, Receipt.issued_at >= begin, Receipt.issued_at < end)
        .where(~charged)
    )
    for receipt, call in rows:
        yield StatementLine(
            receipt.issued_at,
            TALK,
            call.id,
            call.mode,
            call.billed_seconds,
            0,
            0,
            0,
            0,
            "",
            None,
            call.continues_id,
        )


def _charge(posting: Posting, receipt: Receipt | None) -> CallKey | None:
    """Return the key of the charge that a posting is, or that it reverses; None if it is neither."""
    if posting.call_id is None:
        return None
    versions = 1 if receipt is None else len(receipt.former) + 1
    return charge_keys(posting.call_id, versions).get(posting.key)


def _what(posting: Posting, charge: CallKey | None) -> str:
    """What a posting is for, by its kind and the charge that it is."""
    if posting.kind in {PAYOUT, postings.REFUND}:
        return posting.kind
    if posting.kind == postings.REVERSAL:
        return CORRECTION
    if posting.kind != postings.CHARGE or charge is None:
        return OTHER
    return AGAIN if charge.version > 1 else str(charge.purpose)


def _seconds(
    posting: Posting, charge: CallKey | None, call: Call | None, receipt: Receipt | None
) -> int | None:
    """Return the billed seconds of the receipt's version that a posting belongs to; negative for a reversal."""
    if call is None or receipt is None or posting.kind not in {postings.CHARGE, postings.REVERSAL}:
        return None
    if charge is None or charge.purpose is not Purpose.TALK:
        return None
    former = receipt.former
    is_former = charge.version <= len(former)
    seconds = former[charge.version - 1]["billed_seconds"] if is_former else call.billed_seconds
    return None if seconds is None else -seconds if posting.kind == postings.REVERSAL else seconds
