"""How postings get into the database: their entries first, which move the balances, and at last the postings themselves.

In that order the database can check the sum when a posting comes, and take nothing more to it afterwards (migration 0003).
Every call waits for this part, so it is a handful of statements written out, whatever the number of accounts; `?` stands
for a value on both databases.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from taxiphone.errors import InsufficientFundsError
from taxiphone.store.types import now

WALLET, HOLD, EARNINGS = "wallet", "hold", "earnings"
KEPT = frozenset({WALLET, HOLD, EARNINGS})
"""Kinds of accounts whose balance is kept beside their entries."""
_NEVER_NEGATIVE = frozenset({WALLET, HOLD})

_Name = tuple[str, str, str]

# What there is: the accounts, the keys that are taken, and the numbers of the new postings. In one statement, for on
# PostgreSQL each is a way there and back. Columns: what, id, kind or key, owner, currency, balance.
_LOOK = """
    SELECT 'account' AS what, id, kind, owner, currency, balance
    FROM account WHERE {accounts}
    UNION ALL SELECT 'taken', id, key, NULL, NULL, NULL FROM posting WHERE key IN ({keys})
    UNION ALL {numbers}"""
_NUMBERS = {
    "postgresql": "SELECT 'number', nextval('posting_id_seq'), NULL, NULL, NULL, NULL FROM generate_series(1, ?)",
    # A writer is alone on SQLite (BEGIN IMMEDIATE), so nobody else takes these numbers.
    "sqlite": """
        SELECT 'number', (SELECT coalesce(max(id), 0) FROM posting) + value, NULL, NULL, NULL, NULL
        FROM (WITH RECURSIVE n(value) AS (VALUES (1) UNION ALL SELECT value + 1 FROM n LIMIT ?) SELECT value FROM n)""",
}
_OPEN = """
    INSERT INTO account (kind, owner, currency, balance) VALUES {rows}
    ON CONFLICT DO NOTHING RETURNING kind, owner, currency, id"""
_ENTRIES = "INSERT INTO entry (posting_id, account_id, amount) VALUES {rows}"
_POSTINGS = "INSERT INTO posting (id, key, kind, call_id, at, memo, reverses_id) VALUES {rows}"


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


@dataclass(frozen=True, slots=True)
class Draft:
    """A posting that is not written yet; its changes sum to zero in each currency, and no account comes twice."""

    key: str
    kind: str
    changes: tuple[Change, ...]
    call_id: str | None = None
    memo: str = ""
    reverses_id: int | None = None


@dataclass(frozen=True, slots=True)
class There:
    """What the database has of some drafts' accounts and keys, and numbers for their postings."""

    accounts: dict[_Name, int]
    balances: dict[_Name, int]
    taken: frozenset[str]
    numbers: list[int]


def existing(connection: Connection, drafts: Sequence[Draft]) -> There:
    """What there is before they are written."""
    names = list({change.name for draft in drafts for change in draft.changes})
    dialect = connection.dialect.name
    statement = _look(dialect, len(names), len(drafts))
    values = [part for name in names for part in name]
    rows = _say(connection, statement, [*values, *(draft.key for draft in drafts), len(drafts)])
    accounts, balances, taken, numbers = {}, {}, [], []
    for what, number, kind, owner, currency, balance in rows:
        if what == "account":
            accounts[kind, owner, currency] = number
            balances[kind, owner, currency] = balance
        elif what == "taken":
            taken.append(kind)
        else:
            numbers.append(number)
    return There(accounts, balances, frozenset(taken), numbers)


def write(connection: Connection, drafts: Sequence[Draft], there: There) -> None:
    """Write postings whose keys are not taken.

    On SQLite nobody else writes since the look. On PostgreSQL somebody may have taken a key or spent a balance meanwhile:
    then the database refuses, and the whole transaction is done again (`Database.do`).

    Raises:
        InsufficientFundsError: a wallet or a hold would fall below zero; nothing was written.
        sqlalchemy.exc.IntegrityError: the database refused.
    """
    _check_funds(drafts, there.balances)
    accounts = there.accounts | _opened(connection, drafts, there.accounts)
    numbered = list(zip(sorted(there.numbers), drafts, strict=False))
    # Always in the same order, so that two transactions do not wait for each other in a circle.
    entries = sorted(
        (change.name, number, change.amount) for number, draft in numbered for change in draft.changes
    )
    at = now().replace(tzinfo=None).isoformat(" ", "microseconds")
    _insert(connection, _ENTRIES, [(number, accounts[name], amount) for name, number, amount in entries])
    _insert(
        connection,
        _POSTINGS,
        [
            (number, draft.key, draft.kind, draft.call_id, at, draft.memo[:200], draft.reverses_id)
            for number, draft in numbered
        ],
    )


def _check_funds(drafts: Sequence[Draft], balances: dict[_Name, int]) -> None:
    left: dict[_Name, int] = {}
    for change in (change for draft in drafts for change in draft.changes):
        if change.kind in _NEVER_NEGATIVE:
            left[change.name] = left.get(change.name, balances.get(change.name, 0)) + change.amount
            if left[change.name] < 0:
                raise InsufficientFundsError(
                    f"the {change.kind} of {change.owner} does not hold {-change.amount} {change.currency} "
                    "(minor units). Nothing was posted."
                )


def _opened(connection: Connection, drafts: Sequence[Draft], found: dict[_Name, int]) -> dict[_Name, int]:
    """The ids of the accounts that there were not."""
    missing = sorted({change.name for draft in drafts for change in draft.changes} - set(found))
    if not missing:
        return {}
    rows = _insert(connection, _OPEN, [(*name, 0 if name[0] in KEPT else None) for name in missing])
    opened = {(kind, owner, currency): number for kind, owner, currency, number in rows}
    if len(opened) < len(missing):  # another process was quicker, and has committed by now
        opened |= existing(connection, drafts).accounts
    return opened


@functools.lru_cache
def _look(dialect: str, accounts: int, keys: int) -> str:
    return _LOOK.format(
        # Not as rows in a list: for that SQLite would read all accounts.
        accounts=" OR ".join(["kind = ? AND owner = ? AND currency = ?"] * accounts),
        keys=", ".join("?" * keys),
        numbers=_NUMBERS[dialect],
    )


@functools.lru_cache
def _rows(statement: str, rows: int, columns: int) -> str:
    row = "(" + ", ".join("?" * columns) + ")"
    return statement.format(rows=", ".join([row] * rows))


@functools.lru_cache
def _spelt(statement: str, paramstyle: str) -> str:
    return statement if paramstyle == "qmark" else statement.replace("?", "%s")


def _say(connection: Connection, statement: str, values: Sequence[Any]) -> Any:
    return connection.exec_driver_sql(_spelt(statement, connection.dialect.paramstyle), tuple(values))


def _insert(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> Any:
    """One statement for all rows."""
    whole = _rows(statement, len(rows), len(rows[0]))
    return _say(connection, whole, [value for row in rows for value in row])
