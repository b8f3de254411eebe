"""Statements of the hot path, compiled once and executed by SQLite's driver itself.

On SQLite a statement of the ledger takes 3 µs, and the same statement by way of SQLAlchemy 40 to 60 µs: it looks up the
compiled form, makes an execution context and a result, and calls listeners. A call executes some sixty of them in a row on
the one thread that writes. So a `Prepared` statement is compiled at its first use, and then goes to the driver's cursor with
its values converted by the columns' own types. On PostgreSQL a statement takes a round trip to another process, which costs
more than all of that; there SQLAlchemy executes, and so it does where somebody listens to its statements.

Errors of the driver are raised as SQLAlchemy's, as usual.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Dialect, Executable, TextClause
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

Row = TypeVar("Row")
_Values = Mapping[str, Any]
_Convert = Callable[[Any], Any] | None


class Prepared(Generic[Row]):
    """A statement that is built once, at module level, and executed often.

    Args:
        statement: with `bindparam` for what changes. A list in `in_` must consist of `literal`s.
        row: makes a row of its columns, such as a named tuple's `_make`.
        columns: the columns that an INSERT without `values` fills.
    """

    def __init__(
        self,
        statement: Executable,
        row: Callable[[tuple[Any, ...]], Row],
        columns: Sequence[str] | None = None,
    ) -> None:
        self._statement, self._row, self._columns = statement, row, columns
        self._compiled: _ForSqlite | None = None

    def all(self, connection: Connection, values: _Values) -> list[Row]:
        """Execute the statement and return its rows."""
        raw = _raw(connection)
        if raw is None:
            return [self._row(tuple(row)) for row in connection.execute(self._statement, values)]
        compiled = self._compiled or self._compile(connection.dialect)
        row, rows = self._row, _execute(raw, connection, compiled.text, compiled.bound(values)).fetchall()
        return [row(compiled.converted(each)) for each in rows]

    def first(self, connection: Connection, values: _Values) -> Row | None:
        """Execute the statement and return its first row; None if it has none."""
        rows = self.all(connection, values)
        return rows[0] if rows else None

    def run(self, connection: Connection, values: _Values) -> None:
        """Execute a statement that returns no rows."""
        raw = _raw(connection)
        if raw is None:
            connection.execute(self._statement, values)
        else:
            compiled = self._compiled or self._compile(connection.dialect)
            _execute(raw, connection, compiled.text, compiled.bound(values))

    def _compile(self, dialect: Dialect) -> _ForSqlite:
        self._compiled = _ForSqlite.of(self._statement, dialect, self._columns)
        return self._compiled


def scalar(row: tuple[Any, ...]) -> Any:
    """The `row` of a statement with one column."""
    return row[0]


def driver_rows(connection: Connection, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Execute a statement in the driver's own SQL and return its rows, if it has any.

    Args:
        connection: the connection.
        statement: its text, with `?` for each value on both databases.
        values: of types that the driver knows.
    """
    raw = _raw(connection)
    if raw is not None:
        return _execute(raw, connection, statement, tuple(values)).fetchall()
    if connection.dialect.paramstyle != "qmark":
        statement = statement.replace("?", "%s")
    result = connection.exec_driver_sql(statement, tuple(values))
    return [tuple(row) for row in result] if result.returns_rows else []


@dataclass(frozen=True, slots=True)
class _ForSqlite:
    """A statement as SQLite's driver takes it.

    Attributes:
        text: with `?` for each value.
        binds: for each of them, its key in what is passed, its constant value if it has one, and how to convert it.
        columns: how to convert each column of a row; empty if none needs it.
    """

    text: str
    binds: tuple[tuple[str | None, Any, _Convert], ...]
    columns: tuple[_Convert, ...]

    @classmethod
    def of(cls, statement: Executable, dialect: Dialect, columns: Sequence[str] | None) -> _ForSqlite:
        """Compile a statement."""
        compiled: Any = statement.compile(dialect=dialect, column_keys=columns)  # type: ignore[attr-defined]
        binds = []
        for name in compiled.positiontup or ():
            bind = compiled.binds[name]
            convert = _binding(bind.type, dialect)
            constant = None if bind.required else bind.effective_value
            if constant is not None and convert is not None:
                constant = convert(constant)
            binds.append((bind.key if bind.required else None, constant, convert))
        rows = [] if isinstance(statement, TextClause) else getattr(statement, "exported_columns", [])
        results = tuple(_reading(column.type, dialect) for column in rows)
        return cls(str(compiled), tuple(binds), results if any(results) else ())

    def bound(self, values: _Values) -> tuple[Any, ...]:
        """Return the values in the order of the statement, converted for the driver."""
        return tuple(
            constant if key is None else values[key] if convert is None else convert(values[key])
            for key, constant, convert in self.binds
        )

    def converted(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a row of the driver's with its values converted."""
        if not self.columns:
            return row
        return tuple(
            value if convert is None else convert(value)
            for convert, value in zip(self.columns, row, strict=True)
        )


def _binding(kind: TypeEngine[Any], dialect: Dialect) -> _Convert:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _reading(kind: TypeEngine[Any], dialect: Dialect) -> _Convert:
    return kind.dialect_impl(dialect).result_processor(dialect, None)


def _raw(connection: Connection) -> sqlite3.Connection | None:
    """Return the driver's connection if it executes by itself. A transaction is begun, as SQLAlchemy would."""
    if connection.dialect.name != "sqlite" or connection.engine.dispatch.before_cursor_execute:
        return None
    if not connection.in_transaction():
        connection.begin()
    raw: Any = connection.connection.dbapi_connection
    return raw  # type: ignore[no-any-return]


def _execute(
    raw: sqlite3.Connection, connection: Connection, text: str, values: tuple[Any, ...]
) -> sqlite3.Cursor:
    try:
        return raw.execute(text, values)
    except sqlite3.Error as error:
        wrapped = DBAPIError.instance(
            text, values, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
        )
        raise wrapped from error
