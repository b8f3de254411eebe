"""Allows only one `taxiphone serve` per database, whatever folder it runs in: a second one would end the first one's calls.

SQLite: a kernel lock (fcntl, POSIX) on a file next to the database. PostgreSQL: an advisory lock of a session with its own
connection, in the database and schema that contain the calls. Neither depends on a clock or a process id, and both are
released when the process ends for any reason. See docs/adr/0016.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from taxiphone.errors import SetupError
from taxiphone.store.database import Database

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0  # how often to check that the lock is still held
_SPACE = 7419  # first half of the key of PostgreSQL's advisory lock; the second half is the schema
# With these, the server notices within a minute that this machine is gone, and releases the lock. The default is two hours.
_KEEPALIVES = {"tcp_keepalives_idle": 20, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 4}
_NAME = 63  # maximum length of an application's name in PostgreSQL, in bytes


class Lock(Protocol):
    """A lock that one process can hold."""

    def take(self) -> None:
        """Take the lock.

        Raises:
            SetupError: another process holds it, or locks don't work here.
            sqlalchemy.exc.DBAPIError: the database can't be reached.
        """

    def keep(self) -> None:
        """Check that the lock is still held; take it again if its connection or file was lost. Raises like `take`."""

    def close(self) -> None:
        """Release the lock."""


class HeldError(SetupError):
    """Another process holds the lock.

    Attributes:
        holder: the process, in brackets; empty if unknown.
    """

    def __init__(self, holder: str) -> None:
        self.holder = f" ({holder})" if holder else ""
        super().__init__(
            f"the database is in use by another `taxiphone serve`{self.holder}. Two would end each other's calls, so "
            "nothing was started or changed. Stop the other one first."
        )


def lock_of(database: Database) -> Lock:
    """Return the lock of a database, not yet taken.

    Raises:
        SetupError: the database is in memory.
    """
    if database.file is not None:
        return FileLock(database.file)
    if database.sqlite:
        raise SetupError("a database in memory is lost when the process ends. Set [database] url to a file.")
    return AdvisoryLock(database)


async def watch(lock: Lock, poll_seconds: float = POLL_SECONDS) -> None:
    """Keep a lock until cancelled.

    While the database can't be reached, no other process can take the lock either.

    Raises:
        SetupError: another process holds it now.
    """
    away = False
    while True:
        await asyncio.sleep(poll_seconds)
        try:
            await asyncio.to_thread(lock.keep)
        except HeldError as held:
            raise SetupError(
                f"another `taxiphone serve`{held.holder} has taken over the database while this one had lost its lock. "
                "Two would end each other's calls, so this one ends its calls, prices their talks, and stops."
            ) from None
        except DBAPIError as error:
            if not away:
                log.warning(
                    "the connection that locks out a second serve is lost (%s); trying again", error.orig
                )
            away = True
        else:
            if away:
                log.warning("a second serve is locked out again")
            away = False


class FileLock:
    """A POSIX lock on `FILE.serving`, next to the database file.

    Args:
        database: SQLite's file. Links and relative paths are resolved, so that they lead to the same lock.
    """

    def __init__(self, database: Path) -> None:
        real = database.resolve()
        self._database, self.path = real, real.with_name(f"{real.name}.serving")
        self._descriptor: int | None = None

    def take(self) -> None:
        """See `Lock`."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SetupError(
                f"{self.path} can't be opened: {error.strerror}. It is needed to lock out a second serve."
            ) from None
        try:
            # This lock belongs to the process and not to the open file, so a child that outlives a killed serve doesn't
            # inherit it.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _read(descriptor)
            os.close(descriptor)
            if isinstance(error, BlockingIOError | PermissionError):
                raise HeldError(holder) from None
            raise SetupError(
                f"{self.path} can't be locked: {error.strerror}. Keep the database on a disk of this machine."
            ) from None
        self._change_owner(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._descriptor = descriptor

    def _change_owner(self, descriptor: int) -> None:
        """Give the file to the database's owner if root created it, as by `sudo taxiphone db upgrade`.

        SQLite does the same with its own files.
        """
        if os.geteuid() == 0:
            with suppress(OSError):
                owner = self._database.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def keep(self) -> None:
        """See `Lock`. If the file was deleted, its lock has no effect any more, so a new file is locked."""
        if self._descriptor is None:
            return
        with suppress(FileNotFoundError):
            if os.path.samestat(self.path.stat(), os.fstat(self._descriptor)):
                return
        self.close()
        self.take()

    def close(self) -> None:
        """See `Lock`. The file isn't deleted, because two processes could then lock two files of this name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class AdvisoryLock:
    """PostgreSQL's `pg_try_advisory_lock`, on a connection that is used for nothing else."""

    def __init__(self, database: Database) -> None:
        # The name is unique, so that a lost connection of this process, which the server still holds, can be recognised.
        own = f" {os.getpid()} {secrets.token_hex(4)}"
        self._name = f"taxiphone serve {socket.gethostname()}"[: _NAME - len(own)] + own
        self._engine = create_engine(
            database.engine.url,
            hide_parameters=True,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "connect_timeout": 10,
                "application_name": self._name,
                "keepalives_idle": 20,
                "keepalives_interval": 5,
                "keepalives_count": 4,
                "tcp_user_timeout": 40_000,
            },
        )
        self._connection: Connection | None = None

    def take(self) -> None:
        """See `Lock`."""
        connection = self._engine.connect()
        try:
            self._take_on(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _take_on(self, connection: Connection) -> None:
        for setting, value in _KEEPALIVES.items():
            connection.execute(text(f"SET {setting} = {value}"))
        if self._locked(connection):
            return
        server_process, name = self._holder(connection) or (0, "")
        if name != self._name:
            raise HeldError(name)
        # This process's own previous connection, which the server doesn't know to be lost.
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": server_process})
        connection.execute(text("SELECT pg_sleep(0.2)"))
        if not self._locked(connection):
            raise HeldError("")

    def keep(self) -> None:
        """See `Lock`."""
        if self._connection is not None:
            try:
                self._connection.execute(text("SELECT 1"))
            except DBAPIError:
                self.close()
            else:
                return
        self.take()

    def close(self) -> None:
        """See `Lock`."""
        if self._connection is not None:
            with suppress(DBAPIError):
                self._connection.close()
            self._connection = None

    @staticmethod
    def _locked(connection: Connection) -> bool:
        locked = connection.execute(
            text("SELECT pg_try_advisory_lock(:space, hashtext(current_schema()))"), {"space": _SPACE}
        )
        return bool(locked.scalar_one())

    @staticmethod
    def _holder(connection: Connection) -> tuple[int, str] | None:
        """Return the id of the server process that holds the lock, and its client's name."""
        row = connection.execute(
            text(
                "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
                "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = :space "
                "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                "AND l.objid::bigint = hashtext(current_schema())::bigint & 4294967295"
            ),
            {"space": _SPACE},
        ).first()
        return None if row is None else (int(row[0]), str(row[1] or ""))


def _read(descriptor: int) -> str:
    with suppress(OSError):
        text = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
        return text if text.isprintable() else ""
    return ""
