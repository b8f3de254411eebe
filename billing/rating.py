"""Rates a call that is over: its price, postings and receipt. Everything happens once, in the caller's transaction."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, insert, literal, select, update
from sqlalchemy.orm import Session

from taxiphone.billing import call_row, continuation, facts
from taxiphone.billing.call_row import CallRow
from taxiphone.billing.ledger import balances, free_minutes, postings, refunds
from taxiphone.billing.ledger.keys import CallKey, Purpose
from taxiphone.billing.ledger.numbering import Series, next_number
from taxiphone.billing.pricing.parts import fee_of, with_fee
from taxiphone.billing.pricing.settlement import RECORDING, Facts, Settlement, settle
from taxiphone.billing.pricing.talk import NO_END, Talk
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.billing.pricing.tariff_price import Line
from taxiphone.store.calls import FINAL, Outcome, Status
from taxiphone.store.models import Call, Receipt
from taxiphone.store.prepared import Prepared, driver_rows
from taxiphone.store.tables import CALL, RECEIPT
from taxiphone.store.types import now


class Charged(NamedTuple):
    """What a call costs, as on its receipt: the total in minor units, and its currency (ISO 4217)."""

    total: int
    currency: str


_CHARGED = Prepared(
    select(RECEIPT.c.total, RECEIPT.c.currency).where(RECEIPT.c.call_id == bindparam("call")), Charged._make
)
_ISSUE: Prepared[Any] = Prepared(
    insert(RECEIPT).values(former=literal([], RECEIPT.c.former.type)),
    tuple,
    (
        *("call_id", "issued_at", "currency", "lines", "total", "commission", "consultant_share", "vat"),
        "recording_pending",
    ),
)
_FINISH = update(CALL).where(CALL.c.id == bindparam("call"))
_CLOSED = ("outcome", "review")
_CLOSE: Prepared[Any] = Prepared(
    _FINISH.values(
        status=Status.CLOSED, unpriced=None, **{name: bindparam(f"new_{name}") for name in _CLOSED}
    ),
    tuple,
)
_PRICED = ("outcome", "review", "talk_from", "talk_to", "billed_seconds", "priced_us", "dropped")
_PRICE: Prepared[Any] = Prepared(
    _FINISH.values(
        status=Status.RATED, unpriced=None, **{name: bindparam(f"new_{name}") for name in _PRICED}
    ),
    tuple,
)
_NO_RECORDING = "UPDATE recording SET status = 'empty' WHERE call_id = ?"


def rate(connection: Connection, call: CallRow, talk: Talk | None) -> Charged | None:
    """Price a call that is over, post the price and write the receipt. A call without a talk is closed free of charge.

    A call that was rated or closed before is left as it is. The fee of a recording that isn't ready stays held until
    `settle_recording`.

    Args:
        connection: a connection in a transaction that writes.
        call: the locked call. Its outcome and review are written to its row.
        talk: its talk.

    Returns:
        what was charged; None if there was no talk.
    """
    if Status(call.status) in FINAL:
        return _CHARGED.first(connection, {"call": call.id})
    if talk is None or talk.microseconds == 0 or call.tariff is None:
        review = call.review if talk is None else _unbilled(call, talk) or call.review
        _close(connection, call._replace(review=review))
        return None
    held, _ = balances.held(connection, call.id)
    known = facts.gather(connection, call, talk, None, held=held, lock=True)
    settlement, currency = settle(known), known.tariff.currency
    rest = held - settlement.price.total - settlement.pending_fee
    charge(connection, call, settlement, currency, release=rest)
    release_free_minutes(connection, call, known, settlement)
    priced = facts.of_call(settlement)
    priced["outcome"] = call.outcome or Outcome.TALKED
    priced["review"] = priced["review"] or call.review
    _PRICE.run(connection, {"call": call.id, **{f"new_{name}": priced[name] for name in _PRICED}})
    number = next_number(connection, Series.RECEIPTS)
    receipt = {"call_id": call.id, "issued_at": now(), "currency": currency, **number}
    _ISSUE.run(connection, receipt | facts.of_receipt(settlement))
    return Charged(settlement.price.total, currency)


def charge(
    connection: Connection,
    call: CallRow,
    settlement: Settlement,
    currency: str,
    *,
    version: int = 1,
    release: int = 0,
) -> None:
    """Charge a settled price from the call's hold, with separate postings for the talk and the recording.

    Args:
        connection: a connection in a transaction that writes.
        call: the call, whose hold covers the price.
        settlement: the settlement.
        currency: ISO 4217.
        version: the version of the receipt.
        release: the amount to release to the client's wallet at the same time, in minor units.
    """
    consultant, talk, price = call.consultant_id or 0, settlement.talk, settlement.price
    postings.charge(
        connection,
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
            connection,
            CallKey(call.id, Purpose.RECORDING, version),
            consultant_id=consultant,
            currency=currency,
            commission=price.commission - talk.commission,
            consultant=price.consultant - talk.consultant,
            vat=price.vat - talk.vat,
            platform=postings.RECORDING_FEES,
        )


def release_free_minutes(connection: Connection, call: CallRow, known: Facts, settlement: Settlement) -> None:
    """Release the free minutes if the talk was too short to use them up, or wasn't billed because of a fault."""
    if known.tariff.free_seconds:
        talked = None if known.fault is not None else known.earlier.seconds + settlement.heard.seconds
        free_minutes.release(connection, call, talked)


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
    connection = session.connection()
    session.flush()
    # Another process may be settling, re-rating or refunding it.
    session.refresh(receipt, with_for_update={"key_share": True})
    if not receipt.recording_pending:
        return receipt
    tariff = from_json(call.tariff)
    fee, key = fee_of(tariff), CallKey(call.id, Purpose.RECORDING)
    if not ready or call.fault is not None or refunds.refunded_whole(session, call):
        postings.release(connection, key, call.client_id or 0, fee, tariff.currency)
        receipt.recording_pending = False
        return receipt
    others = continuation.others(connection, call_row.read(connection, call.id))
    total, commission, vat = with_fee(tariff, others, receipt.total, fee)
    consultant = total - commission
    postings.charge(
        connection,
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


def _unbilled(call: CallRow, talk: Talk) -> str | None:
    """Return why a person should review a call that is closed although it has a talk; None if no review is needed."""
    if call.tariff is None:
        return "they talked, but the call was never accepted, so there is no tariff to price it"
    doubt = talk.doubt or (None if talk.complete else NO_END)
    return None if doubt is None else f"{doubt[:170]}; nothing was charged"


def _close(connection: Connection, call: CallRow) -> None:
    """Close a call without a talk: release its hold and free minutes, and expect no recording."""
    driver_rows(connection, _NO_RECORDING, (call.id,))
    if call.tariff is not None and call.client_id is not None:
        # The currency isn't read from the tariff, because a call with an unreadable tariff is closed here too.
        held, currency = balances.held(connection, call.id)
        postings.release(connection, CallKey(call.id, Purpose.RELEASE), call.client_id, held, currency)
        free_minutes.release(connection, call)
    # If the program is alive, it writes the outcome in a moment, at the end of the call. If it was killed, the log may be read
    # before it looks for the calls that it had left behind.
    closed = {"outcome": call.outcome or Outcome.FAILED, "review": call.review}
    _CLOSE.run(connection, {"call": call.id, **{f"new_{name}": value for name, value in closed.items()}})
