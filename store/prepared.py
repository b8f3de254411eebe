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

from sqlalchemy import Connection, Dialect, Executable

from taxiphone.store import driver

Row = TypeVar("Row")
_Values = Mapping[str, Any]
_Convert = Callable[[Any], Any]


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
        row, raw = self._row, _driver(connection)
        if raw is None:
            return [row(tuple(each)) for each in connection.execute(self._statement, values)]
        compiled = self._compiled or self._compile(connection.dialect)
        rows = driver.execute(connection, compiled.text, compiled.bound(values), raw).fetchall()
        return [row(compiled.converted(each)) for each in rows]

    def first(self, connection: Connection, values: _Values) -> Row | None:
        """Execute the statement and return its first row; None if it has none."""
        raw = _driver(connection)
        if raw is None:
            found = connection.execute(self._statement, values).first()
            return None if found is None else self._row(tuple(found))
        compiled = self._compiled or self._compile(connection.dialect)
        # All rows are fetched: a statement that isn't read to its end stays open.
        rows = driver.execute(connection, compiled.text, compiled.bound(values), raw).fetchall()
        return self._row(compiled.converted(rows[0])) if rows else None

    def run(self, connection: Connection, values: _Values) -> None:
        """Execute a statement that returns no rows."""
        raw = _driver(connection)
        if raw is None:
            connection.execute(self._statement, values)
        else:
            compiled = self._compiled or self._compile(connection.dialect)
            driver.execute(connection, compiled.text, compiled.bound(values), raw)

    def run_each(self, connection: Connection, rows: Sequence[_Values]) -> None:
        """Execute a statement that returns no rows once for each of `rows`, which may be none."""
        if not rows:
            return
        raw = _driver(connection)
        if raw is None:
            connection.execute(self._statement, rows)
        else:
            compiled = self._compiled or self._compile(connection.dialect)
            for values in rows:
                driver.execute(connection, compiled.text, compiled.bound(values), raw)

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
    raw = _driver(connection)
    if raw is not None:
        return driver.execute(connection, statement, values, raw).fetchall()
    if connection.dialect.paramstyle != "qmark":
        statement = statement.replace("?", "%s")
    result = connection.exec_driver_sql(statement, tuple(values))
    return [tuple(row) for row in result] if result.returns_rows else []


@dataclass(frozen=True, slots=True)
class _ForSqlite:
    """A statement as SQLite's driver takes it.

    Attributes:
        text: with `?` for each value.
        constants: the values in the order of the statement; None for those that are passed.
        passed: for each value that is passed, its position, its key, and how to convert it.
        columns: the number of each column of a row that must be converted, and how.
    """

    text: str
    constants: list[Any]
    passed: tuple[tuple[int, str, _Convert | None], ...]
    columns: tuple[tuple[int, _Convert], ...]

    @classmethod
    def of(cls, statement: Executable, dialect: Dialect, columns: Sequence[str] | None) -> _ForSqlite:
        """Compile a statement."""
        compiled: Any = statement.compile(dialect=dialect, column_keys=columns)  # type: ignore[attr-defined]
        constants: list[Any] = []
        passed = []
        for position, name in enumerate(compiled.positiontup or ()):
            bind = compiled.binds[name]
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if bind.required:
                passed.append((position, bind.key, convert))
                constants.append(None)
            else:
                value = bind.effective_value
                constants.append(value if convert is None else convert(value))
        returned = getattr(statement, "exported_columns", ())
        readers = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in returned]
        converted = tuple((number, reader) for number, reader in enumerate(readers) if reader is not None)
        return cls(str(compiled), constants, tuple(passed), converted)

    def bound(self, values: _Values) -> list[Any]:
        """Return the values in the order of the statement, converted for the driver."""
        bound = self.constants.copy()
        for position, key, convert in self.passed:
            bound[position] = values[key] if convert is None else convert(values[key])
        return bound

    def converted(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a row of the driver's with its values converted. NULL is None for every type."""
        if not self.columns:
            return row
        values = list(row)
        for number, convert in self.columns:
            if values[number] is not None:
                values[number] = convert(values[number])
        return tuple(values)


def _driver(connection: Connection) -> sqlite3.Connection | None:
    """Return SQLite's driver, in a transaction as SQLAlchemy would begin it; None where SQLAlchemy executes."""
    if connection.dialect.name != "sqlite" or connection.engine.dispatch.before_cursor_execute:
        return None
    raw = driver.raw_of(connection)
    if not raw.in_transaction:
        connection.begin()
    return raw
