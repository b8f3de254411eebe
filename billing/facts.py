"""Reads the facts of a call's price from its rows, and writes the settlement back to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select

from taxiphone.billing import continuation
from taxiphone.billing.call_row import CallRow
from taxiphone.billing.ledger import postings, refunds
from taxiphone.billing.ledger.keys import CallKey, Purpose
from taxiphone.billing.pricing.settlement import RECORDING, Facts, RecordingState, Settlement
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.pricing.tariff_json import from_stored
from taxiphone.store.models import Receipt
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.tables import ACCOUNT, ENTRY, POSTING
from taxiphone.store.tables import RECORDING as RECORDINGS

_NOT_COMING = frozenset({"failed", "empty", "deleted"})
_HELD_FOR_TALK: Prepared[int] = Prepared(
    select(func.coalesce(func.sum(ENTRY.c.amount), 0))
    .join(POSTING, POSTING.c.id == ENTRY.c.posting_id)
    .join(ACCOUNT, ACCOUNT.c.id == ENTRY.c.account_id)
    .where(
        POSTING.c.call_id == bindparam("call"),
        or_(POSTING.c.key == bindparam("key"), POSTING.c.key.startswith(bindparam("extensions"))),
        ACCOUNT.c.kind == postings.HOLD,
    ),
    scalar,
)
_RECORDING_STATUS: Prepared[str] = Prepared(
    select(RECORDINGS.c.status).where(RECORDINGS.c.call_id == bindparam("call")), scalar
)


def gather(
    connection: Connection,
    call: CallRow,
    talk: Talk,
    receipt: Receipt | None,
    *,
    held: int | None = None,
    lock: bool = False,
) -> Facts:
    """Gather the facts of an accepted call as they are known now.

    Args:
        connection: a connection.
        call: the call, which has a tariff.
        talk: its talk (`evidence.proof.talk_of`).
        receipt: its receipt, if it was priced before.
        held: the balance of the call's hold, if nothing was charged from it yet; None for what was held at acceptance.
        lock: whether to lock the sums of the earlier parts until the transaction ends.
    """
    return Facts(
        tariff=from_stored(call.tariff or {}),
        talk=talk,
        held=_held_for_talk(connection, call.id) if held is None else held,
        max_seconds=call.max_seconds,
        earlier=continuation.before(connection, call.continues_id, lock=lock),
        fault=call.fault,
        heard_until=call.heard_until,
        rtp_timeout=call.rtp_timeout,
        recording_asked=call.recording_asked,
        recording=_recording_state(connection, call, receipt),
    )


def of_receipt(settlement: Settlement) -> dict[str, Any]:
    """Return the columns of a receipt (`store.models.Receipt`) that a settlement determines."""
    price = settlement.price
    return {
        "lines": [
            {"what": line.what, "seconds": line.seconds, "amount": line.amount} for line in price.lines
        ],
        "total": price.total,
        "vat": price.vat,
        "commission": price.commission,
        "consultant_share": price.consultant,
        "recording_pending": settlement.pending_fee > 0,
    }


def of_call(settlement: Settlement) -> dict[str, Any]:
    """Return the columns of a call (`store.models.Call`) that a settlement determines."""
    return {
        "talk_from": settlement.heard.start,
        "talk_to": settlement.heard.end,
        "billed_seconds": settlement.price.billed_seconds,
        **of_state(settlement),
    }


def of_state(settlement: Settlement) -> dict[str, Any]:
    """Return the columns of a call that aren't its price: the priced time, the dropped line, and the review."""
    return {
        "priced_us": int(settlement.seconds.scaleb(6)),
        "dropped": settlement.dropped,
        "review": settlement.review,
    }


def _held_for_talk(connection: Connection, call_id: str) -> int:
    """Return what was held when the call was accepted, and when it was extended; in minor units."""
    held, extended = (str(CallKey(call_id, purpose)) for purpose in (Purpose.HOLD, Purpose.EXTENSION))
    return int(_HELD_FOR_TALK.first(connection, {"call": call_id, "key": held, "extensions": extended}) or 0)


def _recording_state(connection: Connection, call: CallRow, receipt: Receipt | None) -> RecordingState:
    if not call.recording_asked:
        return RecordingState.NONE
    if receipt is not None and any(line["what"] == RECORDING for line in receipt.lines):
        return RecordingState.READY  # it was charged, even if the file has been deleted since
    status = _RECORDING_STATUS.first(connection, {"call": call.id})
    if status is None or status in _NOT_COMING:
        return RecordingState.NONE
    # A released fee is never charged later; for example, if everything was refunded before the MP3 was ready.
    if (
        receipt is not None
        and not receipt.recording_pending
        and refunds.fee_was_released(connection, call.id)
    ):
        return RecordingState.NONE
    return RecordingState.READY if status == "ready" else RecordingState.PENDING
