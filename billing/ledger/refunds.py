"""Refunds: taken from the accounts that the price was paid into, never more than was paid."""

from __future__ import annotations

import secrets
from collections import defaultdict

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from taxiphone.billing.ledger import postings
from taxiphone.billing.ledger.keys import CallKey, Purpose
from taxiphone.billing.ledger.postings import Change
from taxiphone.billing.pricing.money import amount_in
from taxiphone.billing.pricing.parts import fee_of
from taxiphone.billing.pricing.tariff import half_up
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.errors import LedgerError, UsageError
from taxiphone.store.models import Account, Call, CreditNote, Entry, Posting, Receipt

_LONGEST_KEY = 50
_LONGEST_REASON = 200
# All other accounts of a call's postings received a part of the price.
_NOT_PAID = (postings.WALLET, postings.HOLD)


def refund(
    session: Session, call: Call, amount: int | None, reason: str, key: str | None = None
) -> CreditNote:
    """Refund a part of what a call cost, or (None) all that is left of it, to the client's wallet.

    Consultant, platform and tax each refund in proportion to what they hold of the price. The parts add up to the
    amount, and after a full refund each has refunded exactly what it received. The earnings of a consultant who was paid
    out already fall below zero. The same key again returns the existing credit note. After a full refund, the fee of a
    recording that is not ready yet is no longer charged.

    Args:
        session: in a transaction that writes.
        call: any call that has a receipt.
        amount: minor units.
        reason: one line; the client reads it.
        key: names this refund.

    Raises:
        UsageError: the reason or the key is none, or the call has no receipt.
        LedgerError: nothing, or more than is left of what was paid; or the key was used with another amount.
    """
    _one_line("a reason", reason, _LONGEST_REASON)
    if key is not None:
        _one_line("a key", key, _LONGEST_KEY)
    receipt = lock_receipt(session, call)
    if receipt is None or call.tariff is None:
        raise UsageError(f"call {call.id} has no receipt, so there is nothing to refund.")
    posting_key = str(CallKey(call.id, Purpose.REFUND, name=key or secrets.token_hex(8)))
    made = session.scalar(select(CreditNote).where(CreditNote.key == posting_key))
    if made is not None:
        if amount not in {None, made.amount}:
            raise LedgerError(
                f"the key {key} was used for a refund of {amount_in(made.amount, made.currency)}. Nothing was posted."
            )
        return made
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
        [each for each in changes if each.amount],
        call_id=call.id,
        memo=reason,
    )
    note = CreditNote(
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
    """Release what is held for the fee of a recording that is not ready yet: the recording will cost nothing.

    Returns:
        what was released, in minor units; 0 if no fee was pending.
    """
    receipt = lock_receipt(session, call)
    if receipt is None or not receipt.recording_pending or call.tariff is None:
        return 0
    tariff = from_json(call.tariff)
    fee = fee_of(tariff)
    postings.release(session, _recording_key(call), call.client_id or 0, fee, tariff.currency)
    receipt.recording_pending = False
    session.flush()
    return fee


def _recording_key(call: Call) -> CallKey:
    """The key of the posting that charges the fee of a call's recording, or releases it: one of the two, once."""
    return CallKey(call.id, Purpose.RECORDING)


def fee_was_released(session: Session, call: Call) -> bool:
    """Whether the fee of the call's recording was released without having been charged."""
    released = exists().where(Posting.key == str(_recording_key(call)), Posting.kind == postings.RELEASE)
    return bool(session.execute(select(released)).scalar_one())


def refunded_whole(session: Session, call: Call) -> bool:
    """Whether a call was refunded in full."""
    back = refunded(session, call.id)
    return back > 0 and call.receipt is not None and back >= call.receipt.total


def lock_receipt(session: Session, call: Call) -> Receipt | None:
    """The call's receipt, locked until the transaction ends, so that refunds, re-ratings and recordings wait for each other."""
    return session.execute(
        select(Receipt)
        .where(Receipt.call_id == call.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()


def paid_shares(session: Session, call_id: str) -> dict[str, int]:
    """How much of what was paid for a call, less refunds, each kind of account holds; in minor units."""
    rows = session.execute(
        select(Account.kind, func.sum(Entry.amount))
        .join(Entry, Entry.account_id == Account.id)
        .join(Posting, Posting.id == Entry.posting_id)
        .where(Posting.call_id == call_id, Account.kind.not_in(_NOT_PAID))
        .group_by(Account.kind)
    )
    found: dict[str, int] = defaultdict(int)
    found.update({kind: int(amount) for kind, amount in rows})
    return found


def refunded(session: Session, call_id: str) -> int:
    """What was refunded of a call, in minor units."""
    found = select(func.coalesce(func.sum(CreditNote.amount), 0)).where(CreditNote.call_id == call_id)
    return int(session.execute(found).scalar_one())


def owed_back(session: Session, call: Call) -> int:
    """What the call's consultant owes the platform now, in minor units; 0 where nothing."""
    currency = from_json(call.tariff).currency if call.tariff else None
    return max(0, -postings.balance(session, postings.EARNINGS, call.consultant_id or 0, currency))


def part(amount: int, held: int, left: int) -> int:
    """An account's part of a refund. The last refund empties it, since the amount is then all that is left."""
    return half_up(amount * held, left)


def _one_line(what: str, text: str, longest: int) -> None:
    if not (0 < len(text.strip()) <= len(text) <= longest and text.isprintable()):
        raise UsageError(f"{what} is one line of 1 to {longest} characters.")
