"""A call's row as billing reads it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import NoResultFound

from taxiphone.store.prepared import Prepared
from taxiphone.store.tables import CALL


class CallRow(NamedTuple):
    """The columns of a call (`store.models.Call`) that its price depends on, or that pricing it changes."""

    id: str
    status: str
    outcome: str | None
    client_channel: str
    consultant_channel: str | None
    client_id: int | None
    consultant_id: int | None
    mode: str
    tariff: dict[str, Any] | None
    recording_asked: bool
    max_seconds: int | None
    rtp_timeout: int | None
    continues_id: str | None
    arrived_at: datetime
    talk_from: datetime | None
    talk_to: datetime | None
    heard_until: datetime | None
    fault: str | None
    review: str | None


_READ = select(*(CALL.c[name] for name in CallRow._fields)).where(CALL.c.id == bindparam("call"))
_CALL = Prepared(_READ, CallRow._make)
# Rows that refer to the call may still be inserted.
_LOCKED_CALL = Prepared(_READ.with_for_update(key_share=True), CallRow._make)


def read(connection: Connection, call_id: str, *, lock: bool = False) -> CallRow:
    """Read a call, and optionally lock it until the transaction ends.

    Raises:
        sqlalchemy.exc.NoResultFound: there is no such call.
    """
    row = (_LOCKED_CALL if lock else _CALL).first(connection, {"call": call_id})
    if row is None:
        raise NoResultFound(f"there is no call {call_id}")
    return row
