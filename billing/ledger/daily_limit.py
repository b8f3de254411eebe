"""The client's own daily spending limit, and what is left of it today in the platform's time zone."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from taxiphone.billing import days
from taxiphone.billing.ledger.postings import HOLD
from taxiphone.settings import Settings
from taxiphone.store.models import Account, Call, Client, Receipt
from taxiphone.store.types import now


def left_today(
    session: Session, settings: Settings, client: Client, at: datetime | None = None
) -> int | None:
    """Return what this client may still spend today, in minor units; None without a limit.

    Counted are the charges and holds of the calls that arrived today, including calls in progress and fees of recordings
    that aren't ready yet. Refunds don't restore the limit on the same day. A single query adds everything up, so that no
    call is missed while it is being priced. If the client's wallet is locked, no other call can hold anything until the
    transaction ends.

    Args:
        session: the database session.
        settings: the settings, for the platform's time zone.
        client: the client.
        at: a time on the day in question; None for now.
    """
    session.flush()
    # Most clients have no limit; this saves adding up their calls.
    limit = session.execute(select(Client.daily_limit).where(Client.id == client.id)).scalar_one()
    if limit is None:
        return None
    zone = days.zone_of(settings)
    day = days.day_of(at or now(), zone)
    begin, end = days.begin_of(day, zone), days.end_of(day, zone)
    spent = (
        select(func.coalesce(func.sum(Receipt.total), 0), func.coalesce(func.sum(Account.balance), 0))
        .select_from(Call)
        .outerjoin(Receipt, Receipt.call_id == Call.id)
        .outerjoin(Account, and_(Account.kind == HOLD, Account.owner == Call.id))
        .where(Call.client_id == client.id, Call.arrived_at >= begin, Call.arrived_at < end)
    )
    charged, held = session.execute(spent).one()
    return max(0, limit - int(charged) - int(held or 0))
