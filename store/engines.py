"""Creates the engines of a database by its URL: one that writes, one that only reads. SQLite or PostgreSQL (docs/adr/0008)."""

from __future__ import annotations

import random
import sqlite3
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from taxiphone.errors import SettingsError
from taxiphone.store import driver

PATIENCE_SECONDS = 10.0
"""By default: how long a transaction waits for another process's write lock, or for a database that is away, such as during a restart."""

THREADS = 8
"""Threads that read, and on PostgreSQL write, at the same time."""

# SQLite's own busy handler waits up to 100 ms between two attempts, and is overtaken by whoever comes in that time.
_BUSY_POLL_SECONDS = (0.0005, 0.003)
_BUSY_MILLISECONDS = 10_000
# A transaction of a call is short. The longest idle time is that of a copy or a report between two reads.
_POSTGRES_LIMITS = "-c lock_timeout=5s -c idle_in_transaction_session_timeout=10min"


@dataclass(frozen=True)
class Engines:
    """The two engines of a database.

    Attributes:
        writing: transactions on it take SQLite's write lock when they begin.
        reading: transactions on it see one snapshot; writing is refused by the database (SQLite's query_only,
            PostgreSQL's READ ONLY).
    """

    writing: Engine
    reading: Engine

    @property
    def sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self.writing.dialect.name == "sqlite"

    def dispose(self) -> None:
        """Close all connections. An engine opens new ones when it is used again."""
        self.writing.dispose()
        self.reading.dispose()


def engines(url: str, patience_seconds: float = PATIENCE_SECONDS) -> Engines:
    """Create the engines of a database. Nothing is connected yet.

    Args:
        url: SQLAlchemy's.
        patience_seconds: how long a transaction waits for SQLite's write lock.

    Raises:
        SettingsError: the URL can't be understood, or names another kind of database.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        # Error messages go to the log; people's numbers and amounts must not.
        writing = create_engine(parsed, hide_parameters=True)
        reading = (
            create_engine(parsed, hide_parameters=True, pool_size=THREADS) if parsed.database else writing
        )
        _prepare_sqlite(writing, reading, patience_seconds)
        return Engines(writing, reading)
    # The row locks (FOR UPDATE) of billing rely on READ COMMITTED: they see what was committed last.
    # Connections are not tested before use: a failed transaction is tried again on another one.
    writing = create_engine(
        parsed,
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=THREADS,
        max_overflow=THREADS,
        connect_args={
            "connect_timeout": 10,
            "application_name": "taxiphone",
            "options": f"{parsed.query.get('options', '')} {_POSTGRES_LIMITS}".strip(),
        },
    )
    return Engines(
        writing,
        writing.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True),
    )


def _prepare_sqlite(writing: Engine, reading: Engine, patience_seconds: float) -> None:
    for engine in {writing, reading}:
        event.listen(engine, "connect", _connected)
    event.listen(writing, "connect", _waits_by_itself)
    event.listen(writing, "begin", partial(_begin_immediate, patience_seconds=patience_seconds))
    if reading is not writing:
        event.listen(reading, "connect", _only_reads)
        event.listen(reading, "begin", lambda connection: driver.execute(connection, "BEGIN"))


def _connected(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 sends BEGIN too late; ours is below
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a committed cent survives a power cut
    cursor.execute("PRAGMA foreign_keys = ON")
    # Otherwise each savepoint of a large transaction, and each statement that sorts, opens a file of its own.
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()


def _waits_by_itself(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA busy_timeout = 0")  # see _begin_immediate


def _only_reads(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA query_only = ON")


def _begin_immediate(connection: Connection, patience_seconds: float) -> None:
    """Take the write lock, waiting for other processes at short, random intervals."""
    give_up = time.monotonic() + patience_seconds
    while True:
        try:
            driver.execute(connection, "BEGIN IMMEDIATE")
        except DBAPIError as error:
            if not is_busy(error) or time.monotonic() >= give_up:
                raise
        else:
            return
        time.sleep(random.uniform(*_BUSY_POLL_SECONDS))  # noqa: S311 - no secret


def is_busy(error: DBAPIError) -> bool:
    """Whether another process holds SQLite's lock."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError):
        raise SettingsError(
            "database.url is not a URL such as sqlite:////var/lib/taxiphone/taxiphone.db or "
            "postgresql+psycopg://taxiphone@db.example.org/taxiphone."
        ) from None
    except ImportError:
        raise SettingsError(
            f"database.url names the driver {parsed.drivername}, which is not installed. "
            "For PostgreSQL, in the checkout: make install, or in an environment of your own: pip install '.[postgresql]'; "
            "and postgresql+psycopg:// in the URL."
        ) from None
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}:
        raise SettingsError(
            f"database.url: {parsed.drivername} is not supported; sqlite:// and postgresql+psycopg:// are."
        )
    return parsed
