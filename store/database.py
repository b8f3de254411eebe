"""One engine, one kind of transaction, and the schema's version. SQLite or PostgreSQL, by URL (docs/adr/0008).

All database code is synchronous; the event loop calls it with `Database.run`, in a thread (docs/adr/0005). A transaction that
the database took back for a reason of its own (two wait for each other, a connection that has gone before the commit) is
done again, here and nowhere else; so what is given to `do` and `run` must have no effect outside its session.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from taxiphone.errors import SchemaError, SettingsError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Result = TypeVar("Result")

log = logging.getLogger(__name__)

_BUSY_MILLISECONDS = 10_000
_READS = "taxiphone_reads"
# How long a database may be away, such as during a restart; also SQLite's busy time-out.
_PATIENCE_SECONDS = 10.0
# SQLSTATEs: serialization_failure, deadlock_detected, lock_not_available. Nothing of the transaction was kept.
_TAKEN_BACK = frozenset({"40001", "40P01", "55P03"})
# Another process took this key, or spent this balance, between our read and our write. The next try sees it.
_RACED = frozenset({"uq_posting_key", "uq_posting_reverses_id", "ck_account_never_negative"})
_RACES = 3
_ADVICE = "See [database] in taxiphone.toml."

MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """The platform's database, by URL: SQLite (WAL, foreign keys on) or PostgreSQL (psycopg 3).

    Args:
        url: SQLAlchemy's, such as postgresql+psycopg://taxiphone@db.example.org/taxiphone.

    Raises:
        SettingsError: the URL can't be understood, or names another kind of database.
    """

    def __init__(self, url: str) -> None:
        parsed = _parsed(url)
        self.sqlite = parsed.get_backend_name() == "sqlite"
        self.file = Path(parsed.database) if self.sqlite and parsed.database else None
        if self.sqlite:
            # Error messages go to the log; people's numbers and amounts must not.
            self.engine: Engine = create_engine(parsed, hide_parameters=True)
            _prepare_sqlite(self.engine)
            return
        # The row locks (FOR UPDATE) of billing rely on READ COMMITTED: they see what was committed last.
        # Connections are not tested before use: `_until_done` takes another one.
        self.engine = create_engine(
            parsed,
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            pool_size=10,
            max_overflow=20,
            connect_args={"connect_timeout": 10, "application_name": "taxiphone"},
        )

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits at the end of the block, or rolls everything back.

        On SQLite it takes the write lock at once, so that what was read can't change before it is written. On
        PostgreSQL that is so for rows that were read with `with_for_update`.
        """
        from sqlalchemy.orm import Session  # noqa: PLC0415 - `connection` does not need it

        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads: it sees one snapshot of the database and blocks no writer.

        Writing in it is refused by the database itself (SQLite's query_only, PostgreSQL's READ ONLY).
        """
        from sqlalchemy.orm import Session  # noqa: PLC0415 - `connection` does not need it

        with Session(self._reader(), expire_on_commit=False) as session:
            yield session

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection that only reads, for commands that must start fast. Like `reading`, but without a session.

        A session needs SQLAlchemy's ORM, whose import and configuration take a third of a short command's time.
        """
        with self._reader().connect() as connection:
            yield connection

    def _reader(self) -> Engine:
        options: dict[str, Any] = {_READS: True}
        if not self.sqlite:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        return self.engine.execution_options(**options)

    def read(self, work: Callable[[Session], Result]) -> Result:
        """Do `work`, which only reads."""
        return self._until_done(work, self.reading)

    async def query(self, work: Callable[[Session], Result]) -> Result:
        """Do `work`, which only reads, in a thread."""
        return await asyncio.to_thread(self.read, work)

    async def run(self, work: Callable[[Session], Result]) -> Result:
        """Do `work` in a transaction of its own, in a thread, without blocking the event loop.

        A caller that is cancelled leaves only when the work is done: what comes after it in the call's life must
        also come after it in the database.
        """
        doing = asyncio.ensure_future(asyncio.to_thread(self.do, work))
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            while not doing.done():  # even if it is cancelled again
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({doing})
            raise

    def do(self, work: Callable[[Session], Result]) -> Result:
        """Do `work` in a transaction of its own; retry if the database rolled it back or was away for a moment.

        Raises:
            sqlalchemy.exc.DBAPIError: it can't be reached, or refused. Where the connection was lost at the commit,
                nobody knows whether that took place, so it is not done again.
        """
        return self._until_done(work, self.transaction)

    def _until_done(
        self, work: Callable[[Session], Result], begin: Callable[[], AbstractContextManager[Session]]
    ) -> Result:
        give_up = time.monotonic() + _PATIENCE_SECONDS
        for turn in itertools.count(1):
            stage = "connecting"
            try:
                with begin() as session:
                    session.connection()
                    stage = "working"
                    result = work(session)
                    session.flush()
                    stage = "committing"
            except DBAPIError as error:
                if self.sqlite or time.monotonic() >= give_up:
                    raise
                if not (turn <= _RACES and raced(error)) and not _left_nothing(error, stage):
                    raise
                log.info("a transaction failed and is tried again: %s", error.orig)
            else:
                return result
            # Jitter, so that two transactions that collided do not collide again.
            time.sleep(min(1.0, 0.01 * 2**turn) * random.uniform(0.5, 1))  # noqa: S311 - no secret
        raise AssertionError("unreachable")

    @property
    def name(self) -> str:
        """Its URL for people and logs, the password hidden."""
        return self.engine.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    # -- the schema -----------------------------------------------------------------------------------------------

    def version(self) -> str | None:
        """The schema's version in the database; None where there is no schema yet.

        Alembic's own table is read without Alembic: every command asks for the version, few change it.
        """
        try:
            with self._reader().connect() as connection:
                if not inspect(connection).has_table("alembic_version"):
                    return None
                found = list(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())
        except DBAPIError as error:
            raise SchemaError(
                f"the database {self.name} can't be opened: {_reason(error)}. {_ADVICE}"
            ) from None
        if len(found) > 1:
            raise SchemaError(
                f"the database {self.name} is not as it should be: it is at the versions {', '.join(sorted(found))} "
                f"at once. {_ADVICE}"
            )
        return found[0] if found else None

    def check_version(self) -> None:
        """Check that the schema has this program's version.

        Raises:
            SchemaError: naming the command to run.
        """
        found, wanted = self.version(), head()
        if found == wanted:
            return
        _check_known(found)
        raise SchemaError(
            f"the database's schema is at {found or 'nothing'}, this program's at {wanted}. Run: taxiphone db upgrade"
        )

    def create_if_new(self) -> None:
        """Create SQLite's file with this program's schema, readable by its owner only, if there is none."""
        if self.file is None or (self.file.exists() and self.file.stat().st_size > 0):
            return
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.file, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            raise SchemaError(f"the database {self.file} can't be made: {error.strerror}.") from None
        self.upgrade()

    def upgrade(self, revision: str = "head") -> None:
        """Bring the schema to this program's version (Alembic); all of it or nothing.

        Raises:
            SchemaError: it is at a version that this program does not know, or the database refused.
        """
        from taxiphone.store import schema  # noqa: PLC0415 - Alembic takes long to import, and few commands need it

        _check_known(self.version())
        try:
            schema.upgrade(self.engine, revision)
        except (DBAPIError, schema.CommandError) as error:
            reason = _reason(error) if isinstance(error, DBAPIError) else str(error)
            raise SchemaError(
                f"the schema of {self.name} can't be upgraded: {reason}. It was left as it is. "
                "Stop every `taxiphone serve` that uses it, see that it can be written, and try again."
            ) from None


def head() -> str:
    """The schema version that this program works with: that of the newest migration."""
    return max(revisions())


def revisions() -> set[str]:
    """Every schema version that this program knows. A migration's file is named by the version that it leads to."""
    found = {file.name.partition("_")[0] for file in MIGRATIONS.glob("versions/[0-9]*.py")}
    if not found:
        raise SchemaError("the package holds no migrations; install Taxiphone again.")
    return found


def _check_known(version: str | None) -> None:
    """Refuse a schema version that this program does not know; None, where there is no schema yet, it does."""
    if version is not None and version not in revisions():
        raise SchemaError(
            f"the database's schema ({version}) is newer than this program ({head()}), or another program's. "
            "Nothing was changed. Install the newer Taxiphone again."
        )


def _reason(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())


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


def raced(error: DBAPIError) -> bool:
    """Whether another process was faster with the same posting or the same money (PostgreSQL)."""
    return getattr(getattr(error.orig, "diag", None), "constraint_name", None) in _RACED


def _left_nothing(error: DBAPIError, stage: str) -> bool:
    """Whether nothing of a transaction was kept, so that it can be retried."""
    if stage == "connecting" or getattr(error.orig, "sqlstate", None) in _TAKEN_BACK:
        return True
    return stage == "working" and error.connection_invalidated


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # sqlite3 sends BEGIN too late; ours is below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # a committed cent survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        reads = bool(connection.get_execution_options().get(_READS))
        connection.exec_driver_sql(f"PRAGMA query_only = {reads:d}")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
