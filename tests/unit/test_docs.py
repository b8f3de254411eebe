"""Every command, option and path mentioned in README.md and docs/ exists, and the commands run where possible."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import every_command
import pytest
from click.testing import CliRunner

from taxiphone.cli import taxiphone

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + [*ROOT.glob("docs/**/*.md")]
)
# Pages that are made from the program itself, and held against it by tests of their own.
GENERATED = {"docs/cli.md"}
TEXTS = {
    str(page.relative_to(ROOT)): page.read_text(encoding="utf-8")
    for page in PAGES
    if str(page.relative_to(ROOT)) not in GENERATED
}

ROOMS = "agi|ari_app|bench|billing|commands|demo|dialplan|directory|docs|packaging|recordings|server|simulate|speech|store"
PATH = re.compile(
    rf"(?<![\w/.{{-])((?:(?:{ROOMS}|tests|unit|scenarios|e2e)/[\w*/.-]*[\w*/])|[a-z_]+\.py|[A-Z]{{4,}}\.md)"
)
# Not of the repository: what the state folder and other programs have, files that a page speaks of and does not have.
ELSEWHERE = re.compile(r"recordings/$|e2e/$|unit/$|scenarios/$")

UNUSABLE = 2  # click's exit code for a command line that it can't read

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}(?=taxiphone )(.*)$", re.MULTILINE)
INLINE = re.compile(r"`(taxiphone [^`]+)`", re.DOTALL)
SHORT = re.compile(r"`([a-z]+ [a-z][a-z-]*)(?: [^`]*)?`")
LAST = re.compile(r"\s(?:#|\||\.\.\.|>|&&|;)(?:\s.*)?$")

# What a page's placeholders stand for in the house of every_command.
MEANT = {
    **dict.fromkeys(("ID", "CALL"), every_command.CALL),
    "CODE": "101",
    "CLIENT": "7001",
    "TEXT": "a word",
    "AMOUNT": "0.01",
    "DATE": "2026-11-22",
}
# In that house there is nothing of the kind to do: a call that has no price, a hold that is left, a gap in the log.
NOTHING_TO_DO = {"call rate", "ledger release-holds"}
# They run for long, fetch something, or need an Asterisk, a file or a database that is not there.
NOT_RUN = {
    *("serve", "demo", "init", "db copy", "call simulate", "quote", "recording delete"),
    *("asterisk " + word for word in ("install", "uninstall", "config", "status", "stop", "cli")),
    *("prompts " + word for word in ("build", "use", "drop", "name", "names", "install")),
}
# docs/pricing.md is run by test_quote_docs.py; the changelog speaks of commands as they were.
ELSEWHERE_RUN = {"docs/pricing.md", "CHANGELOG.md"}


def commands(text: str) -> Iterator[str]:
    """Yield every command line of a page in order, from code blocks and sentences."""
    found = [(block.start(), line) for block in FENCE.finditer(text) for line in block[0].splitlines()]
    found += [(line.start(), line[1]) for line in INDENTED.finditer(text)]
    rest = FENCE.sub(lambda block: " " * len(block[0]), text)
    found += [(line.start(), line[1]) for line in INLINE.finditer(rest)]
    for _, line in sorted(found, key=lambda each: each[0]):
        for part in re.split(r" {2,}(?=taxiphone )", re.sub(r"\s*\n\s*", " ", line).strip()):
            command = re.split(r" {2,}", part.removeprefix("$ ").rpartition("/bin/")[2])[0]
            if command.startswith("taxiphone ") and "$" not in command:
                yield LAST.sub("", command)


def words_of(command: str) -> list[str]:
    # (A|B), [A] and A|B stand for one of them.
    return [word.split("|")[0] for word in shlex.split(command.replace("[", "").replace("]", ""))[1:]]


def found(words: list[str]) -> tuple[str, click.Command, list[str]]:
    """Return the command that a line names and its remaining words."""
    command: click.Command = taxiphone
    context = click.Context(taxiphone)
    name: list[str] = []
    rest = list(words)
    while rest and rest[0] == "--config":
        del rest[:2]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        inner = command.get_command(context, rest[0])
        assert inner is not None, f"there is no command {' '.join([*name, rest[0]])}"
        command, name = inner, [*name, rest.pop(0)]
    return " ".join(name), command, rest


@pytest.mark.parametrize("page", TEXTS)
def test_every_command_of_a_page_exists_with_its_options(page: str) -> None:
    for line in commands(TEXTS[page]):
        _, command, rest = found(words_of(line))
        options = {name for each in command.params for name in [*each.opts, *each.secondary_opts]}
        unknown = [word for word in rest if word.startswith("-") and word != "-" and word not in options]
        assert not unknown or set(unknown) <= {"--help", "-h", "--version"}, line


@pytest.mark.parametrize("page", TEXTS)
def test_every_command_without_the_programs_name_exists(page: str) -> None:
    groups = {"asterisk", "billing", "call", "client", "consultant", "db", "ledger", "number", "payout"}
    groups |= {"prompts", "receipt", "recording"}
    for line in SHORT.findall(FENCE.sub("", TEXTS[page])):
        if line.split()[0] in groups:
            found(line.split())


@pytest.mark.parametrize("page", TEXTS)
def test_every_path_of_a_page_exists(page: str) -> None:
    present = TEXTS[page].partition("## Former words")[0]
    for path in PATH.findall(present):
        if ELSEWHERE.search(path):
            continue
        below = f"tests/{path}" if re.match("unit|scenarios|e2e", path) else path
        number = "*" if re.search(r"adr/\d{4}$", below) else ""
        anywhere = "**/" if "/" not in below else ""
        assert next(ROOT.glob(f"{anywhere}{below.rstrip('/')}{number}"), None), path


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if not re.match(r"https?:|#", link):
            assert (ROOT / page).parent.joinpath(link.partition("#")[0]).exists(), link


def test_the_readme_names_every_page() -> None:
    table = TEXTS["README.md"].partition("## Documentation")[2]
    pages = {str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md")}
    assert {page for page in pages if page not in table} == set()


def test_the_pages_draw_the_rooms_in_the_order_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = [layer.split(" | ") for layer in contracts[0]["layers"]]
    level = {room: number for number, rooms in enumerate(layers) for room in rooms}
    rooms = {room for room in level if (ROOT / room).is_dir()}
    table = re.findall(
        r"^\| `([a-z_]+)/?(?:\.py)?`(?:, `([a-z_]+)/?`)?",
        TEXTS["README.md"].partition("## The code")[2],
        re.MULTILINE,
    )
    listed = [room for row in table for room in row if room in level]
    assert rooms <= set(listed)
    assert [level[room] for room in listed] == sorted(level[room] for room in listed)
    drawn = re.findall(r"^    (\w+)(?:\[.*?\])? --> (\w+)", TEXTS["docs/architecture.md"], re.MULTILINE)
    arrows = [(level[above], level[below]) for above, below in drawn if above in level and below in level]
    assert rooms <= {room for arrow in drawn for room in arrow}
    assert all(above < below for above, below in arrows)


@pytest.mark.parametrize("page", ["README.md", "docs/install.md"])
def test_the_first_steps_lead_to_a_platform_with_a_clean_ledger(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = list(commands(TEXTS[page]))
    first = next(place for place, line in enumerate(lines) if line.startswith("taxiphone init"))
    last = next(place for place, line in enumerate(lines) if line.startswith("taxiphone doctor"))
    code = ""
    for line in lines[first:last]:
        name, _, _ = found(words_of(line))
        if name.startswith("asterisk"):
            continue
        more = ["--json"] if name == "consultant add" else []
        said = run([code if word == "CODE" else word for word in words_of(line)] + more)
        code = json.loads(said)["code"] if more else code
    assert "No problems" in run(["ledger", "check"])


def test_the_backup_of_the_page_restores_a_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both scripts of docs/operations.md, with this machine's paths and without systemd and other users."""
    home, saved = tmp_path / "home", tmp_path / "saved"
    home.mkdir()
    monkeypatch.chdir(home)
    run(["init", "--cli", "+33199001200", "--trunk", "127.0.0.1"])
    run(["client", "add", "Alex", "--number", "+33639980001"])
    run(["client", "top-up", "+33639980001", "50"])
    before = run(["client", "list", "--json"])
    (home / "var/asterisk/log/cel-custom").mkdir(parents=True)
    (home / "var/asterisk/log/cel-custom/taxiphone.csv").touch()
    backup, restore = re.findall(
        r"^```sh\n(.*?)^```$", TEXTS["docs/operations.md"], re.MULTILINE | re.DOTALL
    )[:2]
    backup = re.sub(r"^into=.*", f"into={saved}", backup, flags=re.MULTILINE)
    backup = backup.replace("state=/var/lib/taxiphone", f"state={home}/var").replace(
        "/etc/taxiphone/*", f"{home}/*.toml"
    )
    python = f"{sys.executable} -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute(sys.argv[2])'"
    shell(backup if shutil.which("sqlite3") else backup.replace("\nsqlite3 ", f"\n{python} "), tmp_path)
    restore = re.sub(r"^(?:systemctl|chown) .*\n", "", restore, flags=re.MULTILINE)
    restore = restore.replace("-o taxiphone -g taxiphone ", "").replace("/var/lib/taxiphone", f"{home}/var")
    shell(f"set -eu\n{restore}", saved)
    assert "everything sums to zero" in run(["ledger", "check"])
    assert run(["client", "list", "--json"]) == before
    assert (home / "var/asterisk/log/cel-custom/taxiphone.csv").exists()


def shell(script: str, folder: Path) -> None:
    subprocess.run(["/bin/sh", "-c", script], cwd=folder, check=True)


def run(words: list[str]) -> str:
    result = CliRunner().invoke(taxiphone, words, catch_exceptions=False)
    assert result.exit_code == 0, (words, result.output)
    return result.stdout


def test_the_commands_of_the_pages_run(
    sqlite_house: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Run all commands on one small platform in the order of the pages, and list those that fail."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = every_command.furnish(sqlite_house)
    (file.parent / "var" / "prompts").mkdir(exist_ok=True)
    shutil.copy(ROOT / "speech/prompts/en.toml", file.parent / "var" / "prompts" / "de.toml")
    monkeypatch.chdir(file.parent)
    refused = []
    for line in dict.fromkeys(
        line for page in TEXTS if page not in ELSEWHERE_RUN for line in commands(TEXTS[page])
    ):
        name, command, rest = found(words_of(line))
        if isinstance(command, click.Group) or name in NOT_RUN:
            continue
        words = [*name.split(), *(MEANT.get(word, word) for word in rest)]
        needed = [each for each in command.params if each.required and not set(each.opts) & set(rest)]
        arguments = [word for word in rest if not word.startswith("-")]
        if "--settle" in rest or (needed and not arguments):
            continue  # a sentence about the command, without what it needs
        result = CliRunner().invoke(taxiphone, ["--config", str(file), *words])
        fine = name in {"doctor", "asterisk check", *NOTHING_TO_DO} and result.exit_code != UNUSABLE
        if result.exit_code != 0 and not fine:
            refused.append(f"{line}: {result.exception} {result.output[-200:]}")
    assert not refused, "\n".join(refused)
