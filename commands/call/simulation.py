"""`taxiphone call simulate`: the whole call in a terminal, without a telephone and without Asterisk."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from taxiphone.billing.papers import receipt_paper, receipts
from taxiphone.commands.console import App, examples, json_option, pass_app, print_json, say, styled
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.simulate import cast, clock, terminal
from taxiphone.simulate.clock import VirtualTimeLoop
from taxiphone.simulate.people import ScriptedPeople
from taxiphone.simulate.script import CLIENT, Deed, Part, parse
from taxiphone.simulate.story import BOTH, Story, Told
from taxiphone.simulate.world import Ended, World, world
from taxiphone.speech.prompt_texts import SHIPPED, Languages
from taxiphone.store.calls import Outcome
from taxiphone.store.database import Database
from taxiphone.store.models import Call

_STYLES: dict[str, dict[str, Any]] = {CLIENT: {"fg": "cyan"}, BOTH: {"bold": True}}
_CONSULTANT_STYLE: dict[str, Any] = {"fg": "green"}


@dataclass
class _Run:
    """A simulation and its results."""

    settings: Settings
    database: Database
    story: Story
    ended: list[Ended] = field(default_factory=list)
    left: list[Deed] = field(default_factory=list)


@click.command(
    "simulate",
    epilog=examples(
        "taxiphone call simulate",
        "taxiphone call simulate --client 7001 --number +33199001234",
        "taxiphone call simulate --hidden --script talk.txt --json",
        "printf 'client hears mode-choice: press 1\\nconsultant rings: answer\\n"
        "consultant hears accept-menu: press 1\\ntalk 75: client hangs up\\n' |\n"
        "    taxiphone call simulate --number +33199001234 --script -",
    ),
)
@click.option(
    "--client", metavar="CODE|NUMBER", help="The calling client. Default: the first one who may call."
)
@click.option(
    "--caller", metavar="NUMBER", help="Call from this number, whether or not it belongs to a client."
)
@click.option("--hidden", is_flag=True, help="Call with a hidden number.")
@click.option(
    "--number",
    metavar="DID",
    help="The platform's number to dial. Default: the first number shared by all consultants.",
)
@click.option(
    "--script",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True),
    help="A file with the actions of caller and consultants, one a line; - is standard input.",
)
@click.option("--language", metavar="LANG", help="The language that everyone hears.")
@json_option
@pass_app
def simulate(
    app: App,
    /,
    client: str | None,
    caller: str | None,
    hidden: bool,
    number: str | None,
    script: Path | None,
    language: str | None,
    as_json: bool,
) -> None:
    """Simulate a call from the first prompt to the receipt, without a telephone and without Asterisk.

    The call runs through the program's own application, meter and billing. It changes nothing: consultants, clients, prices
    and balances are copied into a temporary database. If there is no database yet, sample people are used. Time is
    simulated: a minute of talk passes at once. Without --script, you are asked for the keys of both sides.

    \b
    The lines of a script:
      client hears enter-code: press 1234#   at a prompt (taxiphone prompts list)
      consultant rings: answer               "consultant 2 rings": second phone
      consultant hears accept-menu: press 1  "after 3, press 1": 3 s later
      talk 75: client hangs up               75 s after both are connected
      ringing 5: client hangs up             5 s after the phone begins to ring
      at 10: client hangs up                 10 s after the call arrives
      client calls again after 20            the next call, 20 s later
      // a comment

    \b
    What people can do:
      at a prompt     press KEYS, hang up, nothing, sends nothing, line drops,
                      line dies
      at the phone    answer, busy, decline, ignore, unreachable
      at a time       client (or consultant) presses KEYS, hangs up, holds,
                      comes back; client's line drops, client's line dies

    The exit code is 1 if the call failed or if a line of the script was never reached.
    """  # noqa: D301 - click reads \b as "keep these lines"
    if sum((client is not None, caller is not None, hidden)) > 1:
        raise UsageError("give only one of --client, --caller and --hidden.")
    if script is None and (as_json or not sys.stdin.isatty()):
        raise UsageError(
            "there is no terminal to ask for keys: give a script with --script FILE, or --script - for standard input."
        )
    known = app.settings_if_any
    languages = SHIPPED if known is None else Languages.of_state(known.state)
    if language is not None:
        languages.texts(language)
    parts = None if script is None else parse(_read(script), SHIPPED.texts("en").clips)
    with tempfile.TemporaryDirectory(prefix="taxiphone-simulate-") as folder:
        settings, database = _stage(app, known, Path(folder), language)
        try:
            dialled, calls_from = database.read(
                lambda session: (
                    cast.dialled(session, number, settings),
                    "" if hidden else caller or cast.calling(session, client, settings),
                )
            )
            run = _Run(settings, database, Story(languages, (lambda _: None) if as_json else _print))
            clock.run(lambda loop: _live(loop, run, parts, dialled, calls_from))
            _show(run, as_json=as_json)
        finally:
            database.close()
    if run.left or any(each.outcome is Outcome.FAILED for each in run.ended):
        sys.exit(1)


def _read(script: Path) -> str:
    if str(script) == "-":
        return sys.stdin.read()
    try:
        return script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the script {script} can't be read: {error}.") from None


def _stage(
    app: App, settings: Settings | None, folder: Path, language: str | None
) -> tuple[Settings, Database]:
    """A temporary copy of the platform, or invented people."""
    if settings is not None and cast.is_there(settings):
        copied, database = cast.throw_away(settings, folder)
        cast.copy(app.database, database, copied)
    else:
        copied, database = cast.throw_away(cast.made_up(settings), folder)
        database.do(lambda session: cast.make_up(session, copied))
    if language is not None:
        platform = copied.platform.model_copy(update={"language": language})
        copied = copied.model_copy(update={"platform": platform})
        database.do(lambda session: cast.speak(session, language))
    return copied, database


async def _live(
    loop: VirtualTimeLoop, run: _Run, parts: list[Part] | None, dialled: str, caller: str
) -> None:
    async with world(run.settings, run.database) as stage:
        stage.asterisk.core.listeners.append(run.story)
        for turn, part in enumerate(parts or [None], 1):
            channel = f"client-{turn}"
            if part is None:
                ask = _asker(loop, run.story)
                people: Any = terminal.PersonAtTerminal(stage.asterisk, channel, loop, ask)
            else:
                await asyncio.sleep(part.pause)
                people = ScriptedPeople(stage.asterisk, part.deeds, channel)
            run.ended.append(await _one(stage, dialled, caller, channel))
            people.leave()
            run.left += getattr(people, "left", [])
        run.story.flush()


async def _one(stage: World, dialled: str, caller: str, channel: str) -> Ended:
    return await stage.live(stage.arrive(dialled=dialled, caller=caller, channel=channel))


def _asker(loop: VirtualTimeLoop, story: Story) -> terminal.Ask:
    """A function that reads lines from the terminal without a thread, so that Ctrl-C ends it at once."""

    async def ask(who: str, what: str) -> str | None:
        story.flush()
        prompt = f"{styled(who, fg='yellow', bold=True)} {styled(f'({what})', dim=True)} "
        sys.stdout.write(f"{'':9}{prompt}")
        sys.stdout.flush()
        typed: asyncio.Future[str] = loop.create_future()

        def read() -> None:
            if not typed.done():
                typed.set_result(sys.stdin.readline())

        loop.add_reader(sys.stdin, read)
        try:
            line = await typed
        finally:
            loop.remove_reader(sys.stdin)
        return line.rstrip("\n") if line else None

    return ask


def _print(told: Told) -> None:
    indent = "" if told.who in _STYLES else "    "
    words = f"“{told.text}”" if told.what == "hears" else told.text
    who = styled(told.who, **_STYLES.get(told.who, _CONSULTANT_STYLE))
    say(f"{styled(f'{told.at:8.1f}', dim=True)} {indent}{who} {f'{told.what} {words}'.rstrip()}")


def _show(run: _Run, *, as_json: bool) -> None:
    results = [run.database.read(_result(run.settings, each)) for each in run.ended]
    missed = [{"line": each.line, "who": each.who, "prompt": each.hears} for each in run.left]
    if as_json:
        events = [asdict(told) | {"at": round(told.at, 3)} for told in run.story.told]
        shown = [{key: value for key, value in result.items() if key != "paper"} for result in results]
        print_json({"events": events, "calls": shown, "never_due": missed})
        return
    for result in results:
        say()
        say(f"Outcome: {result['outcome']}")
        if result["paper"] is not None:
            say(result["paper"])
            say(f"\nConsultant: {result['consultant']}")
        else:
            say("Nothing was charged.")
    for each in missed:
        say(styled(f"Line {each['line']} of the script was never reached.", fg="yellow"))


def _result(settings: Settings, ended: Ended) -> Callable[[Any], dict[str, Any]]:
    def work(session: Any) -> dict[str, Any]:
        priced = session.get_one(Call, ended.call_id).receipt is not None
        receipt = receipts.client_receipt(session, ended.call_id, settings) if priced else None
        return {
            "call": ended.call_id,
            "outcome": str(ended.outcome),
            "receipt": receipt,
            "consultant": receipts.statement_line_text(session, ended.call_id, settings) if priced else None,
            "paper": receipt_paper.receipt_text(session, settings, ended.call_id) if priced else None,
        }

    return work
