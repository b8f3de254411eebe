"""Inserts that do nothing where the row is there already, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from taxiphone.store.models import Base


def insert_if_new(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; those that meet a unique constraint of the table are left as they are."""
    if not rows:
        return
    connection = session.connection()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    # The table, not its class: an ORM's insert would take a None for "not given" and write the default instead.
    connection.execute(
        insert(cast(Table, table.__table__)).on_conflict_do_nothing(), [dict(row) for row in rows]
    )
