"""Rates a call that is over: its price, postings and receipt. Everything happens once, in the caller's transaction."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from taxiphone.billing import continuation, facts
from taxiphone.billing.ledger import balances, free_minutes, postings, refunds
from taxiphone.billing.ledger.keys import CallKey, Purpose
from taxiphone.billing.pricing.parts import fee_of, with_fee
from taxiphone.billing.pricing.settlement import RECORDING, Facts, Settlement, settle
from taxiphone.billing.pricing.talk import NO_END, Talk
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.billing.pricing.tariff_price import Line
from taxiphone.store.calls import FINAL, Outcome, Status, finish
from taxiphone.store.models import Call, Receipt, Recording


def rate(session: Session, call: Call, talk: Talk | None) -> Receipt | None:
    """Price a call that is over, post the price and write the receipt. A call without a talk is closed free of charge.

    A call that was rated or closed before is left as it is. The fee of a recording that isn't ready stays held until
    `settle_recording`.

    Returns:
        the receipt; None if there was no talk.
    """
    if Status(call.status) in FINAL:
        return call.receipt
    if talk is None or talk.microseconds == 0 or call.tariff is None:
        if talk is not None:
            call.review = _unbilled(call, talk) or call.review
        _close(session, call)
        return None
    held, _ = balances.held(session, call.id)
    known = facts.gather(session, call, talk, None, held=held, lock=True)
    settlement = settle(known)
    rest = held - settlement.price.total - settlement.pending_fee
    charge(session, call, settlement, known.tariff.currency, release=rest)
    release_free_minutes(session, call, known, settlement)
    receipt, noted = Receipt(call_id=call.id, currency=known.tariff.currency), call.review
    facts.write(call, receipt, settlement)
    session.add(receipt)
    call.outcome = call.outcome or Outcome.TALKED
    call.review = call.review or noted
    finish(call, Status.RATED)
    session.flush()
    # Saves a query when the relationship is read.
    set_committed_value(call, "receipt", receipt)
    return receipt


def charge(
    session: Session,
    call: Call,
    settlement: Settlement,
    currency: str,
    *,
    version: int = 1,
    release: int = 0,
) -> None:
    """Charge a settled price from the call's hold, with separate postings for the talk and the recording.

    Args:
        session: a session in a transaction that writes.
        call: the call, whose hold covers the price.
        settlement: the settlement.
        currency: ISO 4217.
        version: the version of the receipt.
        release: the amount to release to the client's wallet at the same time, in minor units.
    """
    consultant, talk, price = call.consultant_id or 0, settlement.talk, settlement.price
    postings.charge(
        session,
        CallKey(call.id, Purpose.TALK, version),
        consultant_id=consultant,
        currency=currency,
        commission=talk.commission,
        consultant=talk.consultant,
        vat=talk.vat,
        release_to=(call.client_id or 0, release),
    )
    if settlement.fee:
        postings.charge(
            session,
            CallKey(call.id, Purpose.RECORDING, version),
            consultant_id=consultant,
            currency=currency,
            commission=price.commission - talk.commission,
            consultant=price.consultant - talk.consultant,
            vat=price.vat - talk.vat,
            platform=postings.RECORDING_FEES,
        )


def release_free_minutes(session: Session, call: Call, known: Facts, settlement: Settlement) -> None:
    """Release the free minutes if the talk was too short to use them up, or wasn't billed because of a fault."""
    if known.tariff.free_seconds:
        talked = None if known.fault is not None else known.earlier.seconds + settlement.heard.seconds
        free_minutes.release(session, call, talked)


def settle_recording(session: Session, call: Call, *, ready: bool) -> Receipt | None:
    """Charge the fee of a recording that can be played, or release it if the recording failed. Has an effect only once.

    The commission is calculated anew for the whole total, or for all parts of a continued consultation, and rounded once.
    No fee is charged for a call with a network fault, or one that was refunded in full.

    Returns:
        the receipt as it is now; None if the call isn't priced yet, in which case nothing was done.
    """
    receipt = call.receipt
    if receipt is None or call.tariff is None:
        return receipt
    # Another process may be settling, re-rating or refunding it.
    session.refresh(receipt, with_for_update=True)
    if not receipt.recording_pending:
        return receipt
    tariff = from_json(call.tariff)
    fee, key = fee_of(tariff), CallKey(call.id, Purpose.RECORDING)
    if not ready or call.fault is not None or refunds.refunded_whole(session, call):
        postings.release(session, key, call.client_id or 0, fee, tariff.currency)
        receipt.recording_pending = False
        return receipt
    total, commission, vat = with_fee(tariff, continuation.others(session, call), receipt.total, fee)
    consultant = total - commission
    postings.charge(
        session,
        key,
        consultant_id=call.consultant_id or 0,
        currency=tariff.currency,
        commission=commission - receipt.commission,
        consultant=consultant - receipt.consultant_share,
        vat=vat - receipt.vat,
        platform=postings.RECORDING_FEES,
    )
    receipt.lines = [*receipt.lines, asdict(Line(RECORDING, 0, fee))]
    receipt.total, receipt.commission, receipt.consultant_share = total, commission, consultant
    receipt.vat, receipt.recording_pending = vat, False
    session.flush()
    return receipt


def _unbilled(call: Call, talk: Talk) -> str | None:
    """Return why a person should review a call that is closed although it has a talk; None if no review is needed."""
    if call.tariff is None:
        return "they talked, but the call was never accepted, so there is no tariff to price it"
    doubt = talk.doubt or (None if talk.complete else NO_END)
    return None if doubt is None else f"{doubt[:170]}; nothing was charged"


def _close(session: Session, call: Call) -> None:
    """Close a call without a talk: release its hold and free minutes, and expect no recording."""
    recording = session.get(Recording, call.id)
    if recording is not None:
        recording.status = "empty"
    if call.tariff is not None and call.client_id is not None:
        free_minutes.release(session, call)
        # The currency isn't read from the tariff, because a call with an unreadable tariff is closed here too.
        held, currency = balances.held(session, call.id)
        postings.release(session, CallKey(call.id, Purpose.RELEASE), call.client_id, held, currency)
    finish(call, Status.CLOSED)
    session.flush()
