"""A call that is over becomes money: price, postings, receipt. All in the caller's transaction, at most once each."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal

from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from taxiphone.billing import continuation
from taxiphone.billing.evidence import proof
from taxiphone.billing.ledger import free_minutes, postings, refunds
from taxiphone.billing.pricing.parts import UNBILLED, billable, fee_of, price_part, with_fee
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.pricing.tariff import Line
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.settings import Settings
from taxiphone.store.calls import FINAL, Outcome, Status, finish
from taxiphone.store.models import Call, Receipt, Recording

_OVERRUN_SECONDS = 2  # Asterisk cuts at the end of the credit within this; more is worth a look
NOT_COMING = ("failed", "empty", "deleted")


def rate(session: Session, settings: Settings, call: Call, talk: Talk | None) -> Receipt | None:
    """Price a call that is over, post it and write its receipt; a call without a talk is closed, and nothing charged.

    A call that was rated or closed before is left as it is. The fee of a recording stays held until
    `settle_recording`.

    Returns:
        the receipt; None where nobody talked.
    """
    if Status(call.status) in FINAL:
        return call.receipt
    if talk is None or talk.microseconds == 0 or call.tariff is None:
        if talk is not None and call.tariff is None:
            call.review = "they talked, but the call was never accepted: there is no tariff to price it by"
        elif talk is not None and talk.doubt is not None:
            call.review = f"{talk.doubt}; nothing was charged"[:200]
        _close(session, call)
        return None

    tariff = from_json(call.tariff)
    before = continuation.before(session, call, lock=True)
    recording = session.get(Recording, call.id) if call.recording_asked else None
    recorded = recording is not None and recording.status not in NOT_COMING
    reserved = fee_of(tariff) if recorded else 0
    held = postings.balance(session, postings.HOLD, call.id, tariff.currency)
    heard = proof.heard(call, talk)
    seconds = billable(call.max_seconds, tariff, heard.seconds, held - reserved, before)
    billed = seconds and call.fault is None
    cost = price_part(tariff, before, seconds) if billed else UNBILLED
    pending = reserved if not cost.network_fault else 0
    postings.charge(
        session,
        f"call:{call.id}:talk",
        call.id,
        consultant_id=call.consultant_id or 0,
        currency=tariff.currency,
        commission=cost.commission,
        consultant=cost.consultant,
        vat=cost.vat,
        give_back=(call.client_id or 0, held - cost.total - pending),
    )
    receipt = Receipt(
        call_id=call.id,
        currency=tariff.currency,
        lines=[asdict(line) for line in cost.lines],
        total=cost.total,
        commission=cost.commission,
        consultant_share=cost.consultant,
        vat=cost.vat,
        recording_pending=pending > 0,
    )
    session.add(receipt)
    call.talk_from, call.talk_to, call.billed_seconds = heard.start, heard.end, cost.billed_seconds
    call.outcome = call.outcome or Outcome.TALKED
    call.dropped = proof.was_dropped(call, talk)
    if tariff.free_seconds:
        talked = None if call.fault is not None else before.seconds + heard.seconds
        free_minutes.give_back(session, call, talked)
    call.review = _review(call, talk, heard.seconds - seconds) or call.review
    finish(call, Status.RATED)
    session.flush()
    set_committed_value(call, "receipt", receipt)  # there was none, which need not be looked up to say so
    if recording is not None and recording.status == "ready":
        settle_recording(session, settings, call, ready=True)
    return receipt


def _review(call: Call, talk: Talk, over: Decimal) -> str | None:
    """Why a person should look at a priced talk; None where nobody need.

    Args:
        call: whose talk.
        talk: as it was priced.
        over: seconds that it went on beyond what is billed.
    """
    if call.fault is not None:
        return f"{call.fault}: a fault of the network, the talk was not billed"
    if talk.doubt is not None:
        return talk.doubt[:200]
    if not talk.complete:
        return "Asterisk's log has no end of the talk; it was priced to the last event that is written"
    if over > _OVERRUN_SECONDS:
        return f"the talk went on {over:f} s beyond what was held for it; they were not charged"
    return None


def settle_recording(session: Session, _settings: Settings, call: Call, ready: bool) -> Receipt | None:
    """Charge the fee of a recording that can be played, or give it back where none came of it. At most once.

    The commission becomes that of the whole total, rounded once; of a consultation that was cut, that of all its parts.
    No fee is charged on a call in which a fault of the network was found, or that was refunded whole.

    Returns:
        the receipt as it is now; None where the call is not priced yet, and so nothing was done.
    """
    receipt = call.receipt
    if receipt is None or call.tariff is None:
        return receipt
    session.refresh(
        receipt, with_for_update=True
    )  # it may just be settled, rated again or refunded elsewhere
    if not receipt.recording_pending:
        return receipt
    tariff = from_json(call.tariff)
    fee = fee_of(tariff)
    key = refunds.recording_key(call)
    if not ready or call.fault is not None or refunds.refunded_whole(session, call):
        postings.release(session, key, call.id, call.client_id or 0, fee, tariff.currency)
        receipt.recording_pending = False
        return receipt
    total, commission, vat = with_fee(tariff, continuation.others(session, call), receipt.total, fee)
    consultant = total - commission
    postings.charge(
        session,
        key,
        call.id,
        consultant_id=call.consultant_id or 0,
        currency=tariff.currency,
        commission=commission - receipt.commission,
        consultant=consultant - receipt.consultant_share,
        vat=vat - receipt.vat,
        platform=postings.RECORDING_FEES,
    )
    receipt.lines = [*receipt.lines, asdict(Line("recording", 0, fee))]
    receipt.total, receipt.commission, receipt.consultant_share = total, commission, consultant
    receipt.vat = vat
    receipt.recording_pending = False
    session.flush()
    return receipt


def _close(session: Session, call: Call) -> None:
    """Nobody talked: what was held goes back, and there is no recording to wait for."""
    recording = session.get(Recording, call.id)
    if recording is not None:
        recording.status = "empty"
    if call.tariff is not None and call.client_id is not None:
        free_minutes.give_back(session, call)
        # Not by the tariff: a call whose tariff can't be read is closed in this way too.
        held, currency = postings.held(session, call.id)
        postings.release(session, f"call:{call.id}:release", call.id, call.client_id, held, currency)
    finish(call, Status.CLOSED)
    session.flush()
