"""The ledger, in double entry: every posting sums to zero and is made at most once.

Accounts, by kind and owner (amounts in minor units, credit positive):

    wallet           a client's credit                                    never below zero
    hold             what a call may still cost                           never below zero
    earnings         what a consultant has earned and was not paid yet
    commission       the platform's part of the talks, its tax taken off
    recording_fees   the platform's part of the recordings' fees, its tax taken off
    vat              the tax inside what clients paid, owed to the state
    refunds          the platform's part of what was given back
    payouts          the outside world: what went out to consultants
    top_ups          the outside world: what came in is negative here

The client buys from the platform, so the tax inside a price is the platform's to hand on: a price of `total` goes with
`consultant` to the earnings, with `vat` to the tax, and with what remains of the commission to the platform (which may be
below zero where the commission is smaller than the tax). See docs/adr/0009.

A posting is never changed: its key says what it is for, so a second attempt finds the first and does nothing, and what was
wrong is undone by its mirror image (`reverse`).
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from taxiphone.billing import double_entry
from taxiphone.billing.double_entry import EARNINGS, HOLD, KEPT, WALLET, Change
from taxiphone.billing.idempotent import insert_if_new
from taxiphone.errors import InsufficientFundsError, LedgerError
from taxiphone.store.models import Account, Entry, Posting

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
    "balance",
    "balances",
    "charge",
    "hold",
    "lock_wallet",
    "post",
    "release",
    "reverse",
    "top_up",
]

COMMISSION, RECORDING_FEES, VAT = "commission", "recording_fees", "vat"
REFUNDS, PAYOUTS, TOP_UP = "refunds", "payouts", "top_up"
CHARGE, RELEASE, REVERSAL, REFUND = "charge", "release", "reversal", "refund"
_LONGEST_KEY = 80


def post(
    session: Session,
    key: str,
    kind: str,
    changes: Iterable[Change],
    *,
    call_id: str | None = None,
    memo: str = "",
) -> Posting:
    """Make a posting, or find the one that was made under this key.

    Nothing of it remains in the transaction where it fails.

    Raises:
        LedgerError: it does not sum to zero, or the key was used for another posting.
        InsufficientFundsError: a wallet or a hold would fall below zero.
    """
    return _post(session, key, kind, list(changes), call_id, memo, None)


def reverse(session: Session, key: str, new_key: str, memo: str = "") -> Posting:
    """Undo the posting of `key` by its mirror image, of kind `reversal`, under `new_key`. At most once each.

    The same two keys again find the reversal that was made. What a charge took from a hold goes back there: it can be
    charged again or released.

    Raises:
        LedgerError: there is no such posting, it is a reversal itself, or it was reversed under another key.
        InsufficientFundsError: a wallet or a hold that got something by it has spent that meanwhile.
    """
    wrong = _find(session, key)
    if wrong is None:
        raise LedgerError(f"there is no posting {key}. Nothing was reversed.")
    if wrong.kind == REVERSAL:
        raise LedgerError(f"posting {key} is a reversal itself. Post anew what should be there instead.")
    before = session.scalar(select(Posting.key).where(Posting.reverses_id == wrong.id))
    if before not in {None, new_key}:
        raise LedgerError(f"posting {key} was reversed before, by {before}. Nothing was reversed.")
    mirrored = [
        Change(kind, owner, currency, -amount) for kind, owner, currency, amount in _entries(session, wrong)
    ]
    return _post(session, new_key, REVERSAL, mirrored, wrong.call_id, memo, wrong.id)


def top_up(session: Session, client_id: int, amount_minor: int, currency: str, key: str | None = None) -> int:
    """Credit a client's wallet; the same key again credits nothing.

    Returns:
        the wallet's balance, in minor units.

    Raises:
        LedgerError: the amount is not above zero, or the key was used with another amount.
    """
    if amount_minor <= 0:
        raise LedgerError("a top-up must be more than nothing. Nothing was posted.")
    post(
        session,
        f"top_up:{client_id}:{key or secrets.token_hex(8)}",
        "top_up",
        [
            Change(TOP_UP, "", currency, -amount_minor),
            Change(WALLET, str(client_id), currency, amount_minor),
        ],
    )
    return balance(session, WALLET, client_id)


def hold(session: Session, call_id: str, client_id: int, amount_minor: int, currency: str) -> None:
    """Move what a call can cost from the client's wallet into the call's hold.

    Raises:
        InsufficientFundsError: the wallet has less.
    """
    if amount_minor:
        post(
            session,
            f"call:{call_id}:hold",
            "hold",
            [
                Change(WALLET, str(client_id), currency, -amount_minor),
                Change(HOLD, call_id, currency, amount_minor),
            ],
            call_id=call_id,
        )


def charge(
    session: Session,
    key: str,
    call_id: str,
    *,
    consultant_id: int,
    currency: str,
    commission: int,
    consultant: int,
    vat: int = 0,
    platform: str = COMMISSION,
) -> Posting | None:
    """Pay a price from a call's hold: commission + consultant, of which vat is the tax.

    Amounts are in minor units. `commission` is the platform's part of the price with the tax still in it, `vat` that
    tax; what remains goes to the account `platform`, which is COMMISSION or RECORDING_FEES.

    Returns:
        None where the price is nothing.

    Raises:
        InsufficientFundsError: the hold has less.
    """
    changes = [
        Change(HOLD, call_id, currency, -(commission + consultant)),
        Change(EARNINGS, str(consultant_id), currency, consultant),
        Change(platform, "", currency, commission - vat),
        Change(VAT, "", currency, vat),
    ]
    if commission + consultant == 0:
        return None
    return post(session, key, CHARGE, [each for each in changes if each.amount], call_id=call_id)


def release(
    session: Session, key: str, call_id: str, client_id: int, amount_minor: int, currency: str
) -> Posting | None:
    """Give a part of a call's hold back to the wallet; None where it is nothing.

    Raises:
        InsufficientFundsError: the hold has less.
    """
    if not amount_minor:
        return None
    changes = [
        Change(HOLD, call_id, currency, -amount_minor),
        Change(WALLET, str(client_id), currency, amount_minor),
    ]
    return post(session, key, RELEASE, changes, call_id=call_id)


def balance(session: Session, kind: str, owner: int | str = "", currency: str | None = None) -> int:
    """An account's balance in minor units; 0 where there is no such account yet.

    Without a currency it is the platform's one: an account that holds another is left out by naming it.
    """
    if kind in KEPT:
        found = select(func.coalesce(func.sum(Account.balance), 0))
    else:
        found = select(func.coalesce(func.sum(Entry.amount), 0)).join(Account, Account.id == Entry.account_id)
    found = found.where(Account.kind == kind, Account.owner == str(owner))
    if currency is not None:
        found = found.where(Account.currency == currency)
    return int(session.execute(found).scalar_one() or 0)


def balances(session: Session) -> list[tuple[str, str, str, int]]:
    """(kind, owner, currency, balance in minor units) of every account that is not empty."""
    total = func.coalesce(Account.balance, func.sum(Entry.amount))
    rows = session.execute(
        select(Account.kind, Account.owner, Account.currency, total)
        .outerjoin(Entry, (Entry.account_id == Account.id) & Account.balance.is_(None))
        .group_by(Account.id, Account.kind, Account.owner, Account.currency, Account.balance)
        .having(total != 0)
        .order_by(Account.kind, Account.owner, Account.currency)
    )
    return [(kind, owner, currency, int(amount)) for kind, owner, currency, amount in rows]


def lock_wallet(session: Session, client_id: int, currency: str) -> int:
    """A wallet's balance in minor units, held still until the transaction ends: nobody else can spend it meanwhile."""
    locked = (
        select(Account.balance)
        .where(Account.kind == WALLET, Account.owner == str(client_id), Account.currency == currency)
        .with_for_update()
    )
    found = session.execute(locked).scalar_one_or_none()
    if found is None:
        new = {"kind": WALLET, "owner": str(client_id), "currency": currency, "balance": 0}
        insert_if_new(session, Account, [new])
        found = session.execute(locked).scalar_one()
    return int(found or 0)


def _post(
    session: Session,
    key: str,
    kind: str,
    changes: Sequence[Change],
    call_id: str | None,
    memo: str,
    reverses_id: int | None,
) -> Posting:
    _check_balanced(key, changes)
    made = _find(session, key)
    if made is None:
        session.flush()
        try:
            with session.connection().begin_nested():
                return double_entry.write(
                    session, key, kind, changes, call_id=call_id, memo=memo, reverses_id=reverses_id
                )
        except IntegrityError:
            made = _find(
                session, key
            )  # another process was quicker with the same key; it has committed by now
            if made is None:
                poor = double_entry.short(session, changes)
                if poor is None:
                    raise
                raise InsufficientFundsError(
                    f"the {poor.kind} of {poor.owner} does not hold {-poor.amount} {poor.currency} (minor units). "
                    "Nothing was posted."
                ) from None
    if {*_entries(session, made)} != {
        (*c.name, c.amount) for c in changes
    } or made.reverses_id != reverses_id:
        raise LedgerError(
            f"posting {key} was made before with other amounts or accounts. Nothing was posted."
        )
    return made


def _check_balanced(key: str, changes: Sequence[Change]) -> None:
    if len(key) > _LONGEST_KEY:
        raise LedgerError(
            f"the key {key[:20]}... is longer than {_LONGEST_KEY} characters. Nothing was posted."
        )
    sums: dict[str, int] = defaultdict(int)
    for change in changes:
        if isinstance(change.amount, bool) or not isinstance(change.amount, int) or not change.amount:
            raise LedgerError(
                f"posting {key}: {change.amount!r} is no amount in minor units. Nothing was posted."
            )
        sums[change.currency] += change.amount
    if len({change.name for change in changes}) != len(changes):
        raise LedgerError(f"posting {key} names an account twice. Nothing was posted.")
    if len(changes) < 2 or any(sums.values()):  # noqa: PLR2004 - double entry
        raise LedgerError(
            f"posting {key} does not sum to zero over two accounts or more. Nothing was posted."
        )


_BY_KEY = select(Posting).where(Posting.key == bindparam("b_key"))


def _find(session: Session, key: str) -> Posting | None:
    return session.execute(_BY_KEY, {"b_key": key}).scalar_one_or_none()


def _entries(session: Session, posting: Posting) -> list[tuple[str, str, str, int]]:
    rows = session.execute(
        select(Account.kind, Account.owner, Account.currency, Entry.amount)
        .join(Account, Account.id == Entry.account_id)
        .where(Entry.posting_id == posting.id)
        .order_by(Entry.id)
    )
    return [(kind, owner, currency, amount) for kind, owner, currency, amount in rows]
