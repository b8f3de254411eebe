"""`taxiphone call simulate`: the whole menu in a terminal, without a telephone and without an Asterisk."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from taxiphone.billing.papers import receipt_paper, receipts
from taxiphone.commands.console import App, examples, json_option, out, pass_app, print_json
from taxiphone.errors import SettingsError, UsageError
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

_COLOURS = {CLIENT: "cyan", BOTH: "bold"}
_CONSULTANTS = "green"


@dataclass
class _Run:
    """What became of a simulation."""

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
        "consultant hears accept-menu: press 1\\ntalk 75: client hangs up\\n' | taxiphone call simulate --script -",
    ),
)
@click.option("--client", metavar="CODE|NUMBER", help="Who calls; else the first client who may.")
@click.option("--caller", metavar="NUMBER", help="Call from this number, whoever it belongs to.")
@click.option("--hidden", is_flag=True, help="Call with a hidden number.")
@click.option("--number", metavar="DID", help="The platform's number that is dialled; else everybody's.")
@click.option(
    "--script",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True),
    help="What the people do, one deed a line; - is the standard input.",
)
@click.option("--language", metavar="LANG", help="Speak this language with everybody.")
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
    """Live a call from its first prompt to its receipt, by the program's own scenario and meter.

    No telephone rings and nothing real is touched: consultants, clients, prices and credits are copied from the
    database into a throw-away one; where there is none yet, a small made-up cast plays. Time is the call's own: a
    minute of talk is over at once. Without a script, keys are asked for on the terminal, for both sides.

    \b
    The lines of a script:
      client hears enter-code: press 1234#      a prompt by its name, as in `taxiphone prompts list`
      consultant rings: answer                  or busy, decline, ignore, unreachable; "consultant 2 rings"
      consultant hears accept-menu: press 1     or hang up, nothing, sends nothing, line drops, line dies;
                                                "after 3, press 1"
      talk 75: client hangs up                  75 s after both are connected; or client presses #*,
                                                consultant hangs up, client holds, client comes back,
                                                client's line drops, client's line dies
      ringing 5: client hangs up                5 s after the phone began to ring; at 10: 10 s after the call came
      client calls again after 20               the next call
      // a comment

    It ends with 1 where the call failed, or a line of the script never came due.
    """  # noqa: D301 - click reads \b as "keep these lines"
    if sum((client is not None, caller is not None, hidden)) > 1:
        raise UsageError("only one of --client, --caller and --hidden can say who calls.")
    if script is None and (as_json or not sys.stdin.isatty()):
        raise UsageError("there is no terminal to ask on: give the people's deeds with --script FILE, or -.")
    known = _settings_if_any(app)
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


def _settings_if_any(app: App) -> Settings | None:
    try:
        return app.settings
    except SettingsError:
        if app.config is not None:
            raise
        return None


def _stage(
    app: App, settings: Settings | None, folder: Path, language: str | None
) -> tuple[Settings, Database]:
    """The throw-away copy of the platform, or the made-up cast."""
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
    """Reads lines from the terminal without a thread, so that Ctrl-C ends it at once."""

    async def ask(who: str, what: str) -> str | None:
        story.flush()
        out.print(f"{'':9}[bold yellow]{who}[/] [dim]({escape(what)})[/] ", end="")
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
    colour = _COLOURS.get(told.who, _CONSULTANTS)
    indent = "" if told.who in _COLOURS else "    "
    words = f"“{told.text}”" if told.what == "hears" else told.text
    out.print(
        f"[dim]{told.at:8.1f}[/] {indent}[{colour}]{told.who}[/] {escape(f'{told.what} {words}'.rstrip())}"
    )


def _show(run: _Run, *, as_json: bool) -> None:
    results = [run.database.read(_result(run.settings, each)) for each in run.ended]
    missed = [{"line": each.line, "who": each.who, "prompt": each.hears} for each in run.left]
    if as_json:
        events = [asdict(told) | {"at": round(told.at, 3)} for told in run.story.told]
        shown = [{key: value for key, value in result.items() if key != "paper"} for result in results]
        print_json({"events": events, "calls": shown, "never_due": missed})
        return
    for result in results:
        out.print()
        out.print(f"Outcome: {result['outcome']}", markup=False)
        if result["paper"] is not None:
            out.print(result["paper"], markup=False)
            out.print(f"\nConsultant: {result['consultant']}", markup=False)
        else:
            out.print("Nothing was charged.")
    for each in missed:
        out.print(f"[yellow]Line {each['line']} of the script never came due.[/]")


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
