"""A temporary PostgreSQL server for tests and measurements, on a socket that nobody else can reach. It starts in a second.

It is a real server, as durable as in production (fsync on). It uses the machine's own binaries if there are any, otherwise
Debian's packages, unpacked into the cache folder without root. It runs as an unprivileged user, listens only on a Unix
socket in a folder with mode 0700, and is removed together with the process that started it, however that ends.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from taxiphone.dialplan.asterisk import packages
from taxiphone.errors import SetupError
from taxiphone.settings import cache_folder

OLDEST = 13
_USER = "taxiphone"
_PATIENCE_SECONDS = 60.0
_DEBIANS = Path("/usr/lib/postgresql")
_PR_SET_PDEATHSIG = 1
# Loaded before a fork rather than after it.
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Binaries:
    """The folder with `initdb` and `postgres`, and their major version."""

    folder: Path
    major: int


class PostgresServer:
    """A running server: `with PostgresServer() as server: Database(server.url())`.

    Args:
        options: the server's configuration, such as `{"max_connections": "50"}`.

    Raises:
        SetupError: there are no binaries and none could be downloaded, or the server did not start.
    """

    def __init__(self, options: dict[str, str] | None = None) -> None:
        self._options = {
            "listen_addresses": "",
            "shared_buffers": "64MB",
            "timezone": "GMT",
            "log_timezone": "GMT",
            **(options or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.binaries = find()
        self._account = _unprivileged()
        self._folder = Path(tempfile.mkdtemp(prefix="taxiphone-pg-"))
        self._data, self._log = self._folder / "data", self._folder / "log"
        if self._account is not None:
            os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
        try:
            self._make()
            self._start()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int | None:
        """The process id of the server; None once it is stopped."""
        return None if self._process is None else self._process.pid

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy's URL of a database of this server."""
        return f"postgresql+psycopg://{_USER}@/{database}?host={self._folder}"

    def stop(self) -> None:
        """Stop the server and remove all its files."""
        if self._process is not None:
            # A fast shutdown: sessions are ended.
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(10)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _make(self) -> None:
        # The files made by initdb don't have to survive a power cut; those that the server writes later do.
        options = ("--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", f"--username={_USER}")
        command = [str(self.binaries.folder / "initdb"), *options, "-D", str(self._data)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=_environment(),
            **_as(self._account),
        )
        if done.returncode != 0:
            raise SetupError(f"initdb failed: {(done.stderr or done.stdout).strip()[-500:]}")

    def _start(self) -> None:
        options = [f"-c{name}={value}" for name, value in self._options.items()]
        command = [
            str(self.binaries.folder / "postgres"),
            "-D",
            str(self._data),
            "-k",
            str(self._folder),
            *options,
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it makes one system call only
                **_as(self._account),
            )
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while "ready" not in self._status():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SetupError(f"PostgreSQL did not start: {self._log.read_text(errors='replace')[-500:]}")
            time.sleep(0.02)

    def _status(self) -> str:
        """The last line of postmaster.pid: `ready` once connections are taken."""
        try:
            return (self._data / "postmaster.pid").read_text(encoding="ascii").splitlines()[-1]
        except (OSError, IndexError):
            return ""


def find() -> Binaries:
    """Return the newest PostgreSQL on the PATH, in Debian's folders or in the cache. Download it if there is none.

    Raises:
        SetupError: there is none and it could not be downloaded, or it can't be run.
    """
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += [path for path in _DEBIANS.glob("*/bin") if (path / "initdb").exists()]
    found = [binaries for binaries in map(_version, folders) if binaries and binaries.major >= OLDEST]
    if not found:
        found = [_fetched()]
    return max(found, key=lambda binaries: binaries.major)


def _version(folder: Path) -> Binaries | None:
    try:
        command = [str(folder / "postgres"), "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    major = re.search(r"\) (\d+)", said)
    return Binaries(folder, int(major[1])) if major else None


def _fetched() -> Binaries:
    """Debian's PostgreSQL, unpacked to the cache, with scripts that start it with its own loader."""
    # An unprivileged user must be able to read it, and can't read root's home.
    cache = Path("/var/cache/taxiphone") if os.geteuid() == 0 else cache_folder()
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    tree = packages.fetch(["postgresql"], cache / "postgresql").root
    real = next(tree.glob("usr/lib/postgresql/*/bin"), None)
    loader = next(tree.glob("usr/lib/*/ld-linux*.so.*"), None)
    if real is None or loader is None:
        raise SetupError(f"the PostgreSQL in {tree} is incomplete. Remove that folder and try again.")
    # PostgreSQL looks for its files beside the started program, so the scripts need the same folders around them.
    around = cache / "postgresql.run"
    folder = around / real.relative_to(tree)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for place in (real.parent / "lib", tree / "usr/share"):
        link = around / place.relative_to(tree)
        if not link.is_symlink():
            link.symlink_to(place)
    for name in ("postgres", "initdb"):
        script = folder / name
        line = f'exec "{loader}" --library-path "{loader.parent}" --argv0 "{script}" "{real / name}" "$@"'
        fresh = script.with_name(f".{name}.{os.getpid()}")
        fresh.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        fresh.chmod(0o755)
        fresh.replace(script)
    found = _version(folder)
    if found is None:
        raise SetupError(
            f"the PostgreSQL in {tree} can't be run on this machine: {folder / 'postgres'} --version"
        )
    return found


def _unprivileged() -> pwd.struct_passwd | None:
    """Return the user to run the server as if this user is root, which PostgreSQL refuses; otherwise None."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SetupError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody.")


def _as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    groups: Sequence[int] = []
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "GMT"}


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
