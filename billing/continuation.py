"""Consultations that continue after a dropped line: their calls, their sums, and which call may be continued."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session, joinedload

from taxiphone.billing.call_row import CallRow
from taxiphone.billing.evidence import proof
from taxiphone.billing.ledger import free_minutes
from taxiphone.billing.pricing.parts import NOTHING, Subtotal, without_free
from taxiphone.billing.pricing.settlement import RECORDING
from taxiphone.billing.pricing.tariff import ZERO, Tariff
from taxiphone.billing.pricing.tariff_json import from_stored
from taxiphone.errors import LedgerError
from taxiphone.settings import Settings
from taxiphone.store.calls import Status
from taxiphone.store.models import Call, Client
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.tables import CALL, FREE_MINUTES, RECEIPT
from taxiphone.store.types import now


class Part(NamedTuple):
    """A call of a consultation, with the amounts of its receipt, in minor units; they are None if it has no receipt."""

    id: str
    continues_id: str | None
    client_id: int | None
    consultant_id: int | None
    status: str
    dropped: bool
    mode: str
    tariff: dict[str, Any] | None
    priced_us: int | None
    billed_seconds: int | None
    lines: list[Any] | None
    total: int | None
    commission: int | None
    vat: int | None
    recording_pending: bool | None

    @property
    def fees(self) -> int:
        """The recording fee on the receipt."""
        return sum(line["amount"] for line in self.lines or () if line["what"] == RECORDING)

    def subtotal(self) -> Subtotal:
        """Return the sums of this call alone."""
        if self.total is None or self.tariff is None:
            return NOTHING
        return Subtotal(
            1,
            Decimal(self.priced_us or 0).scaleb(-6),
            self.billed_seconds or 0,
            self.total - self.fees,
            self.fees,
            self.commission or 0,
            self.vat or 0,
        )


PART_COLUMNS = tuple(CALL.c[name] if name in CALL.c else RECEIPT.c[name] for name in Part._fields)
"""The columns of a `Part`, of a call and its receipt."""

_PART = Prepared(
    select(*PART_COLUMNS)
    .select_from(CALL)
    .outerjoin(RECEIPT, RECEIPT.c.call_id == CALL.c.id)
    .where(CALL.c.id == bindparam("call")),
    Part._make,
)
# Calls without a talk don't count.
_NEXT: Prepared[str] = Prepared(
    select(CALL.c.id)
    .where(
        CALL.c.continues_id == bindparam("call"),
        CALL.c.max_seconds.is_not(None),
        CALL.c.status != Status.CLOSED,
    )
    .limit(1),
    scalar,
)
_LOCK: Prepared[int] = Prepared(
    select(RECEIPT.c.number).where(RECEIPT.c.call_id == bindparam("call")).with_for_update(key_share=True),
    scalar,
)
_HAS_CLAIM: Prepared[int] = Prepared(
    select(FREE_MINUTES.c.id).where(FREE_MINUTES.c.call_id == bindparam("call")), scalar
)


def interrupted(
    session: Session, settings: Settings, client: Client, at: datetime | None = None
) -> Call | None:
    """Return the client's latest talk, if its line dropped a moment ago and no other call continues it.

    Args:
        session: the database session.
        settings: the settings, for how long after a dropped line a consultation may be continued.
        client: the client.
        at: the current time; None to read the clock.

    Returns:
        the call, with its consultant loaded; None if there is nothing to continue.
    """
    latest = session.scalars(
        select(Call)
        .options(joinedload(Call.consultant))
        .where(Call.client_id == client.id, Call.talk_from.is_not(None), Call.status == Status.RATED)
        .order_by(Call.talk_from.desc(), Call.id.desc())
        .limit(1)
    ).first()
    connection = session.connection()
    if latest is None or not latest.dropped or latest.consultant is None or has_later(connection, latest.id):
        return None
    # Not the billed talk, which may end before the line dropped, if one side fell silent first.
    talk = proof.talk_of(connection, latest)
    ended = talk.end if talk is not None else latest.talk_to
    if ended is None:
        return None
    ago = proof.ended_ago(connection, latest.id) if at is None else None
    if ago is None:
        ago = (at or now()) - ended
    if ago > timedelta(minutes=settings.call.resume_minutes):
        return None
    return latest


def earlier(connection: Connection, continues_id: str | None) -> list[Part]:
    """Return the calls that one with this `continues_id` continues, oldest first; most calls continue none."""
    calls: list[Part] = []
    while continues_id is not None:
        calls.insert(0, _part(connection, continues_id))
        continues_id = calls[0].continues_id
    return calls


def has_later(connection: Connection, call_id: str) -> bool:
    """Whether another call has continued this one, or is doing so now."""
    return _next(connection, call_id) is not None


def before(connection: Connection, continues_id: str | None, *, lock: bool = False) -> Subtotal:
    """Return the sums of the calls that one with this `continues_id` continues.

    Args:
        connection: a connection.
        continues_id: the latest of them; None if there are none.
        lock: whether to lock the sums until the transaction ends.
    """
    if continues_id is None:
        return NOTHING
    calls = earlier(connection, continues_id)
    if lock:
        _lock(connection, calls[0].id)
        calls = earlier(connection, continues_id)
    return _summed(calls)


def others(connection: Connection, call: CallRow) -> Subtotal:
    """Return the sums of all other calls of the consultation, locked until the transaction ends."""
    earlier_calls = [part.id for part in earlier(connection, call.continues_id)]
    later_calls, last = [], call.id
    while (following := _next(connection, last)) is not None:
        later_calls.append(following)
        last = following
    if not earlier_calls and not later_calls:
        return NOTHING
    _lock(connection, earlier_calls[0] if earlier_calls else call.id)
    return _summed([_part(connection, each) for each in (*earlier_calls, *later_calls)])


def so_far(connection: Connection, call_id: str) -> Subtotal:
    """Return the sums of the consultation up to and including this call."""
    return _summed(earlier(connection, call_id))


def terms(
    connection: Connection,
    settings: Settings,
    call_id: str,
    continues_id: str,
    *,
    client_id: int,
    consultant_id: int,
) -> tuple[Tariff, str]:
    """Return the tariff and the mode of a call that continues another: copies of the first call's.

    The tariff has a recording fee only if no earlier part has one, and free minutes only if this consultation still has
    them or can claim them again. Lock the client's wallet before calling this.

    Raises:
        LedgerError: the earlier call can't be continued.
    """
    calls = earlier(connection, continues_id)
    first, last = calls[0], calls[-1]
    same = (last.client_id, last.consultant_id) == (client_id, consultant_id)
    if first.tariff is None or last.status != Status.RATED or not same or not last.dropped:
        raise LedgerError(
            f"call {call_id} can't continue call {last.id}, which is not a priced talk of the same two people whose line "
            "dropped. Nothing was held."
        )
    if (taken := _next(connection, last.id)) is not None and taken != call_id:
        raise LedgerError(f"call {last.id} is continued by call {taken} already. Nothing was held.")
    tariff = _copy(calls)
    if (
        tariff.free_seconds
        and not _claimed(connection, calls)
        and not free_minutes.claim(
            connection, settings, call_id, consultant_id=consultant_id, client_id=client_id
        )
    ):
        tariff = without_free(tariff)
    return tariff, first.mode


def preview(connection: Connection, settings: Settings, last_id: str) -> Tariff:
    """Return the tariff that a call continuing this one would have, without claiming free minutes."""
    calls = earlier(connection, last_id)
    tariff, last = _copy(calls), calls[-1]
    if not tariff.free_seconds or _claimed(connection, calls):
        return tariff
    if last.client_id is None or last.consultant_id is None:
        return without_free(tariff)
    gone = free_minutes.used(connection, settings, last.consultant_id, last.client_id)
    return without_free(tariff) if gone else tariff


def _copy(calls: list[Part]) -> Tariff:
    tariff = from_stored(calls[0].tariff or {})
    if any(part.recording_pending or part.fees for part in calls):
        return replace(tariff, recording_fee=ZERO)
    return tariff


def _claimed(connection: Connection, calls: list[Part]) -> bool:
    return any(_HAS_CLAIM.first(connection, {"call": part.id}) is not None for part in calls)


def _next(connection: Connection, call_id: str) -> str | None:
    """Return the call that continues this one."""
    return _NEXT.first(connection, {"call": call_id})


def _lock(connection: Connection, first_id: str) -> None:
    """Lock the consultation. Every transaction that changes an amount in it locks the first call's receipt first."""
    _LOCK.first(connection, {"call": first_id})


def _part(connection: Connection, call_id: str) -> Part:
    part = _PART.first(connection, {"call": call_id})
    if part is None:
        raise NoResultFound(f"there is no call {call_id}")
    return part


def _summed(calls: list[Part]) -> Subtotal:
    total = NOTHING
    for part in calls:
        total = total.plus(part.subtotal())
    return total
