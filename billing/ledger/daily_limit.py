"""The client's own daily spending limit, and what is left of it today in the platform's time zone."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, func, select

from taxiphone.billing import days
from taxiphone.billing.ledger.postings import HOLD
from taxiphone.settings import Settings
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.tables import ACCOUNT, CALL, CLIENT, RECEIPT
from taxiphone.store.types import now

_LIMIT: Prepared[int | None] = Prepared(
    select(CLIENT.c.daily_limit).where(CLIENT.c.id == bindparam("client")), scalar
)
_SPENT = Prepared(
    select(func.coalesce(func.sum(RECEIPT.c.total), 0), func.coalesce(func.sum(ACCOUNT.c.balance), 0))
    .select_from(CALL)
    .outerjoin(RECEIPT, RECEIPT.c.call_id == CALL.c.id)
    .outerjoin(ACCOUNT, and_(ACCOUNT.c.kind == HOLD, ACCOUNT.c.owner == CALL.c.id))
    .where(
        CALL.c.client_id == bindparam("client"),
        CALL.c.arrived_at >= bindparam("begin"),
        CALL.c.arrived_at < bindparam("end"),
    ),
    tuple,
)


def left_today(
    connection: Connection, settings: Settings, client_id: int, at: datetime | None = None
) -> int | None:
    """Return what this client may still spend today, in minor units; None without a limit.

    Counted are the charges and holds of the calls that arrived today, including calls in progress and fees of recordings
    that aren't ready yet. Refunds don't restore the limit on the same day. A single query adds everything up, so that no
    call is missed while it is being priced. If the client's wallet is locked, no other call can hold anything until the
    transaction ends.

    Args:
        connection: a connection.
        settings: the settings, for the platform's time zone.
        client_id: the client's id.
        at: a time on the day in question; None for now.
    """
    limit = _LIMIT.first(connection, {"client": client_id})
    return None if limit is None else left_of(connection, settings, limit, client_id, at or now())


def left_of(connection: Connection, settings: Settings, limit: int, client_id: int, at: datetime) -> int:
    """Return what is left of a client's daily limit, as `left_today`, where the limit itself was read before."""
    zone = days.zone_of(settings)
    day = days.day_of(at, zone)
    begin, end = days.begin_of(day, zone), days.end_of(day, zone)
    for charged, held in _SPENT.all(connection, {"client": client_id, "begin": begin, "end": end}):
        limit -= int(charged) + int(held)
    return max(0, limit)
