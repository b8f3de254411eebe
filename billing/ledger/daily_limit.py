"""The client's own limit per day: what is left of it, in the day of the platform's time zone."""

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
    """What this client may still spend today, in minor units; None: there is no limit.

    The calls that arrived today count, with what they were charged and with what is held for them now: that of a call
    that goes on, and the fee of a recording that is still being made. What was refunded does not come back today. They
    are added up in one look at the database, so that no call is missed that is just being priced; with the client's
    wallet locked, no other call can hold anything until the transaction ends.

    Args:
        session: where.
        settings: the platform's time zone.
        client: whose limit.
        at: the time that counts as now.
    """
    session.flush()
    # Most clients have none: their calls of the day need not be added up.
    wished = session.execute(select(Client.daily_limit).where(Client.id == client.id)).scalar_one()
    if wished is None:
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
    return max(0, wished - int(charged) - int(held or 0))
