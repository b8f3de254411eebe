"""Free minutes, granted once: per client and consultant, or per client, depending on a setting.

They are for new clients only: those without an earlier billed talk, in any mode. The first accepted call claims them, in the
transaction that copies its tariff; a unique constraint prevents a second claim. A call without a talk, or with a network
fault, releases them. So does a talk shorter than the threshold, but at most twice; otherwise a client could make free short
calls indefinitely. A longer talk uses them up, even if some of them are left.
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import delete, exists, func, or_, select
from sqlalchemy.orm import Session

from taxiphone.settings import Settings
from taxiphone.store.calls import Status
from taxiphone.store.idempotent import insert_if_new
from taxiphone.store.models import Call, Client, Consultant, FreeMinutes, Receipt
from taxiphone.store.types import now

SPARED = 2
"""The number of talks below the threshold that leave the free minutes unused; the next one uses them."""

_PLATFORM = "platform"


def used(session: Session, settings: Settings, consultant: Consultant, client: Client) -> bool:
    """Whether this client is no longer new, or a call in progress has claimed the free minutes."""
    claims = exists().where(FreeMinutes.client_id == client.id)
    billed = exists().where(
        Call.client_id == client.id,
        Call.status == Status.RATED,
        Receipt.call_id == Call.id,
        Receipt.total > 0,
    )
    if settings.billing.free_minutes_scope != _PLATFORM:
        claims = claims.where(FreeMinutes.consultant_id == consultant.id)
        billed = billed.where(Call.consultant_id == consultant.id)
    return bool(session.execute(select(or_(claims, billed))).scalar_one())


def claim(session: Session, settings: Settings, call: Call) -> bool:
    """Claim them for this call; False if another call has claimed them."""
    scope = settings.billing.free_minutes_scope
    where = _PLATFORM if scope == _PLATFORM else str(call.consultant_id)
    claims = {
        "client_id": call.client_id,
        "scope": where,
        "consultant_id": call.consultant_id,
        "call_id": call.id,
        "least_seconds": settings.billing.short_call_seconds,
        "claimed_at": now(),
    }
    owner = select(FreeMinutes.call_id).where(
        FreeMinutes.client_id == call.client_id, FreeMinutes.scope == where
    )
    while True:
        insert_if_new(session, FreeMinutes, [claims])
        claimed_by = session.execute(owner).scalar_one_or_none()
        if claimed_by is not None:  # otherwise they were released between the two statements
            return claimed_by == call.id


def release(session: Session, call: Call, talked: Decimal | None = None) -> None:
    """Release a call's claim, if its talk didn't use up the free minutes.

    Args:
        session: the database session.
        call: the call.
        talked: seconds of talk; None if there was no talk, or it had a network fault. A talk above the threshold keeps the
            claim, and so does a shorter one if two before it have released theirs.
    """
    claim = session.scalar(select(FreeMinutes).where(FreeMinutes.call_id == call.id))
    if claim is None:
        return
    if talked is not None and (int(talked) >= claim.least_seconds or _spared(session, call, claim) >= SPARED):
        return
    session.execute(delete(FreeMinutes).where(FreeMinutes.id == claim.id))


def _spared(session: Session, call: Call, claim: FreeMinutes) -> int:
    """The number of earlier talks that left the free minutes unused: rated, free of charge, and without a claim now."""
    talks = (
        select(func.count())
        .select_from(Call)
        .join(Receipt, Receipt.call_id == Call.id)
        .outerjoin(FreeMinutes, FreeMinutes.call_id == Call.id)
        .where(
            Call.client_id == call.client_id,
            Call.id != call.id,
            Call.status == Status.RATED,
            Call.continues_id.is_(None),  # the parts of a consultation count as one talk
            Call.billed_seconds > 0,
            Call.fault.is_(None),
            Receipt.total == 0,
            FreeMinutes.id.is_(None),
        )
    )
    if claim.scope != _PLATFORM:
        talks = talks.where(Call.consultant_id == call.consultant_id)
    return session.execute(talks).scalar_one()
