"""One engine, one kind of transaction, and the schema's version.

All database code is synchronous; the event loop calls it with `Database.run`, in a thread (docs/adr/0005).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session

from taxiphone.errors import SchemaError, SettingsError

Result = TypeVar("Result")

_BUSY_MILLISECONDS = 10_000
_READS = "taxiphone_reads"


class Database:
    """The platform's database, by URL: SQLite (WAL, foreign keys on) or any other that SQLAlchemy reaches.

    Raises:
        SettingsError: the URL can't be understood.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise SettingsError(
                "database.url is not a URL such as sqlite:////var/lib/taxiphone/taxiphone.db."
            ) from None
        self.sqlite = parsed.get_backend_name() == "sqlite"
        self.file = Path(parsed.database) if self.sqlite and parsed.database else None
        self.engine: Engine = create_engine(parsed)
        if self.sqlite:
            _prepare_sqlite(self.engine)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits at the end of the block, or rolls all of it back.

        On SQLite it takes the write lock at once, so that what was read can't change before it is written.
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads: it sees one moment of the database and holds up no writer."""
        with Session(self.engine.execution_options(**{_READS: True}), expire_on_commit=False) as session:
            yield session

    async def look(self, work: Callable[[Session], Result]) -> Result:
        """Do `work`, which only reads, in a thread."""

        def reads() -> Result:
            with self.reading() as session:
                return work(session)

        return await asyncio.to_thread(reads)

    async def run(self, work: Callable[[Session], Result]) -> Result:
        """Do `work` in a transaction of its own, in a thread: the event loop goes on meanwhile.

        A caller that is cancelled leaves only when the work is done: what comes after it in the call's life must
        also come after it in the database.
        """
        doing = asyncio.ensure_future(asyncio.to_thread(self.do, work))
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            await asyncio.wait({doing})
            raise

    def do(self, work: Callable[[Session], Result]) -> Result:
        """Do `work` in a transaction of its own."""
        with self.transaction() as session:
            return work(session)

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    # -- the schema -----------------------------------------------------------------------------------------------

    def version(self) -> str | None:
        """The schema's version in the database; None where there is no schema yet."""
        try:
            with self.engine.connect() as connection:
                return MigrationContext.configure(connection).get_current_revision()
        except DBAPIError as error:
            raise SchemaError(
                f"the database {self.engine.url.render_as_string()} can't be opened: {error.orig}. "
                "See [database] url in taxiphone.toml."
            ) from None

    def check_version(self) -> None:
        """Refuse to work on a schema that is not this program's.

        Raises:
            SchemaError: naming the command to run.
        """
        found, wanted = self.version(), head()
        if found == wanted:
            return
        if found is None or found in revisions():
            raise SchemaError(
                f"the database's schema is at {found or 'nothing'}, this program's at {wanted}. Run: taxiphone db upgrade"
            )
        raise SchemaError(
            f"the database's schema ({found}) is newer than this program ({wanted}). Install the newer Taxiphone again."
        )

    def create_if_new(self) -> None:
        """Make SQLite's file, readable by its owner only, with this program's schema, where there is none."""
        if self.file is None or (self.file.exists() and self.file.stat().st_size > 0):
            return
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.file, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            raise SchemaError(f"the database {self.file} can't be made: {error.strerror}.") from None
        self.upgrade()

    def upgrade(self, revision: str = "head") -> None:
        """Bring the schema to this program's version (Alembic), wholly or not at all.

        Raises:
            SchemaError: a migration failed; the database is as it was.
        """
        with self.engine.connect() as connection:
            if self.sqlite:
                # SQLite changes a table by making it anew and dropping the old one, which others still point to.
                # It heeds this only outside of a transaction, hence past SQLAlchemy.
                connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
            try:
                with connection.begin():
                    config = _alembic()
                    config.attributes["connection"] = connection
                    command.upgrade(config, revision)
                    if self.sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                        raise SchemaError(
                            "the migration would leave rows that point nowhere. The database is as it was."
                        )
            except DBAPIError as error:
                raise SchemaError(
                    f"the schema can't be brought up to date: {error.orig}. The database is as it was."
                ) from None
            finally:
                if self.sqlite:
                    connection.connection.cursor().execute("PRAGMA foreign_keys = ON")


def head() -> str:
    """The schema version that this program works with."""
    found = ScriptDirectory.from_config(_alembic()).get_current_head()
    if found is None:
        raise SchemaError("the package holds no migrations; install Taxiphone again.")
    return found


def revisions() -> set[str]:
    """Every schema version that this program knows."""
    return {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # sqlite3's own BEGIN comes too late; ours is below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # a committed cent survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(
            "BEGIN" if connection.get_execution_options().get(_READS) else "BEGIN IMMEDIATE"
        )
