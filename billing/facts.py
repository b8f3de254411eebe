"""Reads the facts of a call's price from its rows, and writes the settlement back to them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from taxiphone.billing import continuation
from taxiphone.billing.ledger import postings, refunds
from taxiphone.billing.ledger.keys import CallKey, Purpose
from taxiphone.billing.pricing.settlement import RECORDING, Facts, RecordingState, Settlement
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.store.models import Account, Call, Entry, Posting, Receipt, Recording

_NOT_COMING = frozenset({"failed", "empty", "deleted"})


def gather(
    session: Session,
    call: Call,
    talk: Talk,
    receipt: Receipt | None,
    *,
    held: int | None = None,
    lock: bool = False,
) -> Facts:
    """Gather the facts of an accepted call as they are known now.

    Args:
        session: the database session.
        call: the call, which has a tariff.
        talk: its talk (`evidence.proof.talk_of`).
        receipt: its receipt, if it was priced before.
        held: the balance of the call's hold, if nothing was charged from it yet; None for what was held at acceptance.
        lock: whether to lock the sums of the earlier parts until the transaction ends.
    """
    return Facts(
        tariff=from_json(call.tariff or {}),
        talk=talk,
        held=_held_at_acceptance(session, call) if held is None else held,
        max_seconds=call.max_seconds,
        earlier=continuation.before(session, call, lock=lock),
        fault=call.fault,
        heard_until=call.heard_until,
        rtp_timeout=call.rtp_timeout,
        recording_asked=call.recording_asked,
        recording=_recording_state(session, call, receipt),
    )


def lines_of(settlement: Settlement) -> list[dict[str, Any]]:
    """Return the lines of a settlement in the form in which a receipt stores them."""
    return [asdict(line) for line in settlement.price.lines]


def write(call: Call, receipt: Receipt, settlement: Settlement) -> None:
    """Write a settlement to the rows of a call and its receipt."""
    price = settlement.price
    receipt.lines, receipt.total, receipt.vat = lines_of(settlement), price.total, price.vat
    receipt.commission, receipt.consultant_share = price.commission, price.consultant
    receipt.recording_pending = settlement.pending_fee > 0
    call.talk_from, call.talk_to = settlement.heard.start, settlement.heard.end
    call.billed_seconds = price.billed_seconds
    write_state(call, settlement)


def write_state(call: Call, settlement: Settlement) -> None:
    """Write the parts of a settlement that aren't its price: the priced time, the dropped line, and the review."""
    call.priced_us = int(settlement.seconds.scaleb(6))
    call.dropped, call.review = settlement.dropped, settlement.review


def _held_at_acceptance(session: Session, call: Call) -> int:
    held = session.execute(
        select(func.coalesce(func.sum(Entry.amount), 0))
        .join(Posting, Posting.id == Entry.posting_id)
        .join(Account, Account.id == Entry.account_id)
        .where(Posting.key == str(CallKey(call.id, Purpose.HOLD)), Account.kind == postings.HOLD)
    ).scalar_one()
    return int(held)


def _recording_state(session: Session, call: Call, receipt: Receipt | None) -> RecordingState:
    if not call.recording_asked:
        return RecordingState.NONE
    if receipt is not None and any(line["what"] == RECORDING for line in receipt.lines):
        return RecordingState.READY  # it was charged, even if the file has been deleted since
    recording = session.get(Recording, call.id)
    if recording is None or recording.status in _NOT_COMING:
        return RecordingState.NONE
    # A released fee is never charged later; for example, if everything was refunded before the MP3 was ready.
    if receipt is not None and not receipt.recording_pending and refunds.fee_was_released(session, call):
        return RecordingState.NONE
    return RecordingState.READY if recording.status == "ready" else RecordingState.PENDING
