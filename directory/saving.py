"""Locks rows of the directory for an edit and writes them, and says it in one sentence if another transaction was first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, UniqueConstraint
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from taxiphone.errors import OutdatedError, UsageError
from taxiphone.store.models import Base, Client, Consultant, Did

Column = InstrumentedAttribute[Any]


def edit(session: Session, row: Client | Consultant | Did, expected_version: int | None) -> None:
    """Lock a row until the transaction ends, read it again, and give it its next version.

    Args:
        session: a session in a transaction that writes.
        row: what is edited.
        expected_version: the version that the edit is based on; None if it is read and written in this transaction.

    Raises:
        OutdatedError: the row has another version.
    """
    # Rows that refer to it can still be inserted, such as its calls.
    session.refresh(row, with_for_update={"key_share": True})
    if expected_version not in {None, row.version}:
        raise OutdatedError(
            f"{_name(row)} was changed by somebody else since it was read (version {row.version}, not {expected_version}). "
            "Nothing was changed. Read it again, and repeat the change if it is still wanted."
        )
    row.version += 1


def insert(session: Session, row: Base, taken: str, *unique: Column) -> None:
    """Add a row and flush; see `flush`."""
    session.add(row)
    flush(session, taken, *unique)


def flush(session: Session, taken: str, *unique: Column) -> None:
    """Write the changes of the session.

    Args:
        session: the session.
        taken: the message if another transaction has taken the same values.
        unique: the columns of the unique constraint, or of the primary key, that says so.

    Raises:
        UsageError: a concurrent transaction was first (PostgreSQL); the message is `taken`.
        sqlalchemy.exc.IntegrityError: another constraint refused.
    """
    try:
        session.flush()
    except IntegrityError as error:
        if not violates(error, unique):
            raise
        raise UsageError(taken) from None


def violates(error: IntegrityError, unique: Sequence[Column]) -> bool:
    """Tell whether an error is from the unique constraint, or the primary key, over these columns."""
    table, names = unique[0].class_.__table__, [column.key for column in unique]
    named = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if named is not None:  # PostgreSQL
        return bool(named == _constraint(table, names))
    columns = ", ".join(f"{table.name}.{name}" for name in names)
    return str(error.orig) == f"UNIQUE constraint failed: {columns}"


def _constraint(table: Table, names: Sequence[str]) -> str | None:
    """Return the name of the constraint over these columns."""
    constraints = [
        table.primary_key,
        *(each for each in table.constraints if isinstance(each, UniqueConstraint)),
    ]
    return next(
        str(each.name) for each in constraints if [column.name for column in each.columns] == [*names]
    )


def _name(row: Client | Consultant | Did) -> str:
    if isinstance(row, Did):
        return f"the number {row.number}"
    return f"the {type(row).__name__.lower()} {row.name} ({row.code})"
