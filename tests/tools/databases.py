"""Databases for tests, of both kinds and real: each test's is as quick to get as a copy of a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, make_url
from sqlalchemy.orm import Session

from taxiphone.bench.postgres import PostgresServer
from taxiphone.store.database import Database

# No test cuts the power: what a server has confirmed need not be on the disk.
NO_POWER_CUTS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """A server of this test run's own, and a database in it for each test."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._engine = create_engine(server.url(), isolation_level="AUTOCOMMIT")
        self._made = 0
        self._say("CREATE DATABASE template_taxiphone")
        template = Database(server.url("template_taxiphone"))
        template.upgrade()
        template.close()

    def new(self, *, empty: bool = False) -> str:
        """The URL of a new database, with this program's schema, or without any."""
        self._made += 1
        name = f"test_{self._made}"
        self._say(f"CREATE DATABASE {name} TEMPLATE " + ("template0" if empty else "template_taxiphone"))
        return self.server.url(name)

    def drop(self, url: str) -> None:
        self._say(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def close(self) -> None:
        self._engine.dispose()

    def _say(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)


class FreshSqlite:
    """One SQLite file, replaced for each test by a copy of a prepared one.

    The engine stays the same: to compile its statements anew (SQLAlchemy) costs more than most tests.

    Args:
        folder: where the files lie.
        fill: writes what each test begins with.
    """

    def __init__(self, folder: Path, fill: Callable[[Session], Any] | None = None) -> None:
        self._prepared = folder / "prepared.db"
        made = Database(f"sqlite:///{self._prepared}")
        made.create_if_new()
        if fill is not None:
            made.do(fill)
        made.close()
        self.database = Database(f"sqlite:///{folder / 'taxiphone.db'}")

        @event.listens_for(self.database.engine, "connect")
        def _quick(connection: Any, _: object) -> None:
            connection.execute("PRAGMA synchronous = OFF")

    def new(self) -> Database:
        """The database as it was prepared."""
        self.database.close()
        assert self.database.file is not None
        for beside in ("-wal", "-shm"):
            self.database.file.with_name(self.database.file.name + beside).unlink(missing_ok=True)
        shutil.copy(self._prepared, self.database.file)
        return self.database


class FreshPostgres:
    """The same with PostgreSQL.

    Args:
        postgres: the server.
        name: of the database; the prepared one is named after it.
        fill: as for SQLite.
    """

    def __init__(self, postgres: Postgres, name: str, fill: Callable[[Session], Any] | None = None) -> None:
        self._postgres, self._name = postgres, name
        postgres._say(f"CREATE DATABASE prepared_{name} TEMPLATE template_taxiphone")
        made = Database(postgres.server.url(f"prepared_{name}"))
        if fill is not None:
            made.do(fill)
        made.close()
        self.database = Database(postgres.server.url(name))

    def new(self) -> Database:
        """The database as it was prepared."""
        self.database.close()
        self._postgres._say(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
        self._postgres._say(f"CREATE DATABASE {self._name} TEMPLATE prepared_{self._name}")
        return self.database
