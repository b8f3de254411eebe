"""Stale holds: money that is still held for a call that will never be priced.

A call's hold is released in the transaction that prices or closes the call. A hold that remains means that something was
lost, such as rows of Asterisk's log. It isn't released automatically while the two may still be talking, or if they did talk:
a person decides that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, exists, select
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from taxiphone.billing import call_row
from taxiphone.billing.call_row import CallRow
from taxiphone.billing.evidence import proof
from taxiphone.billing.evidence.proof import talk_of
from taxiphone.billing.ledger import balances, postings
from taxiphone.billing.ledger.keys import CallKey, Purpose
from taxiphone.billing.ledger.postings import HOLD
from taxiphone.billing.metering import abandoned
from taxiphone.billing.rating import Charged, rate, settle_recording
from taxiphone.errors import TaxiphoneError
from taxiphone.store.calls import FINAL, Status
from taxiphone.store.models import Account, Call, CallEvent, Recording
from taxiphone.store.types import now

ENDED_LONG_AGO = timedelta(minutes=10)  # the meter usually takes a second
BEGUN_LONG_AGO = timedelta(hours=25)  # the settings limit a talk to a day
_SETTLED = ("ready", "failed", "empty", "deleted")


@dataclass(frozen=True, slots=True)
class Stale:
    """A hold that will never be charged or released automatically.

    Attributes:
        call_id: the id of the call, which is the account's owner.
        amount: the amount held, in minor units.
        currency: ISO 4217.
        why: why it is stale; one clause.
        talked: whether they may have talked, so that it is released only on request.
        unpriced: whether the call is over and can't be priced, which is reported separately (billing/metering/unpriced.py).
    """

    call_id: str
    amount: int
    currency: str
    why: str
    talked: bool = False
    unpriced: bool = False


def find(session: Session, at: datetime | None = None) -> Iterator[Stale]:
    """Find all stale holds.

    Args:
        session: the database session.
        at: the current time; None to read the clocks, preferring the monotonic one.
    """
    held = (
        select(Account, Call)
        .outerjoin(Call, Call.id == Account.owner)
        .where(Account.kind == HOLD, Account.balance != 0)
        .order_by(Account.id)
    )
    for account, call in session.execute(held).all():
        why = "there is no such call" if call is None else _why(session, call, at)
        if why is not None:
            talked = call is not None and Status(call.status) not in FINAL and _talked(session, call)
            if talked:
                why += ", and they seem to have talked"
            unpriced = call is not None and call.unpriced is not None
            yield Stale(account.owner, int(account.balance or 0), account.currency, why, talked, unpriced)


def release(session: Session, stale: Stale, *, although_talked: bool = False) -> int:
    """Close the call if it is open, and release its hold to the wallet.

    If a talk can be priced, by Asterisk's log or by the call events, it is priced and only the rest is released.

    Returns:
        the amount released, in minor units; 0 if the call doesn't exist, if they talked (unless `although_talked`), or if
        the hold is no longer stale.
    """
    call = session.get(Call, stale.call_id, with_for_update={"key_share": True}, populate_existing=True)
    if call is None or call.client_id is None or (stale.talked and not although_talked):
        return 0
    if _why(session, call, None) is None:
        return 0  # it has been priced since `find`, and the rest of the hold is still needed
    before = balances.balance(session, HOLD, call.id, stale.currency)
    connection, row = session.connection(), call_row.read(session.connection(), call.id)
    if Status(call.status) not in FINAL and (charged := _priced(connection, row)) is not None:
        return before - charged.total - balances.balance(session, HOLD, call.id, stale.currency)
    if Status(call.status) not in FINAL:
        review = f"{stale.why[:130]}; what was held was released, and nothing was charged"
        rate(connection, row._replace(review=review), None)
    elif call.receipt is not None and call.receipt.recording_pending:
        recording = session.get(Recording, call.id)
        ready = recording is not None and recording.status == "ready"
        settle_recording(session, call, ready=ready)
    else:
        key = CallKey(call.id, Purpose.LEFT)
        postings.release(connection, key, call.client_id, before, stale.currency)
    return before - balances.balance(session, HOLD, call.id, stale.currency)


def _priced(connection: Connection, call: CallRow) -> Charged | None:
    """Price a call whose talk is proven; None if there is no talk, or it can't be priced."""
    talk = talk_of(connection, call)
    if talk is None or not talk.microseconds or call.tariff is None:
        return None
    try:
        with connection.begin_nested():
            return abandoned.finish(connection, call, talk)
    except (TaxiphoneError, ValueError, ArithmeticError, LookupError, IntegrityError, DataError):
        # The operator wants the hold released anyway. `taxiphone call rate` shows the error.
        return None


def _why(session: Session, call: Call, at: datetime | None) -> str | None:
    """Return why this call's hold is stale; None if it may still be charged or released."""
    status = Status(call.status)
    if call.unpriced is not None:
        return f"the call is over and can't be priced ({call.unpriced})"
    if status in FINAL:
        if call.receipt is None or not call.receipt.recording_pending:
            return f"the call is {status}"
        recording = session.get(Recording, call.id)
        settled = recording is None or recording.status in _SETTLED
        return "its recording is ready or will not come" if settled else None
    if status is Status.ENDED:
        since = _since(session, call, "ended", call.ended_at or call.arrived_at, at)
        return "the call has ended and was never priced" if since > ENDED_LONG_AGO else None
    since = _since(session, call, "received", call.arrived_at, at)
    return f"the call is {status} for more than a day" if since > BEGUN_LONG_AGO else None


def _since(session: Session, call: Call, what: str, then: datetime, at: datetime | None) -> timedelta:
    """Return how long ago a call event was recorded, if possible by the monotonic clock, in case the wall clock was set."""
    noted = session.scalars(
        select(CallEvent).where(CallEvent.call_id == call.id, CallEvent.what == what).limit(1)
    ).first()
    if at is None and noted is not None:
        return proof.since(noted)
    return (at or now()) - then


def _talked(session: Session, call: Call) -> bool:
    """Whether the two may have talked, according to the call events or Asterisk's log."""
    bridged = exists().where(CallEvent.call_id == call.id, CallEvent.what == "bridging")
    if session.execute(select(bridged)).scalar_one():
        return True
    return talk_of(session.connection(), call) is not None
