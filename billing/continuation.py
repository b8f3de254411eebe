"""Consultations that continue after a dropped line: their calls, their sums, and which call may be continued."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session, joinedload

from taxiphone.billing.evidence import proof
from taxiphone.billing.ledger import free_minutes
from taxiphone.billing.pricing.parts import NOTHING, Subtotal, without_free
from taxiphone.billing.pricing.settlement import RECORDING
from taxiphone.billing.pricing.tariff import ZERO, Tariff
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.errors import LedgerError
from taxiphone.settings import Settings
from taxiphone.store.calls import Status
from taxiphone.store.models import Call, Client, FreeMinutes, Receipt
from taxiphone.store.types import now


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
    if latest is None or not latest.dropped or latest.consultant is None or _next(session, latest):
        return None
    # Not the billed talk, which may end before the line dropped, if one side fell silent first.
    talk = proof.talk_of(session, latest)
    ended = talk.end if talk is not None else latest.talk_to
    if ended is None:
        return None
    ago = proof.ended_ago(session, latest) if at is None else None
    if ago is None:
        ago = (at or now()) - ended
    if ago > timedelta(minutes=settings.call.resume_minutes):
        return None
    return latest


def earlier(session: Session, call: Call) -> list[Call]:
    """Return the calls that this one continues, oldest first; most calls continue none."""
    calls: list[Call] = []
    while call.continues_id is not None:
        call = session.get_one(Call, call.continues_id)
        calls.insert(0, call)
    return calls


def has_later(session: Session, call: Call) -> bool:
    """Whether another call has continued this one, or is doing so now."""
    return _next(session, call) is not None


def before(session: Session, call: Call, *, lock: bool = False) -> Subtotal:
    """Return the sums of the calls that this one continues.

    Args:
        session: the database session.
        call: the call.
        lock: whether to lock the sums until the transaction ends.
    """
    if call.continues_id is None:
        return NOTHING
    calls = earlier(session, call)
    if lock:
        _lock(session, calls[0])
    return _summed(session, calls)


def others(session: Session, call: Call) -> Subtotal:
    """Return the sums of all other calls of the consultation, locked until the transaction ends."""
    later_calls, last = [], call
    while (following := _next(session, last)) is not None:
        later_calls.append(following)
        last = following
    earlier_calls = earlier(session, call)
    if not earlier_calls and not later_calls:
        return NOTHING
    _lock(session, earlier_calls[0] if earlier_calls else call)
    return _summed(session, [*earlier_calls, *later_calls])


def so_far(session: Session, call: Call) -> Subtotal:
    """Return the sums of the consultation up to and including this call."""
    return _summed(session, [*earlier(session, call), call])


def terms(session: Session, settings: Settings, call: Call) -> Tariff:
    """Return the tariff of a call that continues another: a copy of the first call's tariff.

    It has a recording fee only if no earlier part has one, and free minutes only if this consultation still has them or can
    claim them again. Lock the client's wallet before calling this.

    Raises:
        LedgerError: the earlier call can't be continued.
    """
    calls = earlier(session, call)
    first, last = calls[0], calls[-1]
    same = (last.client_id, last.consultant_id) == (call.client_id, call.consultant_id)
    if first.tariff is None or last.status != Status.RATED or not same or not last.dropped:
        raise LedgerError(
            f"call {call.id} can't continue call {last.id}, which is not a priced talk of the same two people whose line "
            "dropped. Nothing was held."
        )
    if (taken := _next(session, last)) is not None and taken.id != call.id:
        raise LedgerError(f"call {last.id} is continued by call {taken.id} already. Nothing was held.")
    tariff = _copy(session, calls)
    if (
        tariff.free_seconds
        and not _claimed(session, calls)
        and not free_minutes.claim(session, settings, call)
    ):
        tariff = without_free(tariff)
    call.mode = first.mode
    return tariff


def preview(session: Session, settings: Settings, last: Call) -> Tariff:
    """Return the tariff that a call continuing `last` would have, without claiming free minutes."""
    calls = [*earlier(session, last), last]
    tariff = _copy(session, calls)
    if not tariff.free_seconds or _claimed(session, calls):
        return tariff
    if last.client is None or last.consultant is None:
        return without_free(tariff)
    gone = free_minutes.used(session, settings, last.consultant, last.client)
    return without_free(tariff) if gone else tariff


def _copy(session: Session, calls: list[Call]) -> Tariff:
    tariff = from_json(calls[0].tariff or {})
    receipts = _receipts(session, calls)
    if any(receipt.recording_pending or _fees(receipt) for receipt in receipts.values()):
        return replace(tariff, recording_fee=ZERO)
    return tariff


def _claimed(session: Session, calls: list[Call]) -> bool:
    claims = exists().where(FreeMinutes.call_id.in_([call.id for call in calls]))
    return bool(session.execute(select(claims)).scalar_one())


def _next(session: Session, call: Call) -> Call | None:
    """Return the call that continues this one; calls without a talk don't count."""
    return session.scalars(
        select(Call).where(Call.continues_id == call.id, _continued(Call)).limit(1)
    ).first()


def _continued(call: type[Call]) -> ColumnElement[bool]:
    return call.max_seconds.is_not(None) & (call.status != Status.CLOSED)


def _lock(session: Session, first: Call) -> None:
    """Lock the consultation. Every transaction that changes an amount in it locks the first call's receipt first."""
    session.execute(select(Receipt.number).where(Receipt.call_id == first.id).with_for_update())


def _receipts(session: Session, calls: list[Call]) -> dict[str, Receipt]:
    query = select(Receipt).where(Receipt.call_id.in_([call.id for call in calls]))
    receipts = session.scalars(query.execution_options(populate_existing=True))
    return {receipt.call_id: receipt for receipt in receipts}


def _summed(session: Session, calls: list[Call]) -> Subtotal:
    receipts = _receipts(session, calls)
    total = NOTHING
    for call in calls:
        receipt = receipts.get(call.id)
        if receipt is None or call.tariff is None:
            continue
        fees = _fees(receipt)
        talk = receipt.total - fees
        part = Subtotal(
            1,
            priced_seconds(call),
            call.billed_seconds or 0,
            talk,
            fees,
            receipt.commission,
            receipt.vat,
        )
        total = total.plus(part)
    return total


def priced_seconds(call: Call) -> Decimal:
    """Return the exact duration for which a call was priced."""
    return Decimal(call.priced_us or 0).scaleb(-6)


def _fees(receipt: Receipt) -> int:
    return sum(line["amount"] for line in receipt.lines if line["what"] == RECORDING)
