"""Free minutes, once: for each client and consultant, or for each client, as the setting has it.

Only a new client has them: one without an earlier billed talk, in any mode. The first call that is accepted claims them, in
the transaction that freezes its tariff; a unique constraint prevents a second claim. A call without a talk, or with a network
fault, releases them. So does a talk shorter than the threshold, but at most twice, or short talks would be free without
end. A longer talk uses them up, even if it leaves some of them unused.
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
"""This many talks shorter than the threshold leave the free minutes unused; the next one uses them."""

_PLATFORM = "platform"


def used(session: Session, settings: Settings, consultant: Consultant, client: Client) -> bool:
    """Whether this client is not new any more, or has the free minutes in a call that goes on now."""
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
    """Claim them for this call; False if another call was faster."""
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
        found = session.execute(owner).scalar_one_or_none()
        if found is not None:  # else they were given back between the two
            return found == call.id


def release(session: Session, call: Call, talked: Decimal | None = None) -> None:
    """Release the claim of a call without a talk or with a fault, or whose talk of so many seconds was too short.

    A short talk keeps its claim if two before it released theirs.
    """
    claim = session.scalar(select(FreeMinutes).where(FreeMinutes.call_id == call.id))
    if claim is None:
        return
    if talked is not None and (int(talked) >= claim.least_seconds or _spared(session, call, claim) >= SPARED):
        return
    session.execute(delete(FreeMinutes).where(FreeMinutes.id == claim.id))


def _spared(session: Session, call: Call, claim: FreeMinutes) -> int:
    """How many talks of this client's left the free minutes unused before: talked, rated, for nothing, and no claim left."""
    talks = (
        select(func.count())
        .select_from(Call)
        .join(Receipt, Receipt.call_id == Call.id)
        .outerjoin(FreeMinutes, FreeMinutes.call_id == Call.id)
        .where(
            Call.client_id == call.client_id,
            Call.id != call.id,
            Call.status == Status.RATED,
            Call.continues_id.is_(None),  # the parts of a consultation are one talk
            Call.billed_seconds > 0,
            Call.fault.is_(None),
            Receipt.total == 0,
            FreeMinutes.id.is_(None),
        )
    )
    if claim.scope != _PLATFORM:
        talks = talks.where(Call.consultant_id == call.consultant_id)
    return session.execute(talks).scalar_one()
