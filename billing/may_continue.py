"""Tells quickly whether a client may have a dropped consultation to continue; `continuation.interrupted` finds it."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, literal, select

from taxiphone.store.calls import OPEN, Status
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.tables import CALL

_LATEST_DROPPED: Prepared[bool] = Prepared(
    select(CALL.c.dropped)
    .where(
        CALL.c.client_id == bindparam("client"),
        CALL.c.talk_from.is_not(None),
        CALL.c.status == literal(Status.RATED.value),
    )
    .order_by(CALL.c.talk_from.desc(), CALL.c.id.desc())
    .limit(1),
    scalar,
)
_UNPRICED: Prepared[str] = Prepared(
    select(CALL.c.id)
    .where(
        CALL.c.client_id == bindparam("client"),
        CALL.c.status.in_([literal(status.value) for status in OPEN]),
        CALL.c.id != bindparam("call"),
    )
    .limit(1),
    scalar,
)


def latest_dropped(connection: Connection, client_id: int) -> bool:
    """Whether the line of the client's latest talk dropped, however long ago. Most calls need no other query."""
    return bool(_LATEST_DROPPED.first(connection, {"client": client_id}))


def may_be_continued(connection: Connection, client_id: int, call_id: str) -> bool:
    """Whether the client may have a consultation to continue: the line of their latest talk dropped, or a call isn't priced yet.

    Args:
        connection: a connection.
        client_id: the client's id.
        call_id: the client's call in progress, which is not looked at.
    """
    mine = {"client": client_id, "call": call_id}
    return latest_dropped(connection, client_id) or _UNPRICED.first(connection, mine) is not None
