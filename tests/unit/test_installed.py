"""The documented installation works: from a checkout into a separate environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_LEFT_OUT = shutil.ignore_patterns(".*", "var", "build", "*.egg-info", "__pycache__", "taxiphone.toml")


def run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_checkout_with_the_postgresql_extra_installs_into_a_separate_environment(
    tmp_path: Path,
) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=_LEFT_OUT)
    own = tmp_path / "own"
    venv.create(own, with_pip=False, symlinks=True)
    python = own / "bin/python"
    # The libraries are there as if they had been fetched: this environment's, which come after its own packages.
    [packages] = own.glob("lib/python3*/site-packages")
    (packages / "fetched.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    offline = (
        "--disable-pip-version-check",
        "--no-index",
        "--no-build-isolation",
        "--ignore-installed",
        "--no-deps",
    )
    run(python, "-m", "pip", "install", *offline, ".", cwd=checkout)
    told = run(python, "-m", "pip", "install", *offline[:3], "--dry-run", ".[postgresql]", cwd=checkout)
    assert "psycopg" in told
    assert "no index" not in told
    said = run(
        python,
        "-c",
        "import psycopg, taxiphone; print(taxiphone.__file__); print(psycopg.__version__)",
        cwd=tmp_path,
    )
    assert said.splitlines()[0].startswith(str(packages))
    assert run(own / "bin/taxiphone", "--version", cwd=tmp_path)
    wrote = run(
        own / "bin/taxiphone", "init", "--cli", "+33199001200", "--trunk", "sip.example.org", cwd=tmp_path
    )
    assert "Wrote taxiphone.toml" in wrote


def test_pages_and_messages_name_only_packages_that_exist() -> None:
    places = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "store/database.py",
        *(ROOT / "settings_sections").glob("*.py"),
    ]
    named = [place for place in places if "pip install 'taxiphone" in place.read_text(encoding="utf-8")]
    assert named == []


def test_the_locked_environment_has_the_driver_for_postgresql() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert {line.partition("==")[0] for line in lines} >= {"psycopg", "psycopg-binary"}
