"""Inserts that do nothing if the row already exists, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Table
from sqlalchemy.orm import Session

from taxiphone.store.models import Base

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert_of(session: Session) -> type[postgresql.Insert | sqlite.Insert]:
    """Return the INSERT class of the session's database, which supports ON CONFLICT. Imports only that dialect."""
    if session.connection().dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import Insert  # noqa: PLC0415 - slow to import
    else:
        from sqlalchemy.dialects.sqlite import Insert  # type: ignore[assignment] # noqa: PLC0415 - slow to import
    return Insert


def insert_if_new(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, skipping those that would violate a unique constraint."""
    if not rows:
        return
    insert = insert_of(session)
    # Into the table rather than the class, because the ORM would replace a None by the column's default.
    session.connection().execute(
        insert(cast(Table, table.__table__)).on_conflict_do_nothing(), [dict(row) for row in rows]
    )
