"""Properties that hold for every command, tested with every command."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import every_command
import pytest
import run_commands
from click.testing import CliRunner, Result
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from taxiphone.cli import taxiphone
from taxiphone.commands import console, tables
from taxiphone.store.models import ClientNumber


@pytest.fixture
def file(sqlite_house: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The settings file of a house in which every command has something to print."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return every_command.furnish(sqlite_house)


def add_numbers(session: Any) -> None:
    session.add_all(ClientNumber(number=f"+3363998567{digit}", client_id=1) for digit in (8, 9))


def run(file: Path, name: str, *more: str) -> Result:
    words = every_command.words_of(name, file.parent)
    return CliRunner().invoke(taxiphone, ["--config", str(file), *words, *more])


def test_every_command_is_tried_here() -> None:
    tried = every_command.READS | every_command.WRITES | every_command.REFUSED
    assert {name for name, _ in every_command.leaves()} == tried.keys() | every_command.LEFT_OUT.keys()


def test_every_command_that_prints_data_has_json(file: Path) -> None:
    without = {
        name
        for name, command in every_command.leaves()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == every_command.NO_JSON
    for name in every_command.READS.keys() - every_command.NO_JSON:
        result = run(file, name, "--json")
        assert result.exit_code == ENDS_WITH.get(name, 0), (name, result.output)
        json.loads(result.stdout)


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


def test_a_reading_transaction_can_not_write(house: Any) -> None:
    """On both databases. The next transaction on the same connection can write again."""
    house.client()
    rename = text("UPDATE client SET name = 'another'")
    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        house.database.read(lambda session: session.execute(rename))
    house.database.do(lambda session: session.execute(rename))
    assert house.database.read(lambda session: session.execute(text("SELECT name FROM client")).all()) == [
        ("another",)
    ]


@pytest.mark.parametrize("width", [80, 60, 40])
def test_ids_and_numbers_can_be_copied_from_a_terminal_of_any_width(
    file: Path, sqlite_house: Any, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Each is unbroken on one line of the output."""
    monkeypatch.setattr(console, "width", lambda: width)
    sqlite_house.database.do(add_numbers)
    told = {
        "call list": [every_command.CALL, "7.17"],
        "call explain": ["2025-11-22 21:20:00.000000", "call:261122-call01:talk", "83.400000"],
        "client list": ["7001", "+33639985678", "+33639985679", "92.83"],
        "client show": ["+33639985678", "92.83"],
        "consultant list": ["101", "+33612345678", "1.55"],
        "recording list": [
            every_command.CALL,
            str(file.parent / "var" / "recordings" / "a.mp3"),
            "2027-02-20",
        ],
        "ledger balances": ["92.83", "-200.00"],
    }
    for name, values in told.items():
        lines = run(file, name).output.splitlines()
        assert [value for value in values if not any(value in line for line in lines)] == [], (name, lines)


def test_a_table_that_fits_has_no_line_wider_than_the_terminal() -> None:
    rows = [{"id": "261122-7gq4mk", "name": "a name of several words", "total": Decimal("7.17")}] * 3
    heading, lines = tables.table(rows, ("id", "name", "total"), 40)
    assert heading == ["id             name                total"]
    assert max(map(len, lines)) <= 40
    assert lines[0] == "261122-7gq4mk  a name of several    7.17"
    heading, lines = tables.table(rows, ("id", "name", "total"), 20)
    assert heading == []
    assert lines[:3] == ["id     261122-7gq4mk", "name   a name of several words", "total  7.17"]


def test_terminal_control_characters_are_not_printed() -> None:
    assert tables.cell("a\x1b[2Jb\nc\u202ed") == "a\ufffd[2Jb c\ufffdd"


# -- wherever the output goes -----------------------------------------------------------------------------------------

RUNNER = Path(run_commands.__file__)
ALL = every_command.READS | every_command.WRITES | every_command.REFUSED
# There is no Asterisk in these tests, and nobody's own recordings.
ENDS_WITH = {"doctor": 1, "asterisk check": 1} | {
    name: 1 if name.startswith("asterisk") else 2 for name in every_command.REFUSED
}
# Says what it has to say on standard error, since `-` may be its file.
SILENT = {"recording export"}


def ended(code: int) -> dict[str, int]:
    """Return the expected exit codes if commands that print to standard output exit with `code`."""
    return {name: ENDS_WITH.get(name, 0 if name in SILENT else code) for name in ALL}


def run_all(file: Path, environment: dict[str, str], **streams: Any) -> tuple[dict[str, Any], bytes, bytes]:
    """Run every command in one process, and return its exit code and output by name."""
    words = [["--config", str(file), *every_command.words_of(name, file.parent)] for name in ALL]
    lines, codes = file.parent / "lines", file.parent / "codes"
    lines.write_text("\n".join(json.dumps(line) for line in words))
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(lines), str(codes)],
        env={**os.environ, **environment},
        check=True,
        **({"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams),
    )
    return (
        dict(zip(ALL, json.loads(codes.read_text()), strict=True)),
        done.stdout or b"",
        done.stderr or b"",
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_all_letters_gets_others_in_their_place(file: Path, encoding: str) -> None:
    codes, printed, told = run_all(file, {"PYTHONIOENCODING": encoding})
    assert codes == ended(0)
    text = printed.decode(encoding)
    assert "ukasz" in text
    assert "?" in text
    assert b"Traceback" not in told


def test_output_that_can_not_be_written_is_reported_in_one_sentence(file: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        codes, _, told = run_all(file, {}, stdout=full)
    assert codes == ended(1)
    assert b"Traceback" not in told
    assert told.count(b"standard output can't be written: No space left on device") == len(
        ALL.keys() - every_command.REFUSED.keys() - SILENT
    )


def test_errors_that_can_not_be_printed_leave_the_exit_code_right(file: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        codes, printed, _ = run_all(file, {}, stderr=full)
    assert codes == ended(0)
    assert b"ukasz" in printed


def test_a_broken_pipe_ends_every_command_silently(file: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    codes, _, told = run_all(file, {}, stdout=writes)
    os.close(writes)
    # These two end before they have told what is wrong, which would be 1.
    assert codes == ended(141) | {"doctor": 141, "asterisk check": 141}
    assert b"Traceback" not in told
    assert b"can't be written" not in told


def test_closed_streams_are_reported_and_no_file_gets_their_descriptors(file: Path) -> None:
    def close() -> None:
        for descriptor in (0, 1):
            os.close(descriptor)

    codes, _, told = run_all(file, {}, stdin=None, stdout=None, preexec_fn=close)
    assert codes == ended(1)
    assert b"Traceback" not in told
    assert b"standard output can't be written: Bad file descriptor" in told


def test_json_is_complete_in_every_encoding(file: Path) -> None:
    for encoding in ("ascii", "latin-1", "utf-8"):
        done = subprocess.run(
            [sys.executable, "-m", "taxiphone", "--config", str(file), "client", "show", "7001", "--json"],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            check=True,
            capture_output=True,
        )
        assert json.loads(done.stdout.decode(encoding))["name"] == every_command.NAME


def test_an_argument_that_is_no_text_is_refused(file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "taxiphone", "--config", str(file), b"client", b"show", b"\xff"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"an argument has bytes that are not text" in done.stderr
