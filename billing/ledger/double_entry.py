"""Writes postings to the database: first their entries, which update the balances, then the postings themselves.

In this order the database can check the sum when it inserts a posting, and refuse further entries afterwards (migration
0003). Every call waits for this, so it consists of a few hand-written statements, whatever the number of accounts; `?` is
the placeholder for a value on both databases.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from taxiphone.errors import InsufficientFundsError, LedgerError
from taxiphone.store.prepared import driver_rows
from taxiphone.store.types import now

WALLET, HOLD, EARNINGS = "wallet", "hold", "earnings"
KEPT = frozenset({WALLET, HOLD, EARNINGS})
"""Kinds of accounts whose balance is stored in addition to their entries."""
_NEVER_NEGATIVE = frozenset({WALLET, HOLD})
_LONGEST_KEY = 80

_Name = tuple[str, str, str]

# Reads the accounts, the keys already used, and ids for the new postings. It is one statement because on PostgreSQL each
# takes a round trip. Columns: what, id, kind or key, owner, currency, balance.
_QUERY = """
    SELECT 'account' AS what, id, kind, owner, currency, balance
    FROM account WHERE {accounts}
    UNION ALL SELECT 'taken', id, key, NULL, NULL, NULL FROM posting WHERE key IN ({keys})
    UNION ALL {numbers}"""
_NUMBERS = {
    "postgresql": "SELECT 'number', nextval('posting_id_seq'), NULL, NULL, NULL, NULL FROM generate_series(1, ?)",
    # SQLite has only one writer at a time (BEGIN IMMEDIATE), so nothing else takes these ids.
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
        owner: the account's owner: a client's or consultant's id, a call's id, or "" for the platform.
        currency: ISO 4217.
        amount: minor units; credit positive.
    """

    kind: str
    owner: str
    currency: str
    amount: int

    @property
    def name(self) -> _Name:
        """The kind, owner and currency, which identify the account."""
        return self.kind, self.owner, self.currency


@dataclass(frozen=True, slots=True)
class Draft:
    """A posting that isn't written yet. Its changes sum to zero in each currency, and name no account twice."""

    key: str
    kind: str
    changes: tuple[Change, ...]
    call_id: str | None = None
    memo: str = ""
    reverses_id: int | None = None


@dataclass(frozen=True, slots=True)
class Existing:
    """The accounts and keys of some drafts that the database already has, and ids for their postings."""

    accounts: dict[_Name, int]
    balances: dict[_Name, int]
    taken: frozenset[str]
    numbers: list[int]


def check_balanced(draft: Draft) -> None:
    """Check that the changes of a draft sum to zero, over two accounts or more.

    Raises:
        LedgerError: they don't, an amount is not in minor units, or the key is too long.
    """
    key, changes = draft.key, draft.changes
    if len(key) > _LONGEST_KEY:
        raise LedgerError(
            f"the key {key[:20]}... is longer than {_LONGEST_KEY} characters. Nothing was posted."
        )
    sums: dict[str, int] = defaultdict(int)
    for change in changes:
        if isinstance(change.amount, bool) or not isinstance(change.amount, int) or not change.amount:
            raise LedgerError(
                f"posting {key}: {change.amount!r} is not an amount in minor units. Nothing was posted."
            )
        sums[change.currency] += change.amount
    if len({change.name for change in changes}) != len(changes):
        raise LedgerError(f"posting {key} names an account twice. Nothing was posted.")
    if len(changes) < 2 or any(sums.values()):  # noqa: PLR2004 - double entry
        raise LedgerError(
            f"posting {key} does not sum to zero over two accounts or more. Nothing was posted."
        )


def existing(connection: Connection, drafts: Sequence[Draft]) -> Existing:
    """Read what the database has before some drafts are written."""
    names = list({change.name for draft in drafts for change in draft.changes})
    dialect = connection.dialect.name
    statement = _query(dialect, len(names), len(drafts))
    values = [part for name in names for part in name]
    rows = driver_rows(connection, statement, [*values, *(draft.key for draft in drafts), len(drafts)])
    accounts, balances, taken, numbers = {}, {}, [], []
    for what, number, kind, owner, currency, balance in rows:
        if what == "account":
            accounts[kind, owner, currency] = number
            balances[kind, owner, currency] = balance
        elif what == "taken":
            taken.append(kind)
        else:
            numbers.append(number)
    return Existing(accounts, balances, frozenset(taken), numbers)


def write(connection: Connection, drafts: Sequence[Draft], found: Existing) -> None:
    """Write postings whose keys are not taken.

    On SQLite nothing else has written since `existing`. On PostgreSQL, another transaction may have taken a key or spent a
    balance meanwhile. The database then refuses, and the whole transaction is repeated (`Database.do`).

    Raises:
        InsufficientFundsError: a wallet or a hold would fall below zero; nothing was written.
        sqlalchemy.exc.IntegrityError: the database refused.
    """
    _check_funds(drafts, found.balances)
    numbered = list(zip(sorted(found.numbers), drafts, strict=False))
    # Always in the same order, so that two transactions don't deadlock: the wallet first, since whoever must know its
    # balance before posting has locked it already (`balances.lock_wallet`).
    entries = sorted(
        (change.kind != WALLET, change.name, number, change.amount)
        for number, draft in numbered
        for change in draft.changes
    )
    at = now().replace(tzinfo=None).isoformat(" ", "microseconds")
    with _all_or_nothing(connection):
        accounts = found.accounts | _open_missing(connection, drafts, found.accounts)
        _insert(
            connection, _ENTRIES, [(number, accounts[name], amount) for _, name, number, amount in entries]
        )
        _insert(
            connection,
            _POSTINGS,
            [
                (number, draft.key, draft.kind, draft.call_id, at, draft.memo[:200], draft.reverses_id)
                for number, draft in numbered
            ],
        )


@contextmanager
def _all_or_nothing(connection: Connection) -> Iterator[None]:
    """Undo what was written if the block fails and its caller goes on in the same transaction.

    Otherwise entries without a posting would remain, and the next posting, which gets the same number, would contain them.
    PostgreSQL refuses everything after an error until the transaction is rolled back, so nothing is needed there.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    driver_rows(connection, "SAVEPOINT postings")
    try:
        yield
    except BaseException:
        with suppress(DBAPIError):  # a full disk took the savepoint too
            driver_rows(connection, "ROLLBACK TO postings")
            driver_rows(connection, "RELEASE postings")
        raise
    driver_rows(connection, "RELEASE postings")


def _check_funds(drafts: Sequence[Draft], balances: dict[_Name, int]) -> None:
    left: dict[_Name, int] = {}
    for change in (change for draft in drafts for change in draft.changes):
        if change.kind in _NEVER_NEGATIVE:
            left[change.name] = left.get(change.name, balances.get(change.name, 0)) + change.amount
            if left[change.name] < 0:
                raise InsufficientFundsError(
                    f"the {change.kind} of {change.owner} has less than {-change.amount} {change.currency} "
                    "(minor units). Nothing was posted."
                )


def _open_missing(
    connection: Connection, drafts: Sequence[Draft], accounts: dict[_Name, int]
) -> dict[_Name, int]:
    """Open the accounts that don't exist yet, and return their ids."""
    missing = sorted({change.name for draft in drafts for change in draft.changes} - set(accounts))
    if not missing:
        return {}
    rows = _insert(connection, _OPEN, [(*name, 0 if name[0] in KEPT else None) for name in missing])
    opened = {(kind, owner, currency): number for kind, owner, currency, number in rows}
    if len(opened) < len(missing):  # another process has just opened and committed some of them
        opened |= existing(connection, drafts).accounts
    return opened


@functools.lru_cache
def _query(dialect: str, accounts: int, keys: int) -> str:
    return _QUERY.format(
        # Not as a list of row values, for which SQLite would read all accounts.
        accounts=" OR ".join(["kind = ? AND owner = ? AND currency = ?"] * accounts),
        keys=", ".join("?" * keys),
        numbers=_NUMBERS[dialect],
    )


@functools.lru_cache
def _rows(statement: str, rows: int, columns: int) -> str:
    row = "(" + ", ".join("?" * columns) + ")"
    return statement.format(rows=", ".join([row] * rows))


def _insert(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Insert all rows with one statement."""
    complete = _rows(statement, len(rows), len(rows[0]))
    return driver_rows(connection, complete, [value for row in rows for value in row])
