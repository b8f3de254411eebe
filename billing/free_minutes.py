"""Free minutes, once: for each client and consultant, or for each client, as the setting has it.

The call that is accepted first claims them, in the transaction that freezes its tariff; the database keeps a second claim
out. A call that came to nothing, and a talk so short that it was a network fault, give them back; what a longer talk left
of them is gone.
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from taxiphone.billing.idempotent import insert_if_new
from taxiphone.settings import Settings
from taxiphone.store.models import Call, Client, Consultant, FreeMinutes
from taxiphone.store.types import now

_PLATFORM = "platform"


def used(session: Session, settings: Settings, consultant: Consultant, client: Client) -> bool:
    """Whether this client had free minutes in an earlier talk, or has them in a call that goes on now."""
    claims = exists().where(FreeMinutes.client_id == client.id)
    if settings.billing.free_minutes_scope != _PLATFORM:
        claims = claims.where(FreeMinutes.consultant_id == consultant.id)
    return bool(session.execute(select(claims)).scalar_one())


def claim(session: Session, settings: Settings, call: Call) -> bool:
    """Take them for this call; False where another call was quicker."""
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
    insert_if_new(session, FreeMinutes, [claims])
    owner = select(FreeMinutes.call_id).where(
        FreeMinutes.client_id == call.client_id, FreeMinutes.scope == where
    )
    return session.execute(owner).scalar_one() == call.id


def give_back(session: Session, call: Call, talked: Decimal | None = None) -> None:
    """Leave them unused: the call came to nothing, or its talk of so many seconds was a network fault."""
    unused = delete(FreeMinutes).where(FreeMinutes.call_id == call.id)
    if talked is not None:
        unused = unused.where(FreeMinutes.least_seconds > int(talked))
    session.execute(unused)
