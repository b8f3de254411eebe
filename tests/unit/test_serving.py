"""A second `serve` on one database is refused, and neither a crash nor a clock step leaves the lock behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from taxiphone.errors import SetupError
from taxiphone.settings import Settings
from taxiphone.settings_sections import DatabaseSection, Platform, Trunk
from taxiphone.store import schema
from taxiphone.store.database import Database
from taxiphone.store.serving import lock_of, watch
from taxiphone.store.versions import revisions

HOLD = """
import os, sys, time
from taxiphone.store.database import Database
from taxiphone.store.serving import lock_of
lock = lock_of(Database(sys.argv[1]))
lock.take()
if "child" in sys.argv and not os.fork():
    print("held", flush=True)
    time.sleep(600)
if "child" not in sys.argv:
    print("held", flush=True)
sys.stdin.read()
"""
Holder = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'taxiphone.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def holder() -> Iterator[Holder]:
    """Start a process that locks a database like `serve`, and wait until it has the lock."""
    started: list[subprocess.Popen[str]] = []

    def hold(url: str, *words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, url, *words]
        process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def taken_when_free(url: str) -> None:
    """Take and release the lock. A database server needs a moment to notice that its client is dead."""
    lock = lock_of(Database(url))
    free = threading.Event()
    for _ in range(100):
        try:
            lock.take()
        except SetupError:
            free.wait(0.1)
        else:
            lock.close()
            return
    raise AssertionError("the lock was left behind")


def test_a_second_serve_is_refused_with_the_holder_of_the_lock(url: str, holder: Holder) -> None:
    process = holder(url)
    lock = lock_of(Database(url))
    with pytest.raises(SetupError, match=rf"in use by another `taxiphone serve` \(.*{process.pid}.*\)"):
        lock.take()


def test_a_kill_leaves_nothing_behind(url: str, holder: Holder) -> None:
    kill(holder(url))
    taken_when_free(url)


def test_a_child_that_outlives_a_killed_serve_does_not_keep_the_lock(tmp_path: Path, holder: Holder) -> None:
    url = f"sqlite:///{tmp_path / 'taxiphone.db'}"
    kill(holder(url, "child"))
    lock = lock_of(Database(url))
    lock.take()
    lock.close()


def test_it_is_free_again_after_its_release(url: str, holder: Holder) -> None:
    lock = lock_of(Database(url))
    lock.take()
    lock.close()
    holder(url)


def test_links_and_relative_paths_lead_to_the_same_lock(tmp_path: Path, holder: Holder) -> None:
    real, other = tmp_path / "real", tmp_path / "other"
    real.mkdir()
    (real / "taxiphone.db").touch()
    other.symlink_to(real)
    (tmp_path / "linked.db").symlink_to(real / "taxiphone.db")
    holder("sqlite:///taxiphone.db", cwd=real)
    for path in (
        real / "taxiphone.db",
        other / "taxiphone.db",
        tmp_path / "linked.db",
        real / ".." / "real" / "taxiphone.db",
    ):
        with pytest.raises(SetupError, match="in use by another"):
            lock_of(Database(f"sqlite:///{path}")).take()


def test_a_file_that_was_removed_is_made_anew_and_keeps_others_out(tmp_path: Path, holder: Holder) -> None:
    url = f"sqlite:///{tmp_path / 'taxiphone.db'}"
    lock = lock_of(Database(url))
    lock.take()
    file = tmp_path / "taxiphone.db.serving"
    file.unlink()
    lock.keep()
    assert str(os.getpid()) in file.read_text()
    file.unlink()
    holder(url)
    with pytest.raises(SetupError, match="in use by another"):
        lock.keep()


def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(SetupError, match="in memory"):
        lock_of(Database("sqlite://"))


# -- PostgreSQL: the connection that keeps the lock ---------------------------------------------------------------


def break_connections(url: str) -> None:
    database = Database(url)
    with database.engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name LIKE 'taxiphone serve%' AND datname = current_database()"
            )
        )
    database.close()


def held(url: str) -> bool:
    database = Database(url)
    with database.engine.connect() as connection:
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
        found = bool(connection.execute(text(locks)).scalar_one())
    database.close()
    return found


async def test_a_connection_that_breaks_is_made_anew_and_keeps_others_out(
    postgres_url: str, holder: Holder
) -> None:
    lock = lock_of(Database(postgres_url))
    lock.take()
    watching = asyncio.create_task(watch(lock, 0.05))
    for _ in range(2):
        break_connections(postgres_url)
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(held, postgres_url):
                await asyncio.sleep(0.02)
        assert not watching.done()
        with pytest.raises(SetupError, match="in use by another"):
            lock_of(Database(postgres_url)).take()
    watching.cancel()
    lock.close()
    holder(postgres_url)


async def test_who_took_it_meanwhile_keeps_it(postgres_url: str, holder: Holder) -> None:
    lock = lock_of(Database(postgres_url))
    lock.take()
    break_connections(postgres_url)
    holder(postgres_url)
    async with asyncio.timeout(20):
        with pytest.raises(SetupError, match="has taken over the database"):
            await watch(lock, 0.05)


def test_another_database_of_the_server_has_a_lock_of_its_own(
    postgres_url: str, empty_postgres_url: str, holder: Holder
) -> None:
    holder(postgres_url)
    holder(empty_postgres_url)


# -- the commands -------------------------------------------------------------------------------------------------


def settings_file(folder: Path, url: str, state: str) -> Path:
    file = folder / f"{state}.toml"
    file.write_text(
        f'[platform]\ncli = "+33199001200"\n[trunk]\nhost = "127.0.0.1"\n[paths]\nstate = "{state}"\n'
        f'[database]\nurl = "{url}"\n[asterisk]\nembedded = false\n'
    )
    file.chmod(0o600)
    return file


def taxiphone(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    words_of_it = [sys.executable, "-m", "taxiphone", "--config", str(file), *words]
    return subprocess.run(words_of_it, capture_output=True, text=True, check=False, timeout=120)


def test_a_serve_in_another_folder_is_refused_in_one_sentence(
    url: str, tmp_path: Path, holder: Holder
) -> None:
    with closing(Database(url)) as database:
        database.create_if_new()
    holder(url)
    done = taxiphone(settings_file(tmp_path, url, "staging"), "serve")
    assert done.returncode == 1
    assert "in use by another `taxiphone serve`" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_the_schema_is_not_changed_under_a_running_program(url: str, tmp_path: Path, holder: Holder) -> None:
    with closing(Database(url)) as database:
        database.create_if_new()
        before = sorted(revisions())[-2]
        schema.downgrade(database.engine, before)
    process = holder(url)
    file = settings_file(tmp_path, url, "upgrade")
    refused = taxiphone(file, "db", "upgrade")
    assert refused.returncode == 1
    with closing(Database(url)) as database:
        assert database.version() == before
    assert "in use by another `taxiphone serve`" in " ".join(refused.stderr.split())
    kill(process)
    taken_when_free(url)
    assert taxiphone(file, "db", "upgrade").returncode == 0
    holder(url)
    assert "as before" in taxiphone(file, "db", "upgrade").stdout, "nothing to do is nothing to refuse"


def test_settings_without_a_database_url_lock_the_state_folders_file(tmp_path: Path) -> None:
    settings = Settings(
        platform=Platform(cli="+33199000000"),
        trunk=Trunk(host="127.0.0.1"),
        database=DatabaseSection(),
        file=tmp_path / "taxiphone.toml",
    )
    lock = lock_of(Database(settings.database_url))
    lock.take()
    assert (settings.state / "taxiphone.db.serving").stat().st_mode & 0o077 == 0
    lock.close()


@pytest.mark.parametrize("owner", [0, 65534])
def test_the_lock_is_the_databases_owners_whoever_has_made_it(tmp_path: Path, owner: int) -> None:
    file = tmp_path / "taxiphone.db"
    database = Database(f"sqlite:///{file}")
    database.create_if_new()
    if os.geteuid() == 0:  # as in `sudo taxiphone db upgrade` before serve, which runs as another user
        os.chown(file, owner, owner)
    lock = lock_of(database)
    lock.take()
    made, its = lock.path.stat(), file.stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (its.st_uid, its.st_gid, 0o600)
    lock.close()
    database.close()
