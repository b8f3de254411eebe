from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from taxiphone.dialplan.asterisk import locate
from taxiphone.errors import AsteriskMissingError
from taxiphone.settings import Settings


def fake(folder: Path, version: str, *, modules: bool = True) -> Path:
    """Create an Asterisk that only prints its version, in a package's file layout."""
    binary = folder / "sbin/asterisk"
    binary.parent.mkdir(parents=True)
    binary.write_text(f'#!/bin/sh\necho "{version}"\n')
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    if modules:
        place = folder / "lib/x86_64-linux-gnu/asterisk/modules"
        place.mkdir(parents=True)
        (place / "res_ari.so").touch()
    return binary


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with nothing on the PATH and nothing in the cache."""
    monkeypatch.setattr(locate, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(shutil, "which", lambda _: None)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Asterisk 22.10.1+dfsg+~cs6.17.60671434-1", (22, 10, 1)),
        ("Asterisk 20.20.1", (20, 20, 1)),
        ("Asterisk 23.5", (23, 5, 0)),
        ("Asterisk 20.6.0~dfsg+~cs6.13.40431414-2build5\n", (20, 6, 0)),
        ("Asterisk certified-20.7-cert3", None),
        ("Asterisk 22.11.0-rc1", None),
        ("Asterisk GIT-master-1a2b3c", None),
        ("", None),
    ],
)
def test_a_releases_version_is_read_and_nothing_else(text: str, version: locate.Version | None) -> None:
    assert locate.parse_version(text) == version


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ((20, 20, 0), False),
        ((20, 20, 1), True),
        ((21, 12, 9), False),
        ((22, 10, 0), False),
        ((22, 10, 1), True),
        ((22, 11, 0), True),
        ((23, 4, 0), False),
        ((23, 4, 1), True),
        ((24, 0, 0), True),
        ((18, 30, 0), False),
    ],
)
def test_only_versions_with_the_security_fixes_are_taken(version: locate.Version, enough: bool) -> None:
    assert locate.new_enough(version) is enough


@pytest.mark.usefixtures("bare")
def test_without_any_asterisk_the_command_to_run_is_shown() -> None:
    with pytest.raises(AsteriskMissingError, match="taxiphone asterisk install"):
        locate.find()


@pytest.mark.usefixtures("bare")
def test_one_on_the_path_that_is_new_enough_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = fake(tmp_path / "usr", "Asterisk 22.11.0")
    monkeypatch.setattr(shutil, "which", lambda _: str(binary))
    found = locate.find()
    assert (found.origin, found.version) == ("path", (22, 11, 0))
    assert found.command == (str(binary),)
    assert (found.modules / "res_ari.so").exists()


@pytest.mark.usefixtures("bare")
def test_an_asterisk_on_the_path_that_is_too_old_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: str(fake(tmp_path / "usr", "Asterisk 20.6.0")))
    with pytest.raises(AsteriskMissingError, match=r"20\.6\.0, which lacks security fixes.*asterisk install"):
        locate.find()


@pytest.mark.usefixtures("bare")
def test_the_one_that_the_settings_name_is_taken_and_no_other(tmp_path: Path) -> None:
    fake(tmp_path / "old", "Asterisk 18.1.0")
    settings = Settings(
        platform={"cli": "+33199001200"},
        trunk={"host": "192.0.2.7"},
        asterisk={"binary": "old/sbin/asterisk"},
        file=tmp_path / "taxiphone.toml",
    )
    with pytest.raises(AsteriskMissingError, match=r"18\.1\.0"):
        locate.find(settings)


@pytest.mark.usefixtures("bare")
def test_one_without_modules_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = fake(tmp_path / "usr", "Asterisk 22.11.0", modules=False)
    monkeypatch.setattr(shutil, "which", lambda _: str(binary))
    with pytest.raises(AsteriskMissingError, match="no ARI module found"):
        locate.find()
