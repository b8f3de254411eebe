"""A priced call is priced anew, from Asterisk's rows and the frozen tariff: what was posted is reversed, never charged twice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from taxiphone.billing import continuation
from taxiphone.billing.evidence import proof
from taxiphone.billing.ledger import free_minutes, postings
from taxiphone.billing.ledger.refunds import fee_was_released, lock_receipt, refunded
from taxiphone.billing.pricing.money import amount_in
from taxiphone.billing.pricing.parts import UNBILLED, Sum, billable, fee_of, price_part, with_fee
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.pricing.tariff import Line, Price, Tariff
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.billing.rating import NOT_COMING
from taxiphone.errors import InsufficientFundsError, LedgerError, UsageError
from taxiphone.store.calls import Status
from taxiphone.store.models import Account, Call, Entry, Posting, Receipt, Recording
from taxiphone.store.types import now

_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Again:
    """What came of it; amounts in minor units.

    Attributes:
        receipt: as it is now.
        before: the total that it had.
        changed: whether anything was posted.
    """

    receipt: Receipt
    before: int
    changed: bool


def rate_again(session: Session, call: Call, reason: str = "") -> Again:
    """Price a rated call by what Asterisk's log says of it now, under the tariff that was frozen then.

    Where the price is the same, nothing happens. Else the call's charges are reversed and posted anew, and the receipt
    becomes its next version. The limits of the call hold as on the first day: no more is charged than was held for it
    when it was accepted. What is dearer now comes from the wallet; what is cheaper goes back there.

    Raises:
        UsageError: the call has no receipt, or the reason is not one line.
        LedgerError: something was refunded, the log has no talk of it, or another call has gone on with it.
        InsufficientFundsError: the wallet does not pay the difference.
    """
    if len(reason) > _LONGEST_REASON or not reason.isprintable():
        raise UsageError(f"a reason is one line of {_LONGEST_REASON} characters at most.")
    receipt = lock_receipt(session, call)
    if receipt is None or call.tariff is None or call.status != Status.RATED:
        raise UsageError(
            f"call {call.id} was never priced, so it can't be priced again. `taxiphone call show {call.id}` says more."
        )
    if back := refunded(session, call.id):
        said = amount_in(back, receipt.currency)
        raise LedgerError(
            f"{said} of call {call.id} were refunded, on the price as it stands. Nothing was posted; "
            f"what is still too much is given back by: taxiphone refund {call.id} AMOUNT --reason TEXT"
        )
    if continuation.has_later(session, call):
        raise LedgerError(
            f"the line of call {call.id} was cut and another call goes on with it, whose price rests on this one. "
            f"Nothing was posted; what is too much is given back by: taxiphone refund {call.id} AMOUNT --reason TEXT"
        )
    tariff, others, heard, new = reckon(session, call)
    before = receipt.total
    if _same(receipt, new):
        return Again(receipt, before, changed=False)
    _post(session, call, tariff, new, version=len(receipt.former) + 2)
    _rewrite(call, receipt, heard, new, reason)
    if tariff.free_seconds:
        free_minutes.give_back(
            session, call, None if call.fault is not None else others.seconds + heard.seconds
        )
    session.flush()
    return Again(receipt, before, changed=True)


@dataclass(frozen=True, slots=True)
class New:
    """The price of the talk, and with the recording's fee where it is charged."""

    talk: Price
    lines: list[dict[str, Any]]
    total: int
    commission: int
    vat: int
    pending: bool


def reckon(session: Session, call: Call) -> tuple[Tariff, Sum, Talk, New]:
    """What a rated call costs by all that is known of it now; nothing is posted.

    Returns:
        its frozen tariff, what the calls before it in the consultation sum to, the talk as far as it is billed, the price.

    Raises:
        LedgerError: the log has no talk of it.
    """
    found = proof.talk_of(session, call)
    if found is None or call.tariff is None:
        raise LedgerError(f"Asterisk's log has no talk of call {call.id}. Nothing was posted.")
    tariff = from_json(call.tariff)
    others, heard = continuation.before(session, call, lock=True), proof.heard(call, found)
    held = _held_for_talk(session, call, tariff)
    seconds = billable(call.max_seconds, tariff, heard.seconds, held, others)
    cost = price_part(tariff, others, seconds) if seconds and call.fault is None else UNBILLED
    call.dropped = proof.was_dropped(call, found)
    return tariff, others, heard, _with_recording(session, call, tariff, cost, others)


def _held_for_talk(session: Session, call: Call, tariff: Tariff) -> int:
    """What was held when the call was accepted, less the fee of a recording."""
    held = session.execute(
        select(func.coalesce(func.sum(Entry.amount), 0))
        .join(Posting, Posting.id == Entry.posting_id)
        .join(Account, Account.id == Entry.account_id)
        .where(Posting.key == f"call:{call.id}:hold", Account.kind == postings.HOLD)
    ).scalar_one()
    return int(held) - (fee_of(tariff) if call.recording_asked else 0)


def _with_recording(session: Session, call: Call, tariff: Tariff, cost: Price, others: Sum) -> New:
    recording = session.get(Recording, call.id)
    # A fee that was given back, as when everything was refunded before the MP3 was ready, is never asked for again.
    gone = cost.network_fault or fee_was_released(session, call)
    status = None if recording is None or gone else recording.status
    charged = any(line["what"] == "recording" for line in call.receipt.lines) if call.receipt else False
    fee = 0
    if (charged or status == "ready") and not cost.network_fault:
        fee = fee_of(tariff)
    total, commission, vat = with_fee(tariff, others, cost.total, fee)
    lines = [*cost.lines, *([Line("recording", 0, fee)] if fee else [])]
    return New(
        talk=cost,
        lines=[asdict(line) for line in lines],
        total=total,
        commission=commission,
        vat=vat,
        pending=not fee and status is not None and status not in NOT_COMING,
    )


def _same(receipt: Receipt, new: New) -> bool:
    was = (receipt.lines, receipt.total, receipt.commission, receipt.recording_pending)
    return was == (new.lines, new.total, new.commission, new.pending)


def _post(session: Session, call: Call, tariff: Tariff, new: New, version: int) -> None:
    """Reverse, fetch or give back the difference, and charge: in this order nothing falls below zero on the way."""
    currency, client = tariff.currency, call.client_id or 0
    wallet = postings.lock_wallet(session, client, currency)
    undone = aliased(Posting)
    charges = session.scalars(
        select(Posting.key)
        .where(
            Posting.call_id == call.id,
            Posting.kind == postings.CHARGE,
            ~exists().where(undone.reverses_id == Posting.id),
        )
        .order_by(Posting.id)
    ).all()
    for key in charges:
        postings.reverse(session, key, f"{key}:reversed", memo=f"rated again, version {version}")
    held = postings.balance(session, postings.HOLD, call.id, currency)
    reserved = fee_of(tariff) if new.pending else 0
    missing = new.total + reserved - held
    if missing > wallet:
        raise InsufficientFundsError(
            f"call {call.id} costs {amount_in(missing, currency)} more now, and the client's wallet holds "
            f"{amount_in(wallet, currency)}. Nothing was posted; the call keeps its price."
        )
    prefix = f"call:{call.id}"
    if missing > 0:
        changes = [
            postings.Change(postings.WALLET, str(client), currency, -missing),
            postings.Change(postings.HOLD, call.id, currency, missing),
        ]
        postings.post(session, f"{prefix}:hold:{version}", "hold", changes, call_id=call.id)
    postings.release(session, f"{prefix}:release:{version}", call.id, client, max(0, -missing), currency)
    cost, consultant = new.talk, call.consultant_id or 0
    postings.charge(
        session,
        f"{prefix}:talk:{version}",
        call.id,
        consultant_id=consultant,
        currency=currency,
        commission=cost.commission,
        consultant=cost.consultant,
        vat=cost.vat,
    )
    postings.charge(
        session,
        f"{prefix}:recording:{version}",
        call.id,
        consultant_id=consultant,
        currency=currency,
        commission=new.commission - cost.commission,
        consultant=new.total - new.commission - cost.consultant,
        vat=new.vat - cost.vat,
        platform=postings.RECORDING_FEES,
    )


def _rewrite(call: Call, receipt: Receipt, found: Talk, new: New, reason: str) -> None:
    """The receipt says the new price, and keeps what it said before."""
    former, at = receipt.former, now()
    issued = former[-1]["replaced_at"] if former else receipt.issued_at.isoformat()
    old = {
        "issued_at": issued,
        "replaced_at": at.isoformat(),
        "reason": reason,
        "billed_seconds": call.billed_seconds,
        "lines": receipt.lines,
        "total": receipt.total,
        "commission": receipt.commission,
        "consultant_share": receipt.consultant_share,
        "vat": receipt.vat,
    }
    receipt.former = [*former, old]
    receipt.lines, receipt.total, receipt.commission = new.lines, new.total, new.commission
    receipt.consultant_share, receipt.vat = new.total - new.commission, new.vat
    receipt.recording_pending = new.pending
    call.talk_from, call.talk_to = found.start, found.end
    call.billed_seconds = new.talk.billed_seconds
