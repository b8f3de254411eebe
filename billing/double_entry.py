"""How a posting gets into the database: its entries first, which move the balances, and at last the posting itself.

In that order the database can check the sum when the posting comes, and take nothing more to it afterwards (migration
0003). Everything is plain statements, for this is the part that every call waits for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Connection,
    Executable,
    bindparam,
    func,
    insert,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy.orm import Session, make_transient_to_detached

from taxiphone.billing.idempotent import insert_if_new
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


_NEXT_ID: dict[str, Executable] = {
    "postgresql": text("SELECT nextval('posting_id_seq')"),
    # A writer is alone on SQLite (BEGIN IMMEDIATE), so nobody else takes this number.
    "sqlite": select(func.coalesce(func.max(Posting.id), 0) + literal(1)),
}
_IDS = select(Account.kind, Account.owner, Account.currency, Account.id).where(
    tuple_(Account.kind, Account.owner, Account.currency).in_(bindparam("names", expanding=True))
)
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
        sqlalchemy.exc.IntegrityError: a wallet or a hold would fall below zero; or the key, or the reversal of the same
            posting, is there already.
    """
    connection = session.connection()
    accounts = _accounts(session, changes)
    number = int(connection.execute(_NEXT_ID[connection.dialect.name]).scalar_one())
    # Always in the same order, so that two postings do not wait for each other in a circle.
    entries = [
        {"posting_id": number, "account_id": accounts[change.name], "amount": change.amount}
        for change in sorted(changes, key=lambda change: change.name)
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


def short(session: Session, changes: Sequence[Change]) -> Change | None:
    """The first change that its account does not have the money for."""
    for change in changes:
        if change.kind in NEVER_NEGATIVE and change.amount < 0:
            named = (Account.kind == change.kind, Account.owner == change.owner)
            has = select(Account.balance).where(*named, Account.currency == change.currency)
            if (session.execute(has).scalar_one_or_none() or 0) < -change.amount:
                return change
    return None


def _accounts(session: Session, changes: Sequence[Change]) -> dict[_Name, int]:
    """The accounts' ids; those that are missing are opened."""
    names = [change.name for change in changes]
    found = _ids(session.connection(), names)
    missing = sorted(set(names) - set(found))
    if missing:
        opened = [
            {"kind": kind, "owner": owner, "currency": currency, "balance": 0 if kind in KEPT else None}
            for kind, owner, currency in missing
        ]
        insert_if_new(session, Account, opened)
        found |= _ids(session.connection(), missing)
    return found


def _ids(connection: Connection, names: Sequence[_Name]) -> dict[_Name, int]:
    rows = connection.execute(_IDS, {"names": names})
    return {(kind, owner, currency): number for kind, owner, currency, number in rows}
