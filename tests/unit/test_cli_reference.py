"""Every command has complete help, an entry in docs/cli.md, and examples that work."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import every_command
import pytest
from click.testing import CliRunner

from taxiphone.cli import taxiphone
from taxiphone.commands.lazy import LazyGroup, summary_of
from taxiphone.errors import TaxiphoneError
from taxiphone.store.models import ClientNumber

ROOT = Path(__file__).parents[2]

# Not run, for the reason given.
NOT_RUN = {
    "serve": "runs until it is ended",
    "demo": "a real call",
    "asterisk install": "fetches packages",
    "asterisk uninstall": "removes what other tests need",
    "asterisk status": "needs a running Asterisk",
    "asterisk stop": "needs a running Asterisk",
    "asterisk cli": "needs a running Asterisk",
    "prompts build": "needs the synthesizer",
    "prompts install": "fetches packages",
    "prompts name": "needs the synthesizer",
    "prompts names": "needs the synthesizer",
    "prompts use": "needs a recording",
}
# The command line is right; the platform of this test has nothing for it.
REFUSED = {
    "init --cli +33199001200 --trunk sip.carrier.example": "there is a file",
    "call rate 261122-7gq4mk": "the call has its price",
    "call simulate": "no terminal",
    "call simulate --client 7001 --number +33199001234": "no terminal",
    "ledger release-holds --call 261122-7gq4mk": "no hold is left",
    "ledger gaps --settle 3": "no gap",
    "prompts drop welcome --language fr": "no recording",
    "db copy postgresql+psycopg://taxiphone@db.example.org/taxiphone": "no such server",
}
INPUT = {"client pin": "4712\n"}
NO_ASTERISK = ("doctor", "asterisk check")


def groups(command: click.Command = taxiphone, words: tuple[str, ...] = ()) -> Any:
    """Every group by its words."""
    if isinstance(command, click.Group):
        yield " ".join(words), command
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from groups(found, (*words, name))


def examples(command: click.Command) -> list[str]:
    """The command lines of a command's epilog; a line that is indented further continues the one before."""
    lines = (command.epilog or "").removeprefix("\b\nExamples:\n")
    return [line.strip() for line in re.sub(r"\|\n\s+", "| ", lines).splitlines()]


EXAMPLES = [(name, example) for name, command in every_command.leaves() for example in examples(command)]


def test_docs_cli_md_is_up_to_date():
    # In a process of its own: click keeps a command's --help as it was first asked for, which another test may have done.
    command = [sys.executable, "-m", "taxiphone", "man", "--format", "markdown"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs/cli.md").read_text("utf-8") == printed, "run: make docs"


def test_a_group_has_help_and_its_table_says_what_its_commands_say():
    for name, group in groups():
        assert summary_of(group), name
        assert isinstance(group, LazyGroup), name
        told = {each: lazy.help for each, lazy in group.lazy.items()}
        assert told == {
            each: summary_of(group.get_command(click.Context(group), each)) for each in group.lazy
        }


def test_a_command_its_options_and_arguments_have_help_and_there_is_an_example():
    for name, command in every_command.leaves():
        assert summary_of(command).endswith("."), f"{name}: one sentence first"
        assert [fault for parameter in command.params if (fault := unexplained(command, parameter))] == [], (
            name
        )
        assert examples(command), name
        assert all(f"taxiphone {name}" in example for example in examples(command)), name


def unexplained(command: click.Command, parameter: click.Parameter) -> str | None:
    """A parameter's name if nothing explains it. The help of a command explains its arguments."""
    if isinstance(parameter, click.Option):
        told = bool(parameter.help) and parameter.help[0].isupper()
    else:
        word = parameter.make_metavar(click.Context(command)).strip("[].")
        told = isinstance(parameter.type, click.Choice) or bool(re.search(rf"\b{word}\b", command.help or ""))
    return None if told else parameter.name


def test_every_example_is_run_or_left_out_for_a_reason():
    run = {name for name, _ in EXAMPLES}
    assert run >= NOT_RUN.keys()
    assert all(any(example.startswith(f"taxiphone {each}") for _, example in EXAMPLES) for each in REFUSED)


def test_the_examples_work(sqlite_house: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = every_command.furnish(sqlite_house)
    prepare(sqlite_house, file.parent)
    monkeypatch.chdir(file.parent)
    wrong = []
    for name, example in EXAMPLES:
        if name in NOT_RUN or "printf" in example:
            continue
        result = CliRunner().invoke(
            taxiphone, ["--config", str(file), *words_of(example, file.parent)], input=INPUT.get(name)
        )
        refused = isinstance(result.exception, TaxiphoneError)
        may_be_refused = any(example.startswith(f"taxiphone {each}") for each in REFUSED)
        if not (refused and may_be_refused) and result.exit_code != (1 if name in NO_ASTERISK else 0):
            wrong.append((example, result.output, repr(result.exception)))
    assert wrong == [], "\n".join(map(str, wrong))


def test_the_example_of_a_script_for_a_simulated_call_works_without_any_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    [example] = [example for _, example in EXAMPLES if "printf" in example]
    printf, _, command = example.partition("|")
    script = subprocess.run(["/bin/bash", "-c", printf], capture_output=True, text=True, check=True).stdout
    result = CliRunner().invoke(taxiphone, shlex.split(command)[1:], input=script)
    assert result.exit_code == 0, result.output
    assert "Outcome: talked" in result.output


def prepare(house: Any, folder: Path) -> None:
    """Add the people and numbers named in the examples."""
    (folder / "taxiphone").mkdir()
    for code in ("102", "4271"):
        house.consultant(code=code)
    client = house.client(code="48210377")
    called = ClientNumber(number="+33639985678", client_id=client)
    house.database.do(
        lambda session: session.add_all([called, ClientNumber(number="+33612345678", client_id=2)])
    )
    (folder / "tariff.json").write_text(
        '{"currency": "EUR", "segments": [{"from": 0, "price_per_minute": "1.55"}], "recording_fee": "5.00"}',
        encoding="utf-8",
    )


def words_of(example: str, folder: Path) -> list[str]:
    """An example's words without the program's name and redirections, with the platform's call and paths of the test."""
    for said, meant in {
        "261122-7gq4mk": every_command.CALL,
        "7gq4mk": every_command.CALL[-6:],
        "/etc/": f"{folder}/",
        "/var/lib/taxiphone": str(folder),
    }.items():
        example = example.replace(said, meant)
    command = re.split(r" > | && ", example.replace('eval "$(', "").replace(')"', ""))[0]
    return shlex.split(command, comments=True)[1:]
