"""Free minutes, granted once: per client and consultant, or per client, depending on a setting.

They are for new clients only: those without an earlier billed talk, in any mode. The first accepted call claims them, in the
transaction that copies its tariff; a unique constraint prevents a second claim. A call without a talk, or with a network
fault, releases them. So does a talk shorter than the threshold, but at most twice; otherwise a client could make free short
calls indefinitely. A longer talk uses them up, even if some of them are left.
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Connection, bindparam, exists, func, or_, select

from taxiphone.billing.call_row import CallRow
from taxiphone.settings import Settings
from taxiphone.store.calls import Status
from taxiphone.store.prepared import Prepared, driver_rows, scalar
from taxiphone.store.tables import CALL, FREE_MINUTES, RECEIPT
from taxiphone.store.types import now, timestamp_text

SPARED = 2
"""The number of talks below the threshold that leave the free minutes unused; the next one uses them."""

_PLATFORM = "platform"

_CLAIMED = exists().where(FREE_MINUTES.c.client_id == bindparam("client"))
_BILLED = exists().where(
    CALL.c.client_id == bindparam("client"),
    CALL.c.status == Status.RATED,
    RECEIPT.c.call_id == CALL.c.id,
    RECEIPT.c.total > 0,
)
_USED: Prepared[bool] = Prepared(select(or_(_CLAIMED, _BILLED)), scalar)
_USED_WITH: Prepared[bool] = Prepared(
    select(
        or_(
            _CLAIMED.where(FREE_MINUTES.c.consultant_id == bindparam("consultant")),
            _BILLED.where(CALL.c.consultant_id == bindparam("consultant")),
        )
    ),
    scalar,
)
# Returns whose claim it is. One statement, because a claim that exists may be released at any moment.
_CLAIM = """
    INSERT INTO free_minutes (client_id, scope, consultant_id, call_id, least_seconds, claimed_at)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (client_id, scope) DO UPDATE SET scope = excluded.scope
    RETURNING call_id"""
_CLAIM_OF = Prepared(
    select(FREE_MINUTES.c.scope, FREE_MINUTES.c.least_seconds).where(
        FREE_MINUTES.c.call_id == bindparam("call")
    ),
    tuple,
)
_RELEASE = "DELETE FROM free_minutes WHERE call_id = ?"
# Earlier talks that left the free minutes unused: rated, free of charge, and without a claim now.
_SPARED = (
    select(func.count())
    .select_from(CALL)
    .join(RECEIPT, RECEIPT.c.call_id == CALL.c.id)
    .outerjoin(FREE_MINUTES, FREE_MINUTES.c.call_id == CALL.c.id)
    .where(
        CALL.c.client_id == bindparam("client"),
        CALL.c.id != bindparam("call"),
        CALL.c.status == Status.RATED,
        CALL.c.continues_id.is_(None),  # the parts of a consultation count as one talk
        CALL.c.billed_seconds > 0,
        CALL.c.fault.is_(None),
        RECEIPT.c.total == 0,
        FREE_MINUTES.c.id.is_(None),
    )
)
_SPARED_TALKS: Prepared[int] = Prepared(_SPARED, scalar)
_SPARED_TALKS_WITH: Prepared[int] = Prepared(
    _SPARED.where(CALL.c.consultant_id == bindparam("consultant")), scalar
)


def used(connection: Connection, settings: Settings, consultant_id: int, client_id: int) -> bool:
    """Whether this client is no longer new, or a call in progress has claimed the free minutes."""
    if settings.billing.free_minutes_scope == _PLATFORM:
        return bool(_USED.first(connection, {"client": client_id}))
    return bool(_USED_WITH.first(connection, {"client": client_id, "consultant": consultant_id}))


def claim(
    connection: Connection, settings: Settings, call_id: str, *, consultant_id: int, client_id: int
) -> bool:
    """Claim them for this call; False if another call has claimed them. Lock the client's wallet before calling this."""
    scope = settings.billing.free_minutes_scope
    where = _PLATFORM if scope == _PLATFORM else str(consultant_id)
    at = timestamp_text(now())
    least_seconds = settings.billing.short_call_seconds
    [(claimed_by,)] = driver_rows(
        connection, _CLAIM, (client_id, where, consultant_id, call_id, least_seconds, at)
    )
    return bool(claimed_by == call_id)


def release(connection: Connection, call: CallRow, talked: Decimal | None = None) -> None:
    """Release a call's claim, if its talk didn't use up the free minutes.

    Args:
        connection: a connection in a transaction that writes.
        call: the call.
        talked: seconds of talk; None if there was no talk, or it had a network fault. A talk above the threshold keeps the
            claim, and so does a shorter one if two before it have released theirs.
    """
    claim = _CLAIM_OF.first(connection, {"call": call.id})
    if claim is None:
        return
    scope, least_seconds = claim
    if talked is not None and (int(talked) >= least_seconds or _spared(connection, call, scope) >= SPARED):
        return
    driver_rows(connection, _RELEASE, (call.id,))


def _spared(connection: Connection, call: CallRow, scope: str) -> int:
    """The number of earlier talks that left the free minutes unused."""
    talks = _SPARED_TALKS if scope == _PLATFORM else _SPARED_TALKS_WITH
    named = {"client": call.client_id, "call": call.id, "consultant": call.consultant_id}
    return talks.first(connection, named) or 0
