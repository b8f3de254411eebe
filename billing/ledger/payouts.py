"""Pays out what consultants have earned. Each cent is paid once, even if a run is repeated or started twice at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from taxiphone.billing.days import UTC_ZONE, end_of
from taxiphone.billing.ledger import postings
from taxiphone.billing.ledger.keys import check_given, payout_key
from taxiphone.billing.ledger.postings import Change
from taxiphone.billing.pricing.money import digits_of, from_minor
from taxiphone.errors import LedgerError
from taxiphone.store.models import Account, Consultant, Entry, Posting

PAYOUT = "payout"


@dataclass(frozen=True, slots=True)
class Due:
    """The amount that can be paid to a consultant.

    Attributes:
        amount: minor units; negative if the consultant owes the platform.
        last_entry: the id of the last entry included; 0 if there is none.
    """

    amount: int
    last_entry: int


def due(
    session: Session,
    consultant_id: int,
    currency: str,
    until: date | None = None,
    *,
    zone: ZoneInfo = UTC_ZONE,
    lock: bool = False,
) -> Due:
    """Return a consultant's unpaid earnings up to the end of a day.

    Deductions (payouts, refunds, corrections) count whatever their date, so that a run for a past day never pays what has
    been deducted since.

    Args:
        session: the database session; it must be able to write if `lock` is set.
        consultant_id: the consultant's id.
        currency: ISO 4217.
        until: the last day included, by the time of posting; None: everything.
        zone: the platform's time zone, which decides when the day ends.
        lock: whether other runs for this consultant must wait until the transaction ends.
    """
    account = select(Account.id).where(
        Account.kind == postings.EARNINGS, Account.owner == str(consultant_id), Account.currency == currency
    )
    account_id = session.execute(
        account.with_for_update(key_share=True) if lock else account
    ).scalar_one_or_none()
    sums = select(func.coalesce(func.sum(Entry.amount), 0), func.coalesce(func.max(Entry.id), 0)).where(
        Entry.account_id == account_id
    )
    if until is not None:
        in_time = Posting.at < end_of(until, zone)
        sums = sums.join(Posting, Posting.id == Entry.posting_id).where(or_(in_time, Entry.amount < 0))
    amount, last = session.execute(sums).one()
    return Due(int(amount), int(last))


def pay(
    session: Session,
    consultant_id: int,
    currency: str,
    minimum: int,
    key: str,
    until: date | None = None,
    *,
    zone: ZoneInfo = UTC_ZONE,
) -> tuple[Due, Posting | None]:
    """Pay out a consultant's earnings, if they reach the minimum. Call this in one transaction.

    The consultant's account stays locked until the transaction ends, so the same earnings can't be paid twice.

    Args:
        session: a session in a transaction that writes.
        consultant_id: the consultant's id.
        currency: ISO 4217.
        minimum: the smallest payout, in minor units.
        key: identifies the run. With the same key again, its payout is returned, and nothing more is paid.
        until: see `due`.
        zone: see `due`.

    Returns:
        the amount due, and its posting; None instead of a posting if nothing was paid.

    Raises:
        UsageError: the key is not one line.
        LedgerError: the key was used for a run up to another day.
    """
    check_given(key)
    unpaid = due(session, consultant_id, currency, until, zone=zone, lock=True)
    posting_key, memo = payout_key(consultant_id, key), "" if until is None else f"until {until}"
    made = session.scalar(select(Posting).where(Posting.key == posting_key))
    if made is not None:
        if made.memo != memo:
            before = made.memo or "without a last day"
            raise LedgerError(f"the key {key} was used for a run {before}. Nothing was posted.")
        paid_out = select(func.max(Entry.amount), func.max(Entry.id)).where(Entry.posting_id == made.id)
        amount, last = session.execute(paid_out).one()
        return Due(int(amount), int(last)), made
    if unpaid.amount <= 0 or unpaid.amount < minimum:
        return unpaid, None
    posting = postings.post(
        session,
        posting_key,
        PAYOUT,
        [
            Change(postings.EARNINGS, str(consultant_id), currency, -unpaid.amount),
            Change(postings.PAYOUTS, str(consultant_id), currency, unpaid.amount),
        ],
        memo=memo,
    )
    return unpaid, posting


def with_earnings(session: Session, currency: str, key: str | None = None) -> list[Consultant]:
    """Return the consultants whose earnings are not zero, or who were paid by the run with this key, ordered by code."""
    rows = session.execute(
        select(Account.owner, Account.balance).where(
            Account.kind == postings.EARNINGS, Account.currency == currency
        )
    ).all()
    keys = {} if key is None else {payout_key(int(row.owner), key): row.owner for row in rows}
    paid_before = {keys[found] for found in session.scalars(select(Posting.key).where(Posting.key.in_(keys)))}
    numbers = [int(row.owner) for row in rows if row.balance or row.owner in paid_before]
    consultants = select(Consultant).where(Consultant.id.in_(numbers)).order_by(Consultant.code)
    return list(session.scalars(consultants))


def paid(
    session: Session, consultant_id: int | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the payouts made, newest first; amounts are exact decimals."""
    query = (
        select(Posting.key, Posting.at, Posting.memo, Account.owner, Account.currency, Entry.amount)
        .join(Entry, Entry.posting_id == Posting.id)
        .join(Account, Account.id == Entry.account_id)
        .where(Posting.kind == PAYOUT, Account.kind == postings.PAYOUTS)
        .order_by(Posting.id.desc())
        .limit(limit)
    )
    if consultant_id is not None:
        query = query.where(Account.owner == str(consultant_id))
    rows = session.execute(query).all()
    people = session.scalars(select(Consultant).where(Consultant.id.in_({int(row.owner) for row in rows})))
    consultants = {str(consultant.id): consultant for consultant in people}
    return [
        {
            "at": row.at,
            "consultant": consultants[row.owner].code,
            "name": consultants[row.owner].name,
            "amount": from_minor(row.amount, digits_of(row.currency)),
            "currency": row.currency,
            "memo": row.memo,
            "posting": row.key,
        }
        for row in rows
    ]
