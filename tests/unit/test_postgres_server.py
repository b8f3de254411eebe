"""The tests' PostgreSQL server is complete, private, and removed with the process that started it."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from taxiphone.bench import postgres
from taxiphone.bench.postgres import PostgresServer
from taxiphone.errors import SetupError

PROGRAM = """
import sys, time
from taxiphone.bench.postgres import PostgresServer
server = PostgresServer()
print(server._process.pid, server._folder, flush=True)
time.sleep(60)
"""


def test_it_is_as_durable_as_in_production_and_private() -> None:
    with PostgresServer({"max_connections": "7"}) as server:
        folder = server._folder
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        engine = create_engine(server.url())
        with engine.connect() as connection:
            for name, value in {"fsync": "on", "listen_addresses": "", "max_connections": "7"}.items():
                assert connection.execute(text(f"SHOW {name}")).scalar_one() == value
        engine.dispose()
    assert not folder.exists()


def test_it_ends_with_a_process_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        number, folder = program.stdout.readline().split()
        assert Path(f"/proc/{number}").exists()
        program.kill()
    deadline = time.monotonic() + 20
    while alive(int(number)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not (Path(folder) / "data" / "postmaster.pid").exists()
    for path in sorted(Path(folder).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    Path(folder).rmdir()


def alive(number: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_server_that_can_not_start_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    real = postgres.tempfile.mkdtemp
    monkeypatch.setattr(
        postgres.tempfile, "mkdtemp", lambda **how: made.append(Path(real(**how))) or str(made[-1])
    )
    with pytest.raises(SetupError, match="PostgreSQL did not start"):
        PostgresServer({"shared_buffers": "nonsense"})
    assert not made[0].exists()


def test_binaries_are_looked_for_on_the_path_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert postgres.find() == postgres.Binaries(tmp_path, 99)


def test_if_there_are_no_binaries_debians_are_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uses a small tree made here. The real one is tested on machines without PostgreSQL."""
    tree = tmp_path / "cache" / "postgresql"
    binaries, loader = (
        tree / "usr/lib/postgresql/18/bin",
        tree / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    )
    for name in ("postgres", "initdb"):
        binaries.mkdir(parents=True, exist_ok=True)
        (binaries / name).write_text("")
    loader.parent.mkdir(parents=True)
    loader.write_text('#!/bin/sh\necho "postgres (PostgreSQL) 18.1 $4"\n')
    loader.chmod(0o755)
    wanted: list[list[str]] = []

    def fetch(names: list[str], root: Path) -> object:
        wanted.append(names)
        return postgres.packages.Tree(root, {})

    monkeypatch.setattr(postgres.packages, "fetch", fetch)
    monkeypatch.setattr(postgres, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(postgres.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(postgres, "_DEBIANS", tmp_path / "none")
    monkeypatch.setenv("PATH", "/nowhere:/bin")
    found = postgres.find()
    assert (wanted, found.major) == ([["postgresql"]], 18)
    # PostgreSQL finds its files from where the program seems to lie.
    script = found.folder / "postgres"
    said = subprocess.run([script], capture_output=True, text=True, check=True).stdout
    assert said.split()[-1] == str(script)
    assert (found.folder.parent / "lib").is_symlink()


def test_root_does_not_run_it() -> None:
    with PostgresServer() as server:
        assert server._process is not None
        assert Path(f"/proc/{server._process.pid}").stat().st_uid != 0
