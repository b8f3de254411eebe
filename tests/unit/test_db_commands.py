"""`taxiphone db` with something other than a usable database: an error message, and nothing is changed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from taxiphone.cli import taxiphone
from taxiphone.errors import SchemaError
from taxiphone.store.database import Database
from taxiphone.store.versions import head

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach."""
    made = Path(tempfile.mkdtemp(prefix="taxiphone-db-"))
    (made / "taxiphone.toml").write_text('[platform]\ncli = "+33199001200"\n[trunk]\nhost = "127.0.0.1"\n')
    yield made
    shutil.rmtree(made)


def db(folder: Path, *words: str) -> str:
    result = CliRunner().invoke(taxiphone, ["--config", str(folder / "taxiphone.toml"), "db", *words])
    if result.exception is not None:
        raise result.exception
    return result.output


def file_of(folder: Path) -> Path:
    return folder / "var" / "taxiphone.db"


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Run as a user who can read but not write, because root can write anywhere."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)


def test_the_version_is_printed_for_people_and_programs(folder: Path) -> None:
    assert json.loads(db(folder, "upgrade", "--json")) == {
        "before": head(),
        "database": head(),
        "program": head(),
    }
    assert json.loads(db(folder, "version", "--json")) == {"database": head(), "program": head()}
    assert db(folder, "version").split() == ["database", head(), "program", head()]
    assert "as before" in db(folder, "upgrade")


@pytest.mark.parametrize("version", ["9999", "nonsense"])
def test_a_version_that_is_not_known_is_refused_and_stays(folder: Path, version: str) -> None:
    db(folder, "upgrade")
    with closing(sqlite3.connect(file_of(folder))) as opened:
        opened.execute("UPDATE alembic_version SET version_num = ?", [version])
        opened.commit()
    with pytest.raises(SchemaError, match=rf"schema \({version}\) is newer than this program"):
        db(folder, "upgrade")
    assert version in db(folder, "version")


def test_two_versions_at_once_are_reported(folder: Path) -> None:
    db(folder, "upgrade")
    with closing(sqlite3.connect(file_of(folder))) as opened:
        opened.execute("INSERT INTO alembic_version VALUES ('0001')")
        opened.commit()
    for words in ("upgrade", "version"):
        with pytest.raises(SchemaError, match="is not as it should be"):
            db(folder, words)


def test_a_file_that_is_no_database_is_refused_and_stays(folder: Path) -> None:
    file_of(folder).parent.mkdir()
    file_of(folder).write_text("this is a letter to my landlord, and no database at all\n" * 50)
    before = file_of(folder).read_bytes()
    for words in ("upgrade", "version"):
        with pytest.raises(SchemaError, match=r"can't be opened: file is not a database"):
            db(folder, words)
    assert file_of(folder).read_bytes() == before


def test_a_folder_in_place_of_the_database_is_reported(folder: Path) -> None:
    file_of(folder).mkdir(parents=True)
    with pytest.raises(SchemaError, match=r"can't be opened|can't be made"):
        db(folder, "upgrade")


def test_another_programs_database_is_left_as_it_is(folder: Path) -> None:
    file_of(folder).parent.mkdir()
    with closing(sqlite3.connect(file_of(folder))) as opened:
        opened.execute("CREATE TABLE client (what TEXT)")
        opened.commit()
    with pytest.raises(
        SchemaError, match=r"can't be upgraded: table .*client.* already exists\. It was left"
    ):
        db(folder, "upgrade")
    with closing(sqlite3.connect(file_of(folder))) as opened:
        assert opened.execute("SELECT name FROM sqlite_master").fetchall() == [("client",)]


def test_a_database_locked_by_another_writer_is_reported(folder: Path) -> None:
    db(folder, "upgrade")
    database = Database(f"sqlite:///{file_of(folder)}", patience_seconds=0.2)
    with closing(sqlite3.connect(file_of(folder), isolation_level=None)) as other:
        other.execute("UPDATE alembic_version SET version_num = '0001'")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SchemaError, match=r"can't be upgraded: database is locked.*Stop every"):
            database.upgrade()
    database.close()


def test_a_folder_that_can_not_be_written_is_reported(folder: Path) -> None:
    with as_nobody(folder), pytest.raises(SchemaError, match=r"can't be made: Permission denied"):
        db(folder, "upgrade")


def test_a_read_only_database_is_reported(folder: Path) -> None:
    db(folder, "upgrade")
    with closing(sqlite3.connect(file_of(folder), isolation_level=None)) as other:
        other.execute("UPDATE alembic_version SET version_num = '0001'")
        other.execute("PRAGMA journal_mode = DELETE")
    with (
        as_nobody(folder),
        pytest.raises(SchemaError, match=r"can't be (opened|upgraded): .*(readonly|unable)"),
    ):
        db(folder, "upgrade")
