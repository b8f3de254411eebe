"""The double-entry ledger: every posting sums to zero and is made at most once.

Accounts, by kind and owner (amounts in minor units, credit positive):

    wallet           a client's credit                                    never below zero
    hold             what a call may still cost                           never below zero
    earnings         what a consultant has earned and has not been paid yet
    commission       the platform's share of the talks, without tax
    recording_fees   the platform's share of the recording fees, without tax
    vat              the tax included in what clients paid, owed to the state
    refunds          the platform's share of refunds
    payouts          what was paid out to consultants
    top_ups          what clients paid in, as a negative amount

The client buys from the platform, so the platform owes the tax in a price. `charge` posts the consultant's share to
`earnings`, the tax to `vat` and the rest of the commission to the platform. That rest is negative if the commission is
smaller than the tax. See docs/adr/0009.

Postings never change. The key says what a posting is for, so a second attempt finds the first and does nothing. A wrong
posting is undone by a reversal (`reverse`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from taxiphone.billing.ledger import balances, double_entry
from taxiphone.billing.ledger.double_entry import EARNINGS, HOLD, KEPT, WALLET, Change, Draft
from taxiphone.billing.ledger.keys import CallKey, Purpose, check_given, top_up_key
from taxiphone.billing.pricing.money import amount_in
from taxiphone.errors import LedgerError
from taxiphone.store.models import Posting
from taxiphone.store.tables import ACCOUNT, ENTRY, POSTING

__all__ = [
    "CHARGE",
    "COMMISSION",
    "EARNINGS",
    "HOLD",
    "KEPT",
    "PAYOUTS",
    "RECORDING_FEES",
    "REFUNDS",
    "RELEASE",
    "REVERSAL",
    "TOP_UP",
    "VAT",
    "WALLET",
    "Change",
    "charge",
    "hold",
    "post",
    "release",
    "reverse",
    "top_up",
]

COMMISSION, RECORDING_FEES, VAT = "commission", "recording_fees", "vat"
REFUNDS, PAYOUTS, TOP_UP = "refunds", "payouts", "top_up"
CHARGE, RELEASE, REVERSAL, REFUND = "charge", "release", "reversal", "refund"


def post(
    session: Session,
    key: CallKey | str,
    kind: str,
    changes: Iterable[Change],
    *,
    call_id: str | None = None,
    memo: str = "",
) -> Posting:
    """Make a posting, or return the one that was made under this key.

    If it fails, nothing of it remains in the transaction.

    Raises:
        LedgerError: it does not sum to zero, or the key was used for another posting.
        InsufficientFundsError: a wallet or a hold would fall below zero.
    """
    return _post(session, Draft(str(key), kind, tuple(changes), call_id, memo))


def reverse(session: Session, key: str, new_key: str, memo: str = "") -> Posting:
    """Undo the posting `key` with a posting of opposite amounts under `new_key`, of kind `reversal`.

    A posting can be reversed only once; calling this again with the same keys returns the same reversal. Reversing a charge
    returns its amount to the hold, from which it can be charged again or released.

    Raises:
        LedgerError: there is no such posting, it is a reversal itself, or it was reversed under another key.
        InsufficientFundsError: a wallet or hold has already spent what the posting credited.
    """
    original = _find(session, key)
    if original is None:
        raise LedgerError(f"there is no posting {key}. Nothing was reversed.")
    if original.kind == REVERSAL:
        raise LedgerError(f"posting {key} is a reversal itself. Post anew what should be there instead.")
    reversed_by = session.scalar(select(Posting.key).where(Posting.reverses_id == original.id))
    if reversed_by not in {None, new_key}:
        raise LedgerError(f"posting {key} was reversed before, by {reversed_by}. Nothing was reversed.")
    changes = tuple(
        Change(kind, owner, currency, -amount)
        for kind, owner, currency, amount in _entries(session.connection(), original.id)
    )
    return _post(session, Draft(new_key, REVERSAL, changes, original.call_id, memo, original.id))


def top_up(session: Session, client_id: int, amount_minor: int, currency: str, key: str) -> int:
    """Credit a client's wallet, once per key.

    Args:
        session: a session in a transaction that writes.
        client_id: the client's id.
        amount_minor: minor units.
        currency: ISO 4217.
        key: identifies this payment among the client's. With the same key and amount again, nothing is posted.

    Returns:
        the wallet's balance, in minor units.

    Raises:
        UsageError: the key is not one line.
        LedgerError: the amount is not above zero, or the key was used with another amount.
    """
    if amount_minor <= 0:
        raise LedgerError("a top-up must be more than nothing. Nothing was posted.")
    check_given(key)
    posting_key = top_up_key(client_id, key)
    used_for = topped_up(session, posting_key)
    if used_for not in {None, (amount_minor, currency)}:
        raise LedgerError(
            f"the key {key} was used for a top-up of {amount_in(*used_for)}. Nothing was posted."
        )
    post(
        session,
        posting_key,
        "top_up",
        [
            Change(TOP_UP, "", currency, -amount_minor),
            Change(WALLET, str(client_id), currency, amount_minor),
        ],
    )
    return balances.balance(session, WALLET, client_id)


def topped_up(session: Session, posting_key: str) -> tuple[int, str] | None:
    """Return the amount of a top-up, in minor units, and its currency; None if there is no such posting."""
    row = session.execute(
        select(ENTRY.c.amount, ACCOUNT.c.currency)
        .join(POSTING, POSTING.c.id == ENTRY.c.posting_id)
        .join(ACCOUNT, ACCOUNT.c.id == ENTRY.c.account_id)
        .where(POSTING.c.key == posting_key, ACCOUNT.c.kind == WALLET)
    ).one_or_none()
    return None if row is None else (int(row.amount), str(row.currency))


def hold(connection: Connection, key: CallKey, client_id: int, amount_minor: int, currency: str) -> None:
    """Move an amount from the client's wallet into the call's hold.

    Raises:
        InsufficientFundsError: the wallet has less.
    """
    if amount_minor:
        changes = (
            Change(WALLET, str(client_id), currency, -amount_minor),
            Change(HOLD, key.call_id, currency, amount_minor),
        )
        _post_all(connection, [Draft(str(key), "hold", changes, key.call_id)])


def charge(
    connection: Connection,
    key: CallKey,
    *,
    consultant_id: int,
    currency: str,
    commission: int,
    consultant: int,
    vat: int = 0,
    platform: str = COMMISSION,
    release_to: tuple[int, int] = (0, 0),
) -> None:
    """Pay a price from a call's hold. The price is `commission + consultant`, tax included.

    Args:
        connection: a connection in a transaction that writes.
        key: the posting's key.
        consultant_id: the consultant's id.
        currency: ISO 4217.
        commission: the platform's part of the price including the tax, in minor units.
        consultant: the consultant's part, in minor units.
        vat: the tax, in minor units.
        platform: the account for the platform's part without the tax: COMMISSION or RECORDING_FEES.
        release_to: a client's id, and the amount to release to that client's wallet at the same time, in a separate
            posting with the key `call:ID:release`.

    Raises:
        InsufficientFundsError: the hold has less.
    """
    call_id = key.call_id
    changes = (
        Change(HOLD, call_id, currency, -(commission + consultant)),
        Change(EARNINGS, str(consultant_id), currency, consultant),
        Change(platform, "", currency, commission - vat),
        Change(VAT, "", currency, vat),
    )
    drafts = []
    if commission + consultant:
        drafts.append(Draft(str(key), CHARGE, tuple(change for change in changes if change.amount), call_id))
    client_id, rest = release_to
    if rest:
        drafts.append(_release(CallKey(call_id, Purpose.RELEASE), client_id, rest, currency))
    _post_all(connection, drafts)


def release(connection: Connection, key: CallKey, client_id: int, amount_minor: int, currency: str) -> None:
    """Release a part of a call's hold to the client's wallet.

    Raises:
        InsufficientFundsError: the hold has less.
    """
    if amount_minor:
        _post_all(connection, [_release(key, client_id, amount_minor, currency)])


def _release(key: CallKey, client_id: int, amount: int, currency: str) -> Draft:
    changes = (
        Change(HOLD, key.call_id, currency, -amount),
        Change(WALLET, str(client_id), currency, amount),
    )
    return Draft(str(key), RELEASE, changes, key.call_id)


def _post(session: Session, draft: Draft) -> Posting:
    session.flush()
    _post_all(session.connection(), [draft])
    return _get(session, draft.key)


def _post_all(connection: Connection, drafts: Sequence[Draft]) -> None:
    """Write the postings that don't exist yet: all of them, or none if one is not allowed."""
    if not drafts:
        return
    for draft in drafts:
        double_entry.check_balanced(draft)
    existing = double_entry.existing(connection, drafts)
    for draft in drafts:
        if draft.key in existing.taken:
            _check_same(connection, draft)
    new = [draft for draft in drafts if draft.key not in existing.taken]
    if new:
        double_entry.write(connection, new, existing)


def _check_same(connection: Connection, draft: Draft) -> None:
    posting = connection.execute(
        select(POSTING.c.id, POSTING.c.reverses_id).where(POSTING.c.key == draft.key)
    ).one()
    entries = {(*change.name, change.amount) for change in draft.changes}
    if {*_entries(connection, posting.id)} != entries or posting.reverses_id != draft.reverses_id:
        raise LedgerError(
            f"posting {draft.key} was made before with other amounts or accounts. Nothing was posted."
        )


def _get(session: Session, key: str) -> Posting:
    return session.execute(select(Posting).where(Posting.key == key)).scalar_one()


def _find(session: Session, key: str) -> Posting | None:
    return session.execute(select(Posting).where(Posting.key == key)).scalar_one_or_none()


def _entries(connection: Connection, posting_id: int) -> list[tuple[str, str, str, int]]:
    rows = connection.execute(
        select(ACCOUNT.c.kind, ACCOUNT.c.owner, ACCOUNT.c.currency, ENTRY.c.amount)
        .join(ENTRY, ENTRY.c.account_id == ACCOUNT.c.id)
        .where(ENTRY.c.posting_id == posting_id)
        .order_by(ENTRY.c.id)
    )
    return [(kind, owner, currency, amount) for kind, owner, currency, amount in rows]
