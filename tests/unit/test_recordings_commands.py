"""`recording list`, `export` and `delete`, and what `doctor` reports about recordings."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from taxiphone.cli import taxiphone
from taxiphone.errors import RecordingError, TaxiphoneError, UsageError
from taxiphone.server.checks.check_recordings import check
from taxiphone.store.models import Recording

SOUND = b"ID3 and then the sound"


@pytest.fixture
def run(house: Any) -> Callable[..., Result]:
    text = '[platform]\ncli = "+33199000000"\n[trunk]\nhost = "127.0.0.1"\n'
    house.settings.file.write_text(f'{text}[database]\nurl = "{house.settings.database_url}"\n')

    def run(*words: str) -> Result:
        result = CliRunner().invoke(taxiphone, ["--config", str(house.settings.file), "recording", *words])
        if isinstance(result.exception, TaxiphoneError):
            raise result.exception
        return result

    return run


@pytest.fixture
def ready(house: Any) -> str:
    call_id: str = house.call(house.client(), house.consultant(), recorded=True)
    house.settings.recordings.mkdir(mode=0o700)
    (house.settings.recordings / "a.mp3").write_bytes(SOUND)

    def work(session: Any) -> None:
        found = session.get_one(Recording, call_id)
        found.status, found.mp3, found.milliseconds = "ready", "a.mp3", 83_400
        found.sha256, found.kept_until = hashlib.sha256(SOUND).hexdigest(), date(2027, 2, 20)

    house.database.do(work)
    return call_id


def test_a_recording_is_listed_with_its_path_and_length(
    run: Callable[..., Result], ready: str, house: Any
) -> None:
    assert json.loads(run("list", "--json").output) == [
        {
            "call": ready,
            "status": "ready",
            "milliseconds": 83_400,
            "bytes": len(SOUND),
            "sha256": hashlib.sha256(SOUND).hexdigest(),
            "kept_until": "2027-02-20",
            "path": str(house.settings.recordings / "a.mp3"),
            "tries": 0,
            "note": None,
        }
    ]
    assert "1:23" in run("list").output


def test_an_empty_list_says_so(run: Callable[..., Result]) -> None:
    assert run("list").output == "No recordings yet.\n"


def test_an_export_is_the_same_file_for_its_owner_only(
    run: Callable[..., Result], ready: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.mp3"
    assert run("export", ready, str(copy)).exit_code == 0
    assert copy.read_bytes() == SOUND
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert run("export", ready, "-").stdout_bytes == SOUND


def test_an_export_overwrites_nothing_without_force(
    run: Callable[..., Result], ready: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.mp3"
    copy.write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        run("export", ready, str(copy))
    assert copy.read_text() == "mine"
    run("export", ready, str(copy), "--force")
    assert copy.read_bytes() == SOUND
    assert [path.name for path in tmp_path.glob(".copy*")] == []


def test_a_file_that_was_changed_is_not_handed_out(
    run: Callable[..., Result], ready: str, house: Any, tmp_path: Path
) -> None:
    (house.settings.recordings / "a.mp3").write_bytes(SOUND[:-1])
    with pytest.raises(RecordingError, match="was changed since"):
        run("export", ready, str(tmp_path / "copy.mp3"))
    (house.settings.recordings / "a.mp3").unlink()
    with pytest.raises(RecordingError, match="can't be copied"):
        run("export", ready, str(tmp_path / "copy.mp3"))
    assert not (tmp_path / "copy.mp3").exists()
    assert "the file is missing" in run("list", "--json").output


def test_a_deleted_recording_has_no_file_and_its_row_says_so(
    run: Callable[..., Result], ready: str, house: Any, tmp_path: Path
) -> None:
    run("delete", ready)
    assert list(house.settings.recordings.iterdir()) == []
    assert json.loads(run("list", "--json").output)[0]["status"] == "deleted"
    with pytest.raises(UsageError, match="deleted"):
        run("export", ready, str(tmp_path / "copy.mp3"))
    assert run("delete", ready).exit_code == 0


def test_the_call_of_a_recording_is_named_by_a_part_of_its_id(
    run: Callable[..., Result], ready: str, house: Any
) -> None:
    without = house.call(1, 1, accept=False)
    assert run("export", ready[-6:], "-").stdout_bytes == SOUND
    with pytest.raises(UsageError, match="more than one call"):
        run("delete", ready[:6])
    with pytest.raises(UsageError, match=f"call {without} has no recording"):
        run("delete", without[-2:])
    assert run("delete", ready[-2:]).output == f"Deleted the recording of call {ready}.\n"


def test_a_missing_or_unready_recording_is_reported(run: Callable[..., Result], house: Any) -> None:
    call_id = house.call(house.client(), house.consultant(), recorded=True)
    for verb in (("export", "no-call", "x.mp3"), ("delete", "no-call"), ("delete", call_id)):
        with pytest.raises(UsageError):
            run(*verb)
    with pytest.raises(UsageError, match="asked"):
        run("export", call_id, "x.mp3")


def test_the_doctor_finds_ffmpeg_and_closed_folders(house: Any) -> None:
    house.settings.recordings.mkdir(mode=0o700)
    assert [finding.what.split(":")[0] for finding in check(house.settings) if finding.ok] == [
        "ffmpeg",
        "the worker process for MP3s can be started",
        "MP3s",
    ]


def test_the_doctor_finds_what_is_wrong(house: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    house.settings.recordings.mkdir()
    house.settings.recordings.chmod(0o755)
    wrong = [finding for finding in check(house.settings) if finding.ok is False]
    assert [finding.what.split(":")[0] for finding in wrong] == ["ffmpeg", "MP3s"]
    assert all(finding.advice for finding in wrong)
