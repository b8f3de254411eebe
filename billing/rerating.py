"""Re-rates a priced call from Asterisk's rows and the tariff that was copied into the call.

The charges are reversed and posted again. Nothing is charged twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from taxiphone.billing import call_row, continuation, facts
from taxiphone.billing.call_row import CallRow
from taxiphone.billing.evidence import proof
from taxiphone.billing.ledger import balances, postings
from taxiphone.billing.ledger.keys import CallKey, Purpose, reversal_key
from taxiphone.billing.ledger.refunds import lock_receipt, refunded
from taxiphone.billing.pricing.money import amount_in
from taxiphone.billing.pricing.settlement import Facts, Settlement, settle
from taxiphone.billing.rating import charge, release_free_minutes
from taxiphone.errors import InsufficientFundsError, LedgerError, UsageError
from taxiphone.store.calls import Status
from taxiphone.store.models import Call, Posting, Receipt
from taxiphone.store.types import now

_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Rerated:
    """The result of a re-rating; amounts in minor units.

    Attributes:
        receipt: the receipt as it is now.
        before: the total before.
        changed: whether anything was posted.
    """

    receipt: Receipt
    before: int
    changed: bool


def rerate(session: Session, call: Call, reason: str = "") -> Rerated:
    """Settle a rated call again, by what Asterisk's log says now and under the call's own tariff.

    If the price is the same, nothing is posted. Otherwise the call's charges are reversed and posted again, and the
    receipt gets a new version. No more is charged than was held when the call was accepted. A higher price is taken from
    the client's wallet, and a lower one is released to it. In both cases the review is set or cleared.

    Raises:
        UsageError: the call has no receipt, or the reason is not one line.
        LedgerError: something was refunded, the log has no talk of it, or another call continues it.
        InsufficientFundsError: the wallet does not cover the difference.
    """
    if len(reason) > _LONGEST_REASON or not reason.isprintable():
        raise UsageError(f"a reason is one line of {_LONGEST_REASON} characters at most.")
    receipt = lock_receipt(session, call)
    if receipt is None or call.tariff is None or call.status != Status.RATED:
        raise UsageError(
            f"call {call.id} was never priced, so it can't be re-rated. See: taxiphone call show {call.id}"
        )
    if refund := refunded(session, call.id):
        raise LedgerError(
            f"{amount_in(refund, receipt.currency)} of call {call.id} were refunded, so its price can't change. "
            "Nothing was posted. "
            f"To refund more: taxiphone refund {call.id} AMOUNT --reason TEXT"
        )
    known, settlement = settle_again(session, call, receipt)
    connection = session.connection()
    # Whoever accepts a call that continues this one has locked the wallet first.
    balances.lock_wallet(connection, call.client_id or 0, receipt.currency)
    if continuation.has_later(connection, call.id):
        raise LedgerError(
            f"another call continues call {call.id}, and its price depends on this one. Nothing was posted. "
            f"To refund what is too much: taxiphone refund {call.id} AMOUNT --reason TEXT"
        )
    row = call_row.read(connection, call.id)
    before, changed = receipt.total, not _same(receipt, settlement)
    if changed:
        version = len(receipt.former) + 2
        _post(session, row, settlement, known.tariff.currency, version)
        receipt.former = [*receipt.former, _version(call, receipt, reason)]
        _set(receipt, facts.of_receipt(settlement))
        _set(call, facts.of_call(settlement))
        release_free_minutes(connection, row, known, settlement)
    session.flush()
    return Rerated(receipt, before, changed)


def settle_again(session: Session, call: Call, receipt: Receipt) -> tuple[Facts, Settlement]:
    """Settle a rated call by what is known now. Nothing is posted, but the review is set or cleared.

    Raises:
        LedgerError: the log has no talk of the call.
    """
    session.flush()
    connection = session.connection()
    row = call_row.read(connection, call.id)
    talk = proof.talk_of(connection, row)
    if talk is None or row.tariff is None:
        raise LedgerError(f"Asterisk's log has no talk of call {call.id}. Nothing was posted.")
    known = facts.gather(connection, row, talk, receipt, lock=True)
    settlement = settle(known)
    _set(call, facts.of_state(settlement))
    return known, settlement


def _set(row: Call | Receipt, columns: dict[str, Any]) -> None:
    for name, value in columns.items():
        setattr(row, name, value)


def _same(receipt: Receipt, settlement: Settlement) -> bool:
    columns = facts.of_receipt(settlement)
    compared = ("lines", "total", "commission", "recording_pending")
    return all(getattr(receipt, name) == columns[name] for name in compared)


def _post(session: Session, call: CallRow, settlement: Settlement, currency: str, version: int) -> None:
    """Reverse the charges, hold or release the difference, and charge again; in this order no account becomes negative."""
    connection, client = session.connection(), call.client_id or 0
    wallet = balances.lock_wallet(connection, client, currency)
    reversals = aliased(Posting)
    charges = session.scalars(
        select(Posting.key)
        .where(
            Posting.call_id == call.id,
            Posting.kind == postings.CHARGE,
            ~exists().where(reversals.reverses_id == Posting.id),
        )
        .order_by(Posting.id)
    ).all()
    for key in charges:
        postings.reverse(session, key, reversal_key(key), memo=f"re-rated, version {version}")
    held = balances.balance(session, postings.HOLD, call.id, currency)
    missing = settlement.price.total + settlement.pending_fee - held
    if missing > wallet:
        raise InsufficientFundsError(
            f"call {call.id} costs {amount_in(missing, currency)} more now, but the client's wallet has only "
            f"{amount_in(wallet, currency)}. Nothing was posted; the call keeps its price."
        )
    if missing > 0:
        changes = [
            postings.Change(postings.WALLET, str(client), currency, -missing),
            postings.Change(postings.HOLD, call.id, currency, missing),
        ]
        postings.post(session, CallKey(call.id, Purpose.HOLD, version), "hold", changes, call_id=call.id)
    release = CallKey(call.id, Purpose.RELEASE, version)
    postings.release(connection, release, client, max(0, -missing), currency)
    charge(connection, call, settlement, currency, version=version)


def _version(call: Call, receipt: Receipt, reason: str) -> dict[str, object]:
    """Return the current version of a receipt, to be kept when a new one replaces it."""
    former = receipt.former
    return {
        "issued_at": former[-1]["replaced_at"] if former else receipt.issued_at.isoformat(),
        "replaced_at": now().isoformat(),
        "reason": reason,
        "billed_seconds": call.billed_seconds,
        "lines": receipt.lines,
        "total": receipt.total,
        "commission": receipt.commission,
        "consultant_share": receipt.consultant_share,
        "vat": receipt.vat,
    }
