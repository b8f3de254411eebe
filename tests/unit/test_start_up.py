"""Commands start quickly: what isn't needed isn't imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import every_command
import pytest

HEAVY = {
    "alembic",
    "babel.dates",
    "fpdf",
    "jinja2",
    "panoramisk",
    "psycopg",
    "pydub",
    "rich",
    "sqlalchemy.dialects.postgresql",
    "websockets",
}
DATABASE = {"pydantic", "phonenumbers", "babel", "sqlalchemy"}
ROOMS = {
    "agi",
    "ari_app",
    "billing",
    "demo",
    "dialplan",
    "directory",
    "recordings",
    "server",
    "simulate",
    "speech",
}
LISTINGS = [
    name
    for name in every_command.READS
    if (name.endswith(" list") and name != "prompts list") or name == "ledger balances"
]
PROGRAM = """
import json, sys
from taxiphone import cli
sys.argv = ["taxiphone", *sys.argv[1:]]
try:
    cli.main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported(*words: str, cwd: Path | None = None) -> set[str]:
    """The modules that a command line imports."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--help"], ["client", "--help"], ["call", "--help"], ["--version"]])
def test_help_imports_no_layer_and_no_library_but_click(words: list[str]) -> None:
    found = imported(*words)
    assert found & (HEAVY | DATABASE | {"argon2"}) == set()
    assert found & {f"taxiphone.{room}" for room in ROOMS | {"settings", "store"}} == set()


def test_the_list_of_clients_is_read_without_the_orm(sqlite_house: Any) -> None:
    file = every_command.furnish(sqlite_house)
    found = imported("--config", str(file), "client", "list")
    assert "sqlalchemy" in found
    assert found & {"sqlalchemy.orm", "taxiphone.store.models"} == set()


def test_a_listing_imports_only_what_it_lists_with(sqlite_house: Any) -> None:
    file = every_command.furnish(sqlite_house)
    for name in LISTINGS:
        found = imported("--config", str(file), *name.split())
        assert found & HEAVY == set(), name
        rooms = ("agi", "ari_app", "demo", "server", "simulate", "speech.synthesis")
        assert {room for room in rooms if f"taxiphone.{room}" in found} == set(), name
