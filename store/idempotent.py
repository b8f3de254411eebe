"""Inserts that do nothing where the row is there already, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Table
from sqlalchemy.orm import Session

from taxiphone.store.models import Base

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert_of(session: Session) -> type[postgresql.Insert | sqlite.Insert]:
    """The INSERT of the session's database, which has ON CONFLICT. Only that database's dialect is imported."""
    if session.connection().dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import Insert  # noqa: PLC0415 - takes long to import
    else:
        from sqlalchemy.dialects.sqlite import Insert  # type: ignore[assignment] # noqa: PLC0415 - likewise
    return Insert


def insert_if_new(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; those that meet a unique constraint of the table are left as they are."""
    if not rows:
        return
    insert = insert_of(session)
    # The table, not its class: an ORM's insert would take a None for "not given" and write the default instead.
    session.connection().execute(
        insert(cast(Table, table.__table__)).on_conflict_do_nothing(), [dict(row) for row in rows]
    )
