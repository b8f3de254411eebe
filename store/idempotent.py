"""Inserts that do nothing if the row already exists, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Executable, Table

from taxiphone.store.models import Base
from taxiphone.store.prepared import Prepared

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert_of(connection: Connection) -> type[postgresql.Insert | sqlite.Insert]:
    """Return the INSERT class of the database, which supports ON CONFLICT. Imports only that dialect."""
    return _insert_of(connection.dialect.name)


def insert_if_new(connection: Connection, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, skipping those that would violate a unique constraint."""
    if rows:
        connection.execute(_insert_if_new(connection.dialect.name, table), [dict(row) for row in rows])


class InsertIfNew:
    """`insert_if_new` for the hot path: the statement is built once for each database, and prepared.

    Args:
        table: the table.
        columns: the columns that are filled. Those that are left out get no default of the model's.
    """

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self._table, self._columns = table, columns
        self._prepared: dict[str, Prepared[Any]] = {}

    def run(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert rows, skipping those that would violate a unique constraint. Further keys of a row are ignored."""
        dialect = connection.dialect.name
        if dialect not in self._prepared:
            insert = _insert_of(dialect)(self._table).on_conflict_do_nothing()
            self._prepared[dialect] = Prepared(insert, tuple, self._columns)
        self._prepared[dialect].run_each(
            connection, [{name: row[name] for name in self._columns} for row in rows]
        )


def _insert_of(dialect: str) -> type[postgresql.Insert | sqlite.Insert]:
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import Insert  # noqa: PLC0415 - slow to import
    else:
        from sqlalchemy.dialects.sqlite import Insert  # type: ignore[assignment] # noqa: PLC0415 - slow to import
    return Insert


@cache
def _insert_if_new(dialect: str, table: type[Base]) -> Executable:
    # Into the table rather than the class, because the ORM would replace a None by the column's default.
    return _insert_of(dialect)(cast(Table, table.__table__)).on_conflict_do_nothing()
