"""What consultants have earned goes out to them: each cent once, however often and from wherever a run is started."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from taxiphone.billing.days import UTC_ZONE, end_of
from taxiphone.billing.ledger import postings
from taxiphone.billing.ledger.postings import Change
from taxiphone.billing.pricing.money import digits_of, from_minor
from taxiphone.store.models import Account, Consultant, Entry, Posting

PAYOUT = "payout"


@dataclass(frozen=True, slots=True)
class Due:
    """What a consultant can be paid.

    Attributes:
        amount: minor units; below zero where the consultant owes it back.
        last_entry: the last entry of the earnings that is in it; 0 where there is none.
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
    """What a consultant has earned until the end of a day and was not paid.

    What was taken off since (a payout, a refund, a correction) is taken off whenever it was: so a run for a day in the
    past never pays what has gone meanwhile.

    Args:
        session: one that writes, where it locks.
        consultant_id: whose.
        currency: ISO 4217.
        until: the last day that counts, by the time of posting; None: everything.
        zone: the platform's, in which the day ends.
        lock: other runs for this consultant wait until the transaction ends.
    """
    account = select(Account.id).where(
        Account.kind == postings.EARNINGS, Account.owner == str(consultant_id), Account.currency == currency
    )
    number = session.execute(account.with_for_update() if lock else account).scalar_one_or_none()
    found = select(func.coalesce(func.sum(Entry.amount), 0), func.coalesce(func.max(Entry.id), 0)).where(
        Entry.account_id == number
    )
    if until is not None:
        early = Posting.at < end_of(until, zone)
        found = found.join(Posting, Posting.id == Entry.posting_id).where(or_(early, Entry.amount < 0))
    amount, last = session.execute(found).one()
    return Due(int(amount), int(last))


def pay(
    session: Session,
    consultant_id: int,
    currency: str,
    minimum: int,
    until: date | None = None,
    *,
    zone: ZoneInfo = UTC_ZONE,
) -> tuple[Due, Posting | None]:
    """Pay a consultant what is due, where it is the minimum at least. In one transaction.

    The posting's key names the last entry that it covers: the same earnings can't be paid twice.

    Returns:
        what was due, and its posting; None where that is less than the minimum, or nothing.
    """
    found = due(session, consultant_id, currency, until, zone=zone, lock=True)
    if found.amount <= 0 or found.amount < minimum:
        return found, None
    posting = postings.post(
        session,
        f"payout:{consultant_id}:{found.last_entry}",
        PAYOUT,
        [
            Change(postings.EARNINGS, str(consultant_id), currency, -found.amount),
            Change(postings.PAYOUTS, str(consultant_id), currency, found.amount),
        ],
        memo="" if until is None else f"until {until}",
    )
    return found, posting


def with_earnings(session: Session, currency: str) -> list[Consultant]:
    """The consultants whose earnings are not zero, by code."""
    owners = session.scalars(
        select(Account.owner).where(
            Account.kind == postings.EARNINGS, Account.currency == currency, Account.balance != 0
        )
    ).all()
    found = (
        select(Consultant)
        .where(Consultant.id.in_([int(owner) for owner in owners]))
        .order_by(Consultant.code)
    )
    return list(session.scalars(found))


def paid(
    session: Session, consultant_id: int | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """The payouts that were made, the latest first; amounts are exact decimals."""
    found = (
        select(Posting.key, Posting.at, Posting.memo, Account.owner, Account.currency, Entry.amount)
        .join(Entry, Entry.posting_id == Posting.id)
        .join(Account, Account.id == Entry.account_id)
        .where(Posting.kind == PAYOUT, Account.kind == postings.PAYOUTS)
        .order_by(Posting.id.desc())
        .limit(limit)
    )
    if consultant_id is not None:
        found = found.where(Account.owner == str(consultant_id))
    rows = session.execute(found).all()
    people = session.scalars(select(Consultant).where(Consultant.id.in_({int(row.owner) for row in rows})))
    known = {str(each.id): each for each in people}
    return [
        {
            "at": row.at,
            "consultant": known[row.owner].code,
            "name": known[row.owner].name,
            "amount": from_minor(row.amount, digits_of(row.currency)),
            "currency": row.currency,
            "memo": row.memo,
            "posting": row.key,
        }
        for row in rows
    ]
