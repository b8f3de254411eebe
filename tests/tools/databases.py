"""Real databases of both kinds for tests; each test gets one as quickly as a file is copied."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, inspect, make_url
from sqlalchemy.orm import Session

from taxiphone.bench.postgres import PostgresServer
from taxiphone.store.database import Database

# Tests don't need durability after a power cut. Autovacuum is off, so it can't run at a random moment.
NO_POWER_CUTS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}
_LARGE = 65_536  # bytes of a table whose dead rows would slow the next tests down


class Postgres:
    """A PostgreSQL server for this test run, with a database for each test."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._engine = create_engine(server.url(), isolation_level="AUTOCOMMIT")
        self._made = 0
        self._say("CREATE DATABASE template_taxiphone")
        template = Database(server.url("template_taxiphone"))
        template.upgrade()
        template.close()

    def new(self, *, empty: bool = False) -> str:
        """Return the URL of a new database, with this program's schema or empty."""
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
    """A SQLite file that is replaced by a copy of a prepared one for each test.

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
        """Return the database in its prepared state."""
        self.database.close()
        assert self.database.file is not None
        for beside in ("-wal", "-shm"):
            self.database.file.with_name(self.database.file.name + beside).unlink(missing_ok=True)
        shutil.copy(self._prepared, self.database.file)
        return self.database


class FreshPostgres:
    """A PostgreSQL database that is restored to its prepared state for each test.

    The rows are replaced, not the database: to make one takes longer than most tests. A database whose schema a test has
    changed is made anew.

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
        with made.engine.begin() as connection:
            for statement in _restoring(connection):
                connection.exec_driver_sql(statement)
        made.close()
        self.database = Database(postgres.server.url(name))
        self._restorer = create_engine(self.database.engine.url, isolation_level="AUTOCOMMIT")
        self._make()

    def new(self) -> Database:
        """Return the database in its prepared state."""
        with self._restorer.connect() as connection:
            restored = connection.exec_driver_sql("SELECT prepared.restore()").scalar_one()
        if not restored:
            self._make()
        return self.database

    def close(self) -> None:
        self.database.close()
        self._restorer.dispose()

    def _make(self) -> None:
        self.close()
        self._postgres._say(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
        self._postgres._say(f"CREATE DATABASE {self._name} TEMPLATE prepared_{self._name}")


def _restoring(connection: Connection) -> Iterator[str]:
    """Return the statements that create `prepared.restore()`: it restores all tables and sequences to what they have now.

    It returns false where the schema was changed since. Connections that a test has left with a lock are ended.
    """
    tables = sorted(inspect(connection).get_table_names())
    kept = [
        table
        for table in tables
        if connection.exec_driver_sql(f'SELECT EXISTS (SELECT FROM "{table}")').scalar_one()  # noqa: S608
    ]
    numbers = connection.exec_driver_sql(
        "SELECT quote_ident(sequencename), coalesce(last_value, start_value), last_value IS NOT NULL FROM pg_sequences"
    ).all()
    yield "CREATE SCHEMA prepared"
    for table in kept:
        yield f'CREATE TABLE prepared."{table}" AS TABLE public."{table}"'
    lines = [
        *(f'DELETE FROM public."{table}";' for table in tables),  # noqa: S608
        *(f'INSERT INTO public."{table}" SELECT * FROM prepared."{table}";' for table in kept),  # noqa: S608
        *(f"PERFORM setval('public.{name}', {last}, {used});" for name, last, used in numbers),
    ]
    yield f"""
        CREATE FUNCTION prepared.restore() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT FROM prepared.changed) THEN RETURN false; END IF;
        PERFORM pg_terminate_backend(pid) FROM pg_stat_activity AS other
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
            AND (state <> 'idle' OR EXISTS (SELECT FROM pg_locks WHERE pid = other.pid AND locktype = 'advisory'));
        SET LOCAL session_replication_role = replica;
        IF (SELECT max(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'public'::regnamespace) > {_LARGE}
            THEN TRUNCATE {", ".join(f'public."{table}"' for table in tables)};
        END IF;
        {"".join(lines)}
        RETURN true; END $$
    """  # noqa: S608 - the names are our own
    yield "CREATE TABLE prepared.changed (by text)"
    yield """
        CREATE FUNCTION prepared.note() RETURNS event_trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO prepared.changed VALUES (tg_tag); END $$
    """
    yield "CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION prepared.note()"
