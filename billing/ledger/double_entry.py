"""Writes postings to the database: first their entries, which update the balances, then the postings themselves.

In this order the database can check the sum when it inserts a posting, and refuse further entries afterwards (migration
0003). Every call waits for this, so it consists of a few hand-written statements, whatever the number of accounts; `?` is
the placeholder for a value on both databases.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from taxiphone.errors import InsufficientFundsError, LedgerError
from taxiphone.store.prepared import driver_rows
from taxiphone.store.types import now, timestamp_text

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
    {numbers}"""
_NUMBER = "UNION ALL SELECT 'number', {number}, NULL, NULL, NULL, NULL"
_NUMBERS = {
    "postgresql": "nextval('posting_id_seq')",
    # SQLite has only one writer at a time (BEGIN IMMEDIATE), so nothing else takes these ids.
    "sqlite": "(SELECT coalesce(max(id), 0) FROM posting) + {nth}",
}
_OPEN = """
    INSERT INTO account (kind, owner, currency, balance) VALUES {rows}
    ON CONFLICT DO NOTHING RETURNING kind, owner, currency, id"""
_ENTRIES = "INSERT INTO entry (posting_id, account_id, amount) VALUES {rows}"
_POSTINGS = "INSERT INTO posting (id, key, kind, call_id, at, memo, reverses_id) VALUES {rows}"


class Change(NamedTuple):
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
        return self[:3]


class Draft(NamedTuple):
    """A posting that isn't written yet. Its changes sum to zero in each currency, and name no account twice."""

    key: str
    kind: str
    changes: tuple[Change, ...]
    call_id: str | None = None
    memo: str = ""
    reverses_id: int | None = None


class Existing(NamedTuple):
    """What the database has of some drafts before they are written.

    Attributes:
        accounts: the ids of the accounts.
        balances: the stored balances of the accounts; None for accounts whose balance isn't stored.
        missing: the names of the accounts that don't exist yet.
        taken: the keys that are used already.
        numbers: ids for the new postings.
    """

    accounts: dict[_Name, int]
    balances: dict[_Name, int | None]
    missing: list[_Name]
    taken: set[str]
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
    sums: dict[str, int] = {}
    for _, _, currency, amount in changes:
        if type(amount) is not int or not amount:  # a bool is an int, but no amount
            raise LedgerError(
                f"posting {key}: {amount!r} is not an amount in minor units. Nothing was posted."
            )
        sums[currency] = sums.get(currency, 0) + amount
    if len({change.name for change in changes}) != len(changes):
        raise LedgerError(f"posting {key} names an account twice. Nothing was posted.")
    if len(changes) < 2 or any(sums.values()):  # noqa: PLR2004 - double entry
        raise LedgerError(
            f"posting {key} does not sum to zero over two accounts or more. Nothing was posted."
        )


def existing(connection: Connection, drafts: Sequence[Draft]) -> Existing:
    """Read what the database has before some drafts are written."""
    names = {change[:3] for draft in drafts for change in draft.changes}
    statement = _query(connection.dialect.name, len(names), len(drafts))
    values = [part for name in names for part in name]
    rows = driver_rows(connection, statement, [*values, *(draft.key for draft in drafts)])
    found = Existing({}, {}, [], set(), [])
    for what, number, key, owner, currency, balance in rows:
        if what == "account":
            name = key, owner, currency
            found.accounts[name], found.balances[name] = number, balance
        elif what == "taken":
            found.taken.add(key)
        else:
            found.numbers.append(number)
    found.missing.extend(sorted(names - found.accounts.keys()))
    found.numbers.sort()
    return found


def write(connection: Connection, drafts: Sequence[Draft], found: Existing) -> None:
    """Write postings whose keys are not taken.

    On SQLite nothing else has written since `existing`. On PostgreSQL, another transaction may have taken a key or spent a
    balance meanwhile. The database then refuses, and the whole transaction is repeated (`Database.do`).

    Raises:
        InsufficientFundsError: a wallet or a hold would fall below zero; nothing was written.
        sqlalchemy.exc.IntegrityError: the database refused.
    """
    _check_funds(drafts, found.balances)
    if connection.dialect.name != "sqlite":
        # After an error PostgreSQL refuses everything until the transaction is rolled back.
        _write(connection, drafts, found)
        return
    # If the caller goes on in the same transaction after an error, no entries without a posting must remain: the next
    # posting, which gets the same number, would contain them.
    driver_rows(connection, "SAVEPOINT postings")
    try:
        _write(connection, drafts, found)
    except BaseException:
        with suppress(DBAPIError):  # a full disk took the savepoint too
            driver_rows(connection, "ROLLBACK TO postings")
            driver_rows(connection, "RELEASE postings")
        raise
    driver_rows(connection, "RELEASE postings")


def _write(connection: Connection, drafts: Sequence[Draft], found: Existing) -> None:
    at, postings, changes = timestamp_text(now()), [], []
    for number, (key, kind, of_draft, call_id, memo, reverses_id) in zip(found.numbers, drafts, strict=False):
        postings.append((number, key, kind, call_id, at, memo[:200], reverses_id))
        changes += [(change[0] != WALLET, change[:3], number, change[3]) for change in of_draft]
    # Always in the same order, so that two transactions don't deadlock: the wallet first, since whoever must know its
    # balance before posting has locked it already (`balances.lock_wallet`).
    changes.sort()
    accounts = found.accounts | _open_missing(connection, drafts, found.missing)
    entries = [(number, accounts[name], amount) for _, name, number, amount in changes]
    _insert(connection, _ENTRIES, entries)
    _insert(connection, _POSTINGS, postings)


def _check_funds(drafts: Sequence[Draft], balances: dict[_Name, int | None]) -> None:
    left = dict(balances)
    for draft in drafts:
        for kind, owner, currency, amount in draft.changes:
            if kind in _NEVER_NEGATIVE:
                name = kind, owner, currency
                left[name] = rest = (left.get(name) or 0) + amount
                if rest < 0:
                    raise InsufficientFundsError(
                        f"the {kind} of {owner} has less than {-amount} {currency} (minor units). Nothing was posted."
                    )


def _open_missing(
    connection: Connection, drafts: Sequence[Draft], missing: Sequence[_Name]
) -> dict[_Name, int]:
    """Open the accounts that don't exist yet, and return their ids."""
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
        numbers=" ".join(
            _NUMBER.format(number=_NUMBERS[dialect].format(nth=nth)) for nth in range(1, keys + 1)
        ),
    )


@functools.lru_cache
def _rows(statement: str, rows: int, columns: int) -> str:
    row = "(" + ", ".join("?" * columns) + ")"
    return statement.format(rows=", ".join([row] * rows))


def _insert(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Insert all rows with one statement."""
    complete = _rows(statement, len(rows), len(rows[0]))
    return driver_rows(connection, complete, [value for row in rows for value in row])
