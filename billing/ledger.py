"""The ledger, in double entry: every posting sums to zero and is made at most once.

Accounts, by kind and owner (amounts in minor units, credit positive):

    wallet      a client's credit             never below zero
    hold        what a call may still cost    never below zero
    earnings    what a consultant has earned
    commission  the platform's part
    top_up      the outside world: what came in is negative here

A posting is never changed. Its key says what it is for, so a second attempt finds the first and does nothing.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from taxiphone.billing.idempotent import insert_if_new
from taxiphone.errors import InsufficientFundsError, LedgerError
from taxiphone.store.models import Account, Entry, Posting

WALLET, HOLD, EARNINGS, COMMISSION, TOP_UP = "wallet", "hold", "earnings", "commission", "top_up"
_NEVER_NEGATIVE = (WALLET, HOLD)


@dataclass(frozen=True, slots=True)
class Change:
    """One account's part of a posting.

    Attributes:
        kind: the account's kind.
        owner: whose it is: a client's or consultant's id, a call's id, or "" for the platform.
        currency: ISO 4217.
        amount: minor units; credit positive.
    """

    kind: str
    owner: str
    currency: str
    amount: int


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
    changes = list(changes)
    _check_balanced(key, changes)
    made = _find(session, key)
    if made is None:
        session.flush()
        try:
            with session.begin_nested():
                return _insert(session, key, kind, changes, call_id, memo)
        except IntegrityError:  # another process was quicker with the same key; it has committed by now
            made = _find(session, key)
            if made is None:
                raise
    _check_same(session, made, changes)
    return made


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
    client_id: int,
    consultant_id: int,
    currency: str,
    commission: int,
    consultant: int,
    give_back: int,
) -> Posting | None:
    """Pay a call from its hold: commission, the consultant's share, and what goes back to the wallet.

    Returns:
        None where all three are nothing.
    """
    changes = [
        Change(HOLD, call_id, currency, -(commission + consultant + give_back)),
        Change(EARNINGS, str(consultant_id), currency, consultant),
        Change(COMMISSION, "", currency, commission),
        Change(WALLET, str(client_id), currency, give_back),
    ]
    changes = [change for change in changes if change.amount]
    if not changes:
        return None
    kind = "charge" if commission or consultant else "release"
    return post(session, key, kind, changes, call_id=call_id)


def release(
    session: Session, key: str, call_id: str, client_id: int, amount_minor: int, currency: str
) -> None:
    """Give a part of a call's hold back to the wallet."""
    charge(
        session,
        key,
        call_id,
        client_id=client_id,
        consultant_id=0,
        currency=currency,
        commission=0,
        consultant=0,
        give_back=amount_minor,
    )


def balance(session: Session, kind: str, owner: int | str = "", currency: str | None = None) -> int:
    """An account's balance in minor units; 0 where there is no such account yet.

    Without a currency it is the platform's one: an account that holds another is left out by naming it.
    """
    found = select(func.coalesce(func.sum(Account.balance), 0)).where(
        Account.kind == kind, Account.owner == str(owner)
    )
    if currency is not None:
        found = found.where(Account.currency == currency)
    return int(session.execute(found).scalar_one())


def lock_wallet(session: Session, client_id: int, currency: str) -> int:
    """A wallet's balance in minor units, held still until the transaction ends: nobody else can spend it meanwhile."""
    insert_if_new(
        session, Account, [{"kind": WALLET, "owner": str(client_id), "currency": currency, "balance": 0}]
    )
    locked = (
        select(Account.balance)
        .where(Account.kind == WALLET, Account.owner == str(client_id), Account.currency == currency)
        .with_for_update()
    )
    return int(session.execute(locked).scalar_one())


def _check_balanced(key: str, changes: list[Change]) -> None:
    sums: dict[str, int] = defaultdict(int)
    for change in changes:
        if isinstance(change.amount, bool) or not isinstance(change.amount, int) or not change.amount:
            raise LedgerError(
                f"posting {key}: {change.amount!r} is no amount in minor units. Nothing was posted."
            )
        sums[change.currency] += change.amount
    if len({(c.kind, c.owner, c.currency) for c in changes}) != len(changes):
        raise LedgerError(f"posting {key} names an account twice. Nothing was posted.")
    if len(changes) < 2 or any(sums.values()):  # noqa: PLR2004 - double entry
        raise LedgerError(
            f"posting {key} does not sum to zero over two accounts or more. Nothing was posted."
        )


def _find(session: Session, key: str) -> Posting | None:
    return session.execute(select(Posting).where(Posting.key == key)).scalar_one_or_none()


def _check_same(session: Session, posting: Posting, changes: list[Change]) -> None:
    entries = session.execute(
        select(Account.kind, Account.owner, Account.currency, Entry.amount)
        .join(Account, Account.id == Entry.account_id)
        .where(Entry.posting_id == posting.id)
    )
    if {tuple(row) for row in entries} != {(c.kind, c.owner, c.currency, c.amount) for c in changes}:
        raise LedgerError(
            f"posting {posting.key} was made before with other amounts or accounts. Nothing was posted."
        )


def _insert(
    session: Session, key: str, kind: str, changes: list[Change], call_id: str | None, memo: str
) -> Posting:
    posting = Posting(key=key, kind=kind, call_id=call_id, memo=memo)
    session.add(posting)
    session.flush()
    accounts = _accounts(session, changes)
    # In the order of the accounts' ids, so that two postings never wait for each other in a circle.
    for change in sorted(changes, key=lambda c: accounts[c.kind, c.owner, c.currency]):
        account = accounts[change.kind, change.owner, change.currency]
        moved = session.execute(
            update(Account)
            .where(
                Account.id == account,
                or_(Account.kind.not_in(_NEVER_NEGATIVE), Account.balance + change.amount >= 0),
            )
            .values(balance=Account.balance + change.amount)
            .returning(Account.id)
            .execution_options(synchronize_session=False)
        )
        if moved.first() is None:
            raise InsufficientFundsError(
                f"the {change.kind} of {change.owner} does not hold {-change.amount} {change.currency} (minor units). "
                "Nothing was posted."
            )
        session.add(Entry(posting=posting, account_id=account, amount=change.amount))
    session.flush()
    return posting


def _accounts(session: Session, changes: list[Change]) -> dict[tuple[str, str, str], int]:
    """The accounts' ids; those that are missing are opened."""
    wanted = {(c.kind, c.owner, c.currency) for c in changes}
    named = select(Account.kind, Account.owner, Account.currency, Account.id).where(
        or_(*((Account.kind == k) & (Account.owner == o) & (Account.currency == c) for k, o, c in wanted))
    )
    found = {(kind, owner, currency): number for kind, owner, currency, number in session.execute(named)}
    missing = sorted(wanted - set(found))
    if missing:
        opened = [{"kind": k, "owner": o, "currency": c, "balance": 0} for k, o, c in missing]
        insert_if_new(session, Account, opened)
        found = {(kind, owner, currency): number for kind, owner, currency, number in session.execute(named)}
    return found
