"""Asterisk's event log is rotated, compressed, damaged or deleted: lost rows are reported, and none is billed twice."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from taxiphone.billing.metering import log_gaps, log_rotation
from taxiphone.billing.metering.meter import Meter
from taxiphone.commands.ledger import ledger as ledger_command
from taxiphone.store.models import CelRow

PACKERS = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


@pytest.fixture
def call_id(house: Any) -> str:
    found: str = house.call(house.client(), house.consultant())
    return found


@pytest.fixture
def log(house: Any) -> Path:
    found: Path = house.settings.cel_file
    return found


def read(house: Any, **how: Any) -> int:
    return Meter(house.settings, house.database, **how).read_once()


def total(house: Any, call_id: str) -> int | None:
    receipt = house.get(call_id).receipt
    return None if receipt is None else receipt.total


def rows(house: Any) -> int:
    found: int = house.database.do(lambda s: s.scalar(select(func.count()).select_from(CelRow)))
    return found


def gaps(house: Any) -> list[str]:
    found: list[str] = house.database.do(lambda s: [gap.text for gap in log_gaps.find(s)])
    return found


def pack(path: Path, kind: str) -> Path:
    packed = path.with_name(path.name + kind)
    packed.write_bytes(PACKERS[kind](path.read_bytes()))
    path.unlink()
    return packed


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("name", ["taxiphone.csv.1", "taxiphone.csv-20261126", "taxiphone-20261126.csv"])
def test_a_log_that_was_compressed_while_the_program_was_down_is_read_on(
    house: Any, call_id: str, log: Path, kind: str, name: str
) -> None:
    lines = house.talk(call_id)
    house.write(*lines[:5])
    read(house)
    house.write(lines[5])
    log.rename(log.with_name(name))
    pack(log.with_name(name), kind)
    house.write(*lines[6:])
    assert read(house) == 8
    assert (total(house, call_id), rows(house), gaps(house)) == (155, 13, [])


def test_several_compressed_files_are_read_in_the_order_in_which_they_were_written(
    house: Any, call_id: str, log: Path
) -> None:
    lines = house.talk(call_id)
    for number, begin, end in ((3, 0, 4), (2, 4, 6), (1, 6, 9)):
        house.write(*lines[begin:end])
        log.rename(log.with_name(f"taxiphone.csv.{number}"))
        pack(log.with_name(f"taxiphone.csv.{number}"), ".gz")
    house.write(*lines[9:])
    assert read(house) == 13
    assert (total(house, call_id), gaps(house)) == (155, [])


def test_a_file_that_is_there_twice_while_it_is_compressed_is_read_once(
    house: Any, call_id: str, log: Path
) -> None:
    lines = house.talk(call_id)
    house.write(*lines[:8])
    moved = log.rename(log.with_name("taxiphone.csv.1"))
    moved.with_name("taxiphone.csv.1.gz").write_bytes(gzip.compress(moved.read_bytes())[:60])
    house.write(*lines[8:])
    assert read(house) == 13
    assert (rows(house), total(house, call_id)) == (13, 155)


def test_a_truncated_compressed_file_is_read_as_far_as_possible_and_reported(
    house: Any, call_id: str, log: Path
) -> None:
    house.write(*house.talk(call_id), *(f'"X_{n:030d}"\n' for n in range(3)))
    packed = pack(log.rename(log.with_name("taxiphone.csv.1")), ".gz")
    packed.write_bytes(packed.read_bytes()[:-12])
    read(house)
    assert any("compression is damaged" in text for text in gaps(house))
    assert "log gap" in house.problems()


def test_a_file_of_an_unknown_compression_is_reported(house: Any, call_id: str, log: Path) -> None:
    house.write(*house.talk(call_id))
    log.with_name("taxiphone.csv.1.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    read(house)
    assert total(house, call_id) == 155
    [text] = gaps(house)
    assert "taxiphone.csv.1.zst can't be read" in text
    assert "zstd" in text


def test_a_log_deleted_before_it_was_read_is_an_alarm(house: Any, call_id: str, log: Path) -> None:
    house.write(*house.talk(call_id)[:5])
    read(house)
    house.write(*house.talk(call_id)[5:])
    log.unlink()
    read(house)
    [text] = gaps(house)
    assert "is gone" in text
    assert house.problems() == ["log gap"]


def test_a_log_that_was_emptied_without_a_copy_is_an_alarm_while_the_program_runs(
    house: Any, call_id: str, log: Path
) -> None:
    lines = house.talk(call_id)
    house.write(*lines[:6])
    reader = Meter(house.settings, house.database)
    reader.read_once()
    os.truncate(log, 0)
    house.write(*lines[6:])
    reader.read_once()
    assert total(house, call_id) == 155
    assert len(gaps(house)) == 1


def test_garbage_and_zeros_after_a_crash_lose_no_complete_row_and_are_reported(
    house: Any, call_id: str, log: Path
) -> None:
    lines = house.talk(call_id)
    house.write(*lines[:6])
    with log.open("ab") as file:
        file.write(b"\0" * 3_000_000)
    house.write(*lines[6:9])
    with log.open("ab") as file:
        file.write(b"\xff\xfe\x00rubbish\n")
    house.write(*lines[9:])
    read(house)
    assert (total(house, call_id), rows(house)) == (155, 13)
    assert gaps(house)


def test_the_last_line_of_a_file_that_is_closed_needs_no_line_break(
    house: Any, call_id: str, log: Path
) -> None:
    lines = house.talk(call_id)
    house.write(*lines[:6], lines[6][:-1])
    log.rename(log.with_name("taxiphone.csv.1"))
    house.write(*lines[7:])
    assert read(house) == 13
    assert (total(house, call_id), gaps(house)) == (155, [])


def test_the_program_keeps_the_log_within_a_size_and_loses_no_row(house: Any, log: Path) -> None:
    consultant = house.consultant()
    ids = [house.call(house.client(code=f"70{n:02d}"), consultant) for n in range(12)]
    reader = Meter(house.settings, house.database, rotate_bytes=1_000)
    for each in ids:
        house.write(*house.talk(each))
        reader.read_once()
        reader.read_once()
    assert [total(house, each) for each in ids] == [155] * 12
    assert rows(house) == 13 * 12
    assert gaps(house) == []
    packed = sorted(log.parent.glob("*.gz"))
    assert len(packed) == log_rotation.KEPT
    assert sum(path.stat().st_size for path in log.parent.iterdir()) < 12 * len("".join(house.talk(ids[0])))
    read(house)
    assert rows(house) == 13 * 12


def test_each_time_that_rotation_begins_to_fail_is_logged(
    house: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> bool:
        raise OSError("read-only")

    call_id = house.call(house.client(), house.consultant())
    lines = house.talk(call_id)
    reader = Meter(house.settings, house.database)
    for position, works in enumerate((False, False, True, False)):
        house.write(lines[position])
        with monkeypatch.context() as patch:
            if not works:
                patch.setattr(log_rotation, "rotate", fails)
            reader.read_once()
    assert caplog.text.count("can't be rotated") == 2


def test_rows_after_zeros_at_the_beginning_are_read_and_the_zeros_are_a_gap(house: Any, log: Path) -> None:
    call_id = house.call(house.client(), house.consultant())
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(bytes(70_000) + b"\n" + "".join(house.talk(call_id)).encode())
    assert read(house) == 14
    assert total(house, call_id) == 155
    [gap] = gaps(house)
    assert "byte 0" in gap


def test_a_file_that_is_not_read_yet_is_neither_compressed_nor_deleted(log: Path) -> None:
    log.parent.mkdir(parents=True)
    log.write_text("x" * 100, encoding="utf-8")
    assert log_rotation.rotate(log, datetime(2026, 11, 27, tzinfo=UTC), 100)
    log_rotation.tidy(log, lambda _: False, kept=0)
    assert [path.name for path in log.parent.iterdir()] == ["taxiphone.csv.20261127T000000000000Z"]
    log_rotation.tidy(log, lambda _: True, kept=1)
    assert [path.name for path in log.parent.iterdir()] == ["taxiphone.csv.20261127T000000000000Z.gz"]


def test_a_gap_is_an_alarm_until_it_is_settled(house: Any) -> None:
    house.database.do(lambda s: log_gaps.note(s, "k", "something is gone."))
    app = house.app
    [told] = json.loads(CliRunner().invoke(ledger_command, ["gaps", "--json"], obj=app).stdout)
    assert told["text"] == "something is gone."
    done = CliRunner().invoke(ledger_command, ["gaps", "--settle", str(told["id"])], obj=app)
    assert "No gaps." in done.stdout
    assert house.problems() == []
    assert CliRunner().invoke(ledger_command, ["gaps", "--settle", "99"], obj=app).exit_code != 0
