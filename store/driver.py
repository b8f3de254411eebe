"""Executes statements on SQLite's driver itself, past SQLAlchemy, which takes ten times as long for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


def raw_of(connection: Connection) -> sqlite3.Connection:
    """Return the driver's connection of a connection to SQLite."""
    raw: sqlite3.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]
    return raw


def execute(
    connection: Connection, text: str, values: Sequence[Any] = (), raw: sqlite3.Connection | None = None
) -> sqlite3.Cursor:
    """Execute a statement of SQLite's own SQL.

    Args:
        connection: the connection.
        text: the statement, with `?` for each value.
        values: of types that the driver knows.
        raw: the driver's connection, if the caller already has it.

    Raises:
        sqlalchemy.exc.DBAPIError: of the kind that SQLAlchemy raises; people's numbers and amounts are not in its message.
    """
    try:
        return (raw or raw_of(connection)).execute(text, values)
    except sqlite3.Error as error:
        raise DBAPIError.instance(
            text, tuple(values), error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
        ) from error
