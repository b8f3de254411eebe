"""The database's transactions, and the schema's version.

All database code is synchronous; the event loop calls it with `Database.run` and `Database.query`, on threads (docs/adr/0005).
On SQLite one thread does all writes of the process (writer.py). A transaction that the database rolled back for its own
reasons is done again (retrying.py), so work must have no effect outside its session or connection.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from taxiphone.errors import SchemaError
from taxiphone.store import versions
from taxiphone.store.counters import Counters
from taxiphone.store.engines import PATIENCE_SECONDS, THREADS, engines
from taxiphone.store.retrying import until_done
from taxiphone.store.sessions import in_session
from taxiphone.store.writer import Lane, Priority, Writer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Result = TypeVar("Result")
Key = TypeVar("Key")

_ADVICE = "See [database] in taxiphone.toml."


class Database:
    """The platform's database, by URL: SQLite (WAL, foreign keys on) or PostgreSQL (psycopg 3).

    Args:
        url: SQLAlchemy's, such as postgresql+psycopg://taxiphone@db.example.org/taxiphone.
        patience_seconds: how long a transaction waits for SQLite's write lock, or for a database that is away.

    Raises:
        SettingsError: the URL can't be understood, or names another kind of database.
    """

    def __init__(self, url: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._engines = engines(url, patience_seconds)
        self.sqlite = self._engines.sqlite
        self._retry_seconds = 0.0 if self.sqlite else patience_seconds
        file = self._engines.writing.url.database
        self.file = Path(file) if self.sqlite and file else None
        self.counters = count = Counters()
        self._writer = Writer(self._engines.writing, on_commit=count.committed) if self.sqlite else None
        self._pools: dict[str, ThreadPoolExecutor] = {}

    @property
    def engine(self) -> Engine:
        """The engine for transactions that write, and for the schema."""
        return self._engines.writing

    @property
    def reader(self) -> Engine:
        """The engine for transactions that only read."""
        return self._engines.reading

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits at the end of the block, or rolls everything back.

        On SQLite it takes the write lock at once, so that what was read can't change before it is written. On
        PostgreSQL that is so for rows that were read with `with_for_update`.
        """
        from sqlalchemy.orm import Session  # noqa: PLC0415 - `connection` does not need it

        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session
        self.counters.committed()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads: it sees one snapshot of the database and blocks no writer.

        The database itself refuses writes (SQLite's query_only, PostgreSQL's READ ONLY).
        """
        from sqlalchemy.orm import Session  # noqa: PLC0415 - `connection` does not need it

        self.counters.read()
        with Session(self.reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Like `reading`, but without a session, whose import alone takes a third of a short command's time."""
        self.counters.read()
        with self.reader.connect() as connection:
            yield connection

    # -- reading ----------------------------------------------------------------------------------------------------

    def read(self, work: Callable[[Session], Result]) -> Result:
        """Do `work`, which only reads."""
        return until_done(work, self._connected, self._retry_seconds)

    async def query(self, work: Callable[[Session], Result]) -> Result:
        """Do `work`, which only reads, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads("read"), self.read, work)

    async def fetch(self, work: Callable[[Connection], Result]) -> Result:
        """Do `work`, which only reads, on a thread. Like `query`, but without a session, which costs more than a query."""
        return await asyncio.get_running_loop().run_in_executor(self._threads("read"), self.fetch_now, work)

    def fetch_now(self, work: Callable[[Connection], Result]) -> Result:
        """Do `work`, which only reads. Like `read`, but without a session."""
        return until_done(work, self.connection, self._retry_seconds)

    @contextmanager
    def _connected(self) -> Iterator[Session]:
        with self.reading() as session:
            session.connection()  # so that a database that is away is noticed before the work begins
            yield session

    def _threads(self, name: str) -> ThreadPoolExecutor:
        if name not in self._pools:
            self._pools[name] = ThreadPoolExecutor(THREADS, thread_name_prefix=f"database {name.lower()}")
        return self._pools[name]

    # -- writing ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            yield connection
        self.counters.committed()

    async def run(self, work: Callable[[Session], Result], priority: Priority = Priority.CALLS) -> Result:
        """Do `work` in a transaction, without blocking the event loop; see `write`."""
        return await self.write(in_session(work), priority)

    async def write(
        self, work: Callable[[Connection], Result], priority: Priority = Priority.CALLS
    ) -> Result:
        """Do `work` in a transaction, without blocking the event loop.

        A caller that is cancelled leaves only when the work is done: what comes after it in the call's life must
        also come after it in the database.
        """
        doing = self.begin(work, priority)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            while not doing.done():  # even if it is cancelled again
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({doing})
            raise

    def begin(
        self, work: Callable[[Connection], Result], priority: Priority = Priority.CALLS
    ) -> asyncio.Future[Result]:
        """Queue `work`, which is done in a transaction; return a future that is done after the commit.

        Cancelling the future does not take the work back. On SQLite, work is done in the order in which it was queued;
        on PostgreSQL, several at the same time.
        """
        loop = asyncio.get_running_loop()  # which may count what its threads do (simulate/clock.py)
        if self._writer is not None:
            unit = cast("Callable[[], Result]", work)  # the lane adds the connection
            return loop.run_in_executor(Lane(self._writer, priority), unit)
        # A pool for each priority, so that housekeeping takes no thread from the calls.
        threads = self._threads(priority.name)
        return loop.run_in_executor(threads, until_done, work, self._writing, self._retry_seconds)

    def do(self, work: Callable[[Session], Result], priority: Priority = Priority.CALLS) -> Result:
        """Do `work` in a transaction; see `write_now`."""
        return self.write_now(in_session(work), priority)

    def write_now(self, work: Callable[[Connection], Result], priority: Priority = Priority.CALLS) -> Result:
        """Do `work` in a transaction; retry if the database rolled it back or was away for a moment.

        Raises:
            sqlalchemy.exc.DBAPIError: it can't be reached, or refused. Where the connection was lost at the commit,
                nobody knows whether that took place, so it is not done again.
        """
        if self._writer is not None:
            return self._writer.submit(work, priority).result()
        return until_done(work, self._writing, self._retry_seconds)

    def do_each(
        self, works: Mapping[Key, Callable[[Connection], Result]], priority: Priority = Priority.CALLS
    ) -> dict[Key, Result | Exception]:
        """Do several units of work, each in a transaction of its own that may fail without the others.

        On SQLite they share a commit.

        Returns:
            what each of them returned or raised.
        """
        if self._writer is None:
            return {key: _outcome(partial(self.write_now, work, priority)) for key, work in works.items()}
        futures = {key: self._writer.submit(work, priority) for key, work in works.items()}
        return {key: _outcome(future.result) for key, future in futures.items()}

    @property
    def name(self) -> str:
        """Its URL for people and logs, the password hidden."""
        return self.engine.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Wait for what was submitted, and close all connections. It can be used again after that."""
        if self._writer is not None:
            self._writer.close()
        while self._pools:
            self._pools.popitem()[1].shutdown()
        self._engines.dispose()

    # -- the schema -----------------------------------------------------------------------------------------------

    def version(self) -> str | None:
        """The schema's version in the database; None where there is no schema yet.

        Alembic's own table is read without Alembic: every command asks for the version, few change it.
        """
        try:
            with self.reader.connect() as connection:
                if not inspect(connection).has_table("alembic_version"):
                    return None
                found = list(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())
        except DBAPIError as error:
            raise SchemaError(
                f"the database {self.name} can't be opened: {versions.reason(error)}. {_ADVICE}"
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
        found, wanted = self.version(), versions.head()
        if found == wanted:
            return
        versions.check_known(found)
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

        versions.check_known(self.version())
        try:
            schema.upgrade(self.engine, revision)
        except (DBAPIError, schema.CommandError) as error:
            reason = versions.reason(error) if isinstance(error, DBAPIError) else str(error)
            raise SchemaError(
                f"the schema of {self.name} can't be upgraded: {reason}. It was left as it is. "
                "Stop every `taxiphone serve` that uses it, see that it can be written, and try again."
            ) from None


def _outcome(finish: Callable[[], Result]) -> Result | Exception:
    try:
        return finish()
    except Exception as error:  # noqa: BLE001 - the caller decides
        return error
