"""Refunds: taken from the accounts that the price was paid into, never more than was paid."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Connection, exists, func, select
from sqlalchemy.orm import Session

from taxiphone.billing.ledger import balances, postings
from taxiphone.billing.ledger.keys import CallKey, Purpose, check_given
from taxiphone.billing.ledger.numbering import Series, next_number
from taxiphone.billing.ledger.postings import Change
from taxiphone.billing.pricing.money import amount_in
from taxiphone.billing.pricing.parts import fee_of
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.billing.pricing.tariff_price import half_up
from taxiphone.errors import LedgerError, UsageError
from taxiphone.store.models import Account, Call, CreditNote, Entry, Posting, Receipt
from taxiphone.store.tables import POSTING

_LONGEST_REASON = 200
# All other accounts of a call's postings received a part of the price.
_NOT_PAID = (postings.WALLET, postings.HOLD)


def refund(session: Session, call: Call, amount: int | None, reason: str, key: str) -> CreditNote:
    """Refund a call, in part or in full, to the client's wallet.

    Consultant, platform and tax each refund in proportion to their part of the price. The parts add up to the amount, and
    after a full refund each has refunded exactly what it received. If the consultant has already been paid, their earnings
    become negative. The same request with the same key returns the existing credit note. After a full refund, the fee of a recording
    that isn't ready yet is no longer charged.

    Args:
        session: a session in a transaction that writes.
        call: a call that has a receipt.
        amount: minor units; None for everything that hasn't been refunded yet.
        reason: one line, shown to the client.
        key: identifies this refund among the call's.

    Raises:
        UsageError: the reason or the key is not one line, or the call has no receipt.
        LedgerError: the amount is zero or more than what is left, or the key was used with another amount.
    """
    _one_line("a reason", reason, _LONGEST_REASON)
    check_given(key)
    receipt = lock_receipt(session, call)
    if receipt is None or call.tariff is None:
        raise UsageError(f"call {call.id} has no receipt, so there is nothing to refund.")
    posting_key = str(CallKey(call.id, Purpose.REFUND, name=key))
    existing = session.scalar(select(CreditNote).where(CreditNote.key == posting_key))
    if existing is not None:
        # Everything was refunded only if nothing is left, because a call's price can't change after a refund.
        everything_left = amount is None and sum(paid_shares(session, call.id).values()) > 0
        if everything_left or amount not in {None, existing.amount}:
            used_for = amount_in(existing.amount, existing.currency)
            raise LedgerError(f"the key {key} was used for a refund of {used_for}. Nothing was posted.")
        return existing
    paid = paid_shares(session, call.id)
    left, currency = sum(paid.values()), receipt.currency
    amount = left if amount is None else amount
    if amount <= 0:
        raise LedgerError(f"nothing is left to refund of call {call.id}. Nothing was posted.")
    if amount > left:
        raise LedgerError(
            f"{amount_in(left, currency)} are left of what was paid for call {call.id}, "
            f"less than {amount_in(amount, currency)}. Nothing was posted."
        )
    share, vat = part(amount, paid[postings.EARNINGS], left), part(amount, paid[postings.VAT], left)
    changes = [
        Change(postings.WALLET, str(call.client_id), currency, amount),
        Change(postings.EARNINGS, str(call.consultant_id), currency, -share),
        Change(postings.VAT, "", currency, -vat),
        Change(postings.REFUNDS, "", currency, share + vat - amount),
    ]
    postings.post(
        session,
        posting_key,
        postings.REFUND,
        [change for change in changes if change.amount],
        call_id=call.id,
        memo=reason,
    )
    note = CreditNote(
        **next_number(session.connection(), Series.CREDIT_NOTES),
        call_id=call.id,
        key=posting_key,
        currency=currency,
        amount=amount,
        vat=vat,
        commission=amount - share,
        consultant_share=share,
        reason=reason,
    )
    session.add(note)
    session.flush()
    if amount == left:
        waive_recording(session, call)
    return note


def waive_recording(session: Session, call: Call) -> int:
    """Release the fee held for a recording that isn't ready yet. The recording will then be free.

    Returns:
        the amount released, in minor units; 0 if no fee was pending.
    """
    receipt = lock_receipt(session, call)
    if receipt is None or not receipt.recording_pending or call.tariff is None:
        return 0
    tariff = from_json(call.tariff)
    fee = fee_of(tariff)
    postings.release(session.connection(), _recording_key(call.id), call.client_id or 0, fee, tariff.currency)
    receipt.recording_pending = False
    session.flush()
    return fee


def waived_fee(session: Session, call: Call) -> int:
    """Return the recording fee of a call that costs nothing, if it was released before; in minor units, 0 if it wasn't."""
    if call.receipt is None or call.receipt.total or call.tariff is None:
        return 0
    return fee_of(from_json(call.tariff)) if fee_was_released(session.connection(), call.id) else 0


def _recording_key(call_id: str) -> CallKey:
    """The key of the posting that charges or releases the fee of a call's recording. Only one of them can be posted."""
    return CallKey(call_id, Purpose.RECORDING)


def fee_was_released(connection: Connection, call_id: str) -> bool:
    """Whether the fee of the call's recording was released without having been charged."""
    released = exists().where(
        POSTING.c.key == str(_recording_key(call_id)), POSTING.c.kind == postings.RELEASE
    )
    return bool(connection.execute(select(released)).scalar_one())


def refunded_whole(session: Session, call: Call) -> bool:
    """Whether a call was refunded in full."""
    amount = refunded(session, call.id)
    return amount > 0 and call.receipt is not None and amount >= call.receipt.total


def lock_receipt(session: Session, call: Call) -> Receipt | None:
    """Return the call's receipt, locked until the transaction ends.

    Refunds, re-ratings and recordings all lock it, so that they wait for each other.
    """
    return session.execute(
        select(Receipt)
        .where(Receipt.call_id == call.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()


def paid_shares(session: Session, call_id: str) -> dict[str, int]:
    """Return each account's part of what was paid for a call, less refunds, by kind of account; in minor units."""
    rows = session.execute(
        select(Account.kind, func.sum(Entry.amount))
        .join(Entry, Entry.account_id == Account.id)
        .join(Posting, Posting.id == Entry.posting_id)
        .where(Posting.call_id == call_id, Account.kind.not_in(_NOT_PAID))
        .group_by(Account.kind)
    )
    shares: dict[str, int] = defaultdict(int)
    shares.update({kind: int(amount) for kind, amount in rows})
    return shares


def refunded(session: Session, call_id: str) -> int:
    """Return the total of a call's refunds, in minor units."""
    total = select(func.coalesce(func.sum(CreditNote.amount), 0)).where(CreditNote.call_id == call_id)
    return int(session.execute(total).scalar_one())


def owed_back(session: Session, call: Call) -> int:
    """Return what the call's consultant owes the platform now, in minor units; 0 if nothing."""
    currency = from_json(call.tariff).currency if call.tariff else None
    return max(0, -balances.balance(session, postings.EARNINGS, call.consultant_id or 0, currency))


def part(amount: int, held: int, left: int) -> int:
    """Return an account's part of a refund. The last refund takes all of it, since `amount` then equals `left`."""
    return half_up(amount * held, left)


def _one_line(what: str, text: str, longest: int) -> None:
    if not (0 < len(text.strip()) <= len(text) <= longest and text.isprintable()):
        raise UsageError(f"{what} is one line of 1 to {longest} characters.")
