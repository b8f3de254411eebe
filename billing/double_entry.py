"""How a posting gets into the database: the balances first, then its entries, and at last the posting itself.

In that order the database can check the sum when the posting comes, and take nothing more to it afterwards (migration
0003). Everything is plain statements, for this is the part that every call waits for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Executable,
    bindparam,
    func,
    insert,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, make_transient_to_detached

from taxiphone.billing.idempotent import insert_if_new
from taxiphone.errors import InsufficientFundsError
from taxiphone.store.models import Account, Entry, Posting
from taxiphone.store.types import now

WALLET, HOLD, EARNINGS = "wallet", "hold", "earnings"
KEPT = frozenset({WALLET, HOLD, EARNINGS})
"""Kinds of accounts whose balance is kept beside their entries."""
NEVER_NEGATIVE = (WALLET, HOLD)

_Name = tuple[str, str, str]


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

    @property
    def name(self) -> _Name:
        """What tells its account from all others."""
        return self.kind, self.owner, self.currency


_named = [
    Account.kind == bindparam("b_kind"),
    Account.owner == bindparam("b_owner"),
    Account.currency == bindparam("b_currency"),
]
_amount = bindparam("b_amount", type_=BigInteger)
_DEBIT = (
    update(Account)
    .where(*_named, Account.balance + _amount >= 0)
    .values(balance=Account.balance + _amount)
    .returning(Account.id)
)
_values = {
    "kind": bindparam("b_kind"),
    "owner": bindparam("b_owner"),
    "currency": bindparam("b_currency"),
    "balance": _amount,
}


def _upsert(insert_into: Any) -> Any:
    """Add to an account's balance, and open the account where there is none."""
    statement = insert_into(Account).values(_values)
    return statement.on_conflict_do_update(
        index_elements=[Account.kind, Account.owner, Account.currency],
        set_={"balance": Account.balance + statement.excluded.balance},
    ).returning(Account.id)


_CREDIT = {"postgresql": _upsert(postgresql.insert), "sqlite": _upsert(sqlite.insert)}
_NEXT_ID: dict[str, Executable] = {
    "postgresql": text("SELECT nextval('posting_id_seq')"),
    # A writer is alone on SQLite (BEGIN IMMEDIATE), so nobody else takes this number.
    "sqlite": select(func.coalesce(func.max(Posting.id), 0) + literal(1)),
}
_ENTRY, _POSTING = insert(Entry), insert(Posting)


def write(
    session: Session,
    key: str,
    kind: str,
    changes: Sequence[Change],
    *,
    call_id: str | None,
    memo: str,
    reverses_id: int | None,
) -> Posting:
    """Write a posting that is known to balance. Where it fails, what was done of it must be rolled back.

    Raises:
        InsufficientFundsError: a wallet or a hold would fall below zero.
        sqlalchemy.exc.IntegrityError: the key, or the reversal of the same posting, is there already.
    """
    connection = session.connection()
    accounts = {change.name: _move(connection, change) for change in _ordered(changes)}
    accounts |= _platforms(session, [change.name for change in changes if change.kind not in KEPT])
    number = int(connection.execute(_NEXT_ID[connection.dialect.name]).scalar_one())
    entries = [
        {"posting_id": number, "account_id": accounts[change.name], "amount": change.amount}
        for change in changes
    ]
    connection.execute(_ENTRY, entries)
    columns = {
        "id": number,
        "key": key,
        "kind": kind,
        "call_id": call_id,
        "at": now(),
        "memo": memo[:200],
        "reverses_id": reverses_id,
    }
    connection.execute(_POSTING, columns)
    posting = Posting(**columns)
    make_transient_to_detached(posting)
    session.add(posting)
    return posting


def _ordered(changes: Sequence[Change]) -> list[Change]:
    """Those with a balance, in the same order always, so that two postings do not wait for each other in a circle."""
    return sorted((change for change in changes if change.kind in KEPT), key=lambda change: change.name)


def _move(connection: Connection, change: Change) -> int:
    """Change one balance; the account's id."""
    values = {
        "b_kind": change.kind,
        "b_owner": change.owner,
        "b_currency": change.currency,
        "b_amount": change.amount,
    }
    if change.kind in NEVER_NEGATIVE and change.amount < 0:
        account = connection.execute(_DEBIT, values).scalar_one_or_none()
        if account is None:
            raise InsufficientFundsError(
                f"the {change.kind} of {change.owner} does not hold {-change.amount} {change.currency} (minor units). "
                "Nothing was posted."
            )
        return int(account)
    return int(connection.execute(_CREDIT[connection.dialect.name], values).scalar_one())


def _platforms(session: Session, names: Sequence[_Name]) -> dict[_Name, int]:
    """The ids of accounts whose balance is not kept; those that are missing are opened."""
    if not names:
        return {}
    found = _ids(session, names)
    missing = sorted(set(names) - set(found))
    if missing:
        opened = [{"kind": k, "owner": o, "currency": c, "balance": None} for k, o, c in missing]
        insert_if_new(session, Account, opened)
        found = _ids(session, names)
    return found


def _ids(session: Session, names: Iterable[_Name]) -> dict[_Name, int]:
    rows = session.connection().execute(
        select(Account.kind, Account.owner, Account.currency, Account.id).where(
            tuple_(Account.kind, Account.owner, Account.currency).in_(list(names))
        )
    )
    return {(kind, owner, currency): number for kind, owner, currency, number in rows}
