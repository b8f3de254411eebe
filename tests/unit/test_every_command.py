"""What is promised of every command, tried with every command."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import every_command
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from taxiphone.cli import taxiphone


@pytest.fixture
def file(sqlite_house: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The settings file of a house in which every command has something to print."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return every_command.furnish(sqlite_house)


def run(file: Path, name: str, *more: str) -> Result:
    words = every_command.words_of(name, file.parent)
    return CliRunner().invoke(taxiphone, ["--config", str(file), *words, *more])


def test_every_command_is_tried_here() -> None:
    tried = every_command.READS | every_command.WRITES | every_command.REFUSED
    assert {name for name, _ in every_command.leaves()} == tried.keys() | every_command.LEFT_OUT.keys()


def test_a_command_that_only_reads_does_not_wait_for_a_writer(file: Path, sqlite_house: Any) -> None:
    with closing(sqlite3.connect(sqlite_house.database.file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        waited = [
            (name, result.output, result.exception)
            for name in every_command.READS
            if (result := run(file, name)).exit_code != 0 and name not in {"doctor", "asterisk check"}
        ]
        assert waited == []
        for name in ("doctor", "asterisk check"):  # there is no Asterisk here, and they say so
            assert "locked" not in run(file, name).output


def test_what_reads_can_not_write(house: Any) -> None:
    """On both databases; and what comes after it on the same connection can write again."""
    house.client()
    rename = text("UPDATE client SET name = 'another'")
    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        house.database.read(lambda session: session.execute(rename))
    house.database.do(lambda session: session.execute(rename))
    assert house.database.read(lambda session: session.execute(text("SELECT name FROM client")).all()) == [
        ("another",)
    ]
