"""The units in packaging/systemd are valid and hardened according to systemd, and leave Asterisk alone."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "packaging/systemd").glob("*.service"))
EXPOSURE = 20  # tenths of systemd's points; a unit without any protection has 96


@pytest.fixture(params=UNITS, ids=lambda unit: unit.stem)
def unit(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def directives(unit: Path) -> dict[str, list[str]]:
    found = defaultdict(list)
    for line in unit.read_text(encoding="utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[key].append(value)
    return dict(found)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_systemd_accepts_the_unit_without_a_warning(unit: Path, tmp_path: Path) -> None:
    # It looks whether what is to be run is there: on this machine it lies elsewhere.
    text = unit.read_text(encoding="utf-8")
    for program in ("/opt/taxiphone/.venv/bin/taxiphone", "/usr/sbin/asterisk"):
        text = text.replace(program, "/bin/true")
    here = tmp_path / unit.name
    here.write_text(text, encoding="utf-8")
    done = analyze("verify", str(here))
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, [])


def test_systemd_rates_the_unit_as_hardened(unit: Path) -> None:
    done = analyze("security", "--offline=yes", f"--threshold={EXPOSURE}", str(unit))
    assert done.returncode == 0, done.stdout


def test_the_unit_of_serve_never_kills_asterisk_with_it() -> None:
    found = directives(ROOT / "packaging/systemd/taxiphone.service")
    assert found["KillMode"] == ["process"]
    assert found["OOMPolicy"] == ["continue"]
    assert found["Restart"] == ["always"]
    assert found["StartLimitIntervalSec"] == ["0"]
    # Another /tmp at each start would hide a control socket that lay there: the state's path is short enough.
    state = Path("/var/lib") / found["StateDirectory"][0]
    assert len(str(state / "asterisk/run/asterisk.ctl")) <= 107


def test_a_unit_gives_the_files_that_many_talks_need(unit: Path) -> None:
    assert int(directives(unit)["LimitNOFILE"][0]) >= 11_000


def test_what_the_units_name_is_in_the_documentation() -> None:
    told = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    for name in (
        *(unit.name for unit in UNITS),
        "KillMode=process",
        "OOMPolicy=continue",
        "LimitNOFILE=65536",
    ):
        assert name in told
    for unit in UNITS:
        assert directives(unit)["Documentation"] == ["file:/opt/taxiphone/docs/deploy.md"]
