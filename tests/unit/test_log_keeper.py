"""The logs stay within their size limit, whatever is written."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from taxiphone.dialplan.asterisk import log_keeper
from taxiphone.dialplan.asterisk.log_keeper import Bounds, rotate

BOUNDS = Bounds(log_bytes=10, spare_bytes=1000)


def wait_for(file: Path) -> None:
    give_up = time.monotonic() + 20
    while not file.exists() and time.monotonic() < give_up:
        time.sleep(0.02)


def sizes(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_grown_log_is_rotated_and_only_a_few_files_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "messages.log"
    log.write_text("short")
    rotate(tmp_path, BOUNDS)
    assert sizes(tmp_path) == {"messages.log": "short"}
    for number in range(8):
        log.write_text(f"log number {number}")
        rotate(tmp_path, BOUNDS)
    kept = {f"messages.log.{place}": f"log number {8 - place}" for place in range(1, 5)}
    assert sizes(tmp_path) == kept | {"messages.log": ""}


def test_who_has_the_log_open_goes_on_writing_into_the_same_file(tmp_path: Path) -> None:
    with (tmp_path / "security.log").open("a") as asterisk:
        for _ in range(3):
            asterisk.write("something long")
            asterisk.flush()
            rotate(tmp_path, BOUNDS)
        asterisk.write("end")
    assert (tmp_path / "security.log").read_text() == "end"


def test_where_the_disk_is_nearly_full_the_logs_give_way(tmp_path: Path) -> None:
    for name in ("messages.log", "messages.log.1", "refused.log.4", "notices.log", "console.log"):
        (tmp_path / name).write_text("something long")
    (tmp_path / "security.log").write_text("short")
    rotate(tmp_path, BOUNDS, free=lambda _: 999)
    left = {"messages.log": "", "notices.log": "", "console.log": "", "security.log": "short"}
    assert sizes(tmp_path) == left


def test_the_keeper_is_one_and_ends_with_asterisk(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as asterisk:
        keeper = log_keeper.start(tmp_path, asterisk.pid, ["true"], BOUNDS)
        assert keeper is not None
        wait_for(tmp_path / "refused.log")
        assert log_keeper.start(tmp_path, asterisk.pid, ["true"], BOUNDS) is None
        asterisk.kill()
    assert keeper.wait(10) == 0
    assert not log_keeper.is_kept(tmp_path)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_refused_requests_that_can_not_be_written_do_not_stop_the_rotation(tmp_path: Path) -> None:
    (tmp_path / "refused.log").mkdir()
    (tmp_path / "messages.log").write_text("something long")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as asterisk:
        keeper = log_keeper.start(tmp_path, asterisk.pid, ["true"], BOUNDS)
        assert keeper is not None
        wait_for(tmp_path / "messages.log.1")
        asterisk.kill()
    assert keeper.wait(10) == 0
    assert (tmp_path / "messages.log.1").read_text() == "something long"


def test_the_manuals_command_keeps_the_logs_of_an_asterisk_that_somebody_else_runs(tmp_path: Path) -> None:
    manual = (Path(__file__).parents[2] / "docs/logs.md").read_text(encoding="utf-8")
    [command] = re.findall(
        r"^    python3 (-m taxiphone\.dialplan\.asterisk\.log_keeper .*)$", manual, re.MULTILINE
    )
    (tmp_path / "messages.log").write_bytes(b"x" * 10_000_001)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as asterisk:
        words = command.replace('"$(cat /run/asterisk/asterisk.pid)"', str(asterisk.pid)).split()
        with subprocess.Popen([sys.executable, *words], cwd=tmp_path) as keeper:
            wait_for(tmp_path / "messages.log.1")
            asterisk.kill()
            assert keeper.wait(10) == 0
    assert (tmp_path / "messages.log.1").stat().st_size == 10_000_001
    assert (tmp_path / "messages.log").stat().st_size == 0
    assert (tmp_path / "refused.log").exists()
