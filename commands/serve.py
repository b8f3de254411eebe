"""`taxiphone init`, `serve` and `doctor`."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

import click
import jinja2
from rich.logging import RichHandler
from rich.markup import escape

from taxiphone import settings as settings_file
from taxiphone.commands import streams
from taxiphone.commands.console import App, err, examples, json_option, out, pass_app, print_json
from taxiphone.commands.streams import OutputError
from taxiphone.errors import TaxiphoneError, UsageError
from taxiphone.settings_sections import Paths
from taxiphone.speech.prompt_texts import Languages


@click.command(epilog=examples("taxiphone init --cli +33199001200 --trunk sip.carrier.example"))
@click.argument(
    "file", type=click.Path(path_type=Path, dir_okay=False), default=Path(settings_file.FILE_NAME)
)
@click.option(
    "--cli", required=True, help="The platform's own number, in E.164: consultants see it, always this one."
)
@click.option("--trunk", "host", required=True, help="The carrier's host name or IP address.")
@click.option("--trunk-port", type=click.IntRange(1, 65535), default=5060, show_default=True)
@click.option(
    "--language", metavar="LANG", default="fr", show_default=True, help="Of callers whom nobody knows."
)
def init(file: Path, cli: str, host: str, trunk_port: int, language: str) -> None:
    """Write a commented settings file (taxiphone.toml)."""
    from taxiphone.directory import numbers  # noqa: PLC0415 - the other verbs of this module don't need its data

    known = Languages.of_state(file.parent / Paths().state).codes
    if language not in known:
        raise UsageError(
            f"there are no prompts in {language!r}. The languages are: {', '.join(known)}. "
            f"One of your own is a text file in {file.parent / Paths().state / 'prompts'} "
            "(docs/prompts.md)."
        )
    number = numbers.e164(cli)
    template = (Path(__file__).parent / "taxiphone.toml.j2").read_text(encoding="utf-8")
    text = (
        jinja2.Environment(keep_trailing_newline=True)  # noqa: S701 - TOML, not HTML
        .from_string(template)
        .render(
            cli=number,
            host=host,
            port=trunk_port,
            language=language,
            region=numbers.region_of(number),
        )
    )
    try:
        with open(
            file, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)
        ) as made:
            made.write(text)
    except FileExistsError:
        raise UsageError(f"{file} is there already; it was not touched.") from None
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}.") from None
    try:
        settings_file.load(file)
    except UsageError:
        file.unlink()
        raise
    out.print(f"Wrote {file}. Next: taxiphone doctor, then taxiphone serve.")


def _log_handler() -> logging.Handler:
    """For a person at a terminal, or, a line for each message, for a file or a journal."""
    if err.is_terminal:
        handler: logging.Handler = RichHandler(console=err, show_path=False, rich_tracebacks=False)
        handler.setFormatter(logging.Formatter("%(message)s", "%H:%M:%S"))
        return handler
    handler = logging.StreamHandler()
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    return handler


@click.command()
@click.option(
    "--drain",
    is_flag=True,
    help="On the first signal, wait for the calls in progress; a second one ends them.",
)
@click.option("--verbose", "-v", is_flag=True, help="Log each step of each call.")
@pass_app
def serve(app: App, drain: bool, verbose: bool) -> None:
    """Take calls: Asterisk, the application, the meter and the recordings, in one process, until Ctrl-C or SIGTERM."""
    from taxiphone.server.log_limit import RepeatLimit  # noqa: PLC0415 - likewise
    from taxiphone.server.process import Process  # noqa: PLC0415 - `init` works where the rest is broken

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        handlers=[_log_handler()],
    )
    settings, database = app.settings, app.database

    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatLimit())

    async def run() -> None:
        await Process(settings, database, drain=drain, say=_say).run()

    try:
        asyncio.run(run())
    finally:
        database.close()


def _say(line: str) -> None:
    """Print a line for the person who started it; calls go on where nobody can read it."""
    try:
        click.echo(line)
    except OutputError as error:
        streams.give_up_output()
        logging.getLogger(__name__).warning("standard output can't be written: %s", error.strerror)


@click.command()
@json_option
@pass_app
def doctor(app: App, as_json: bool) -> None:
    """Look whether everything is there and in order; each fault with what to do about it. Exit 1 if calls can't be taken."""
    from taxiphone.server import doctor as rounds  # noqa: PLC0415 - `init` works where the rest is broken
    from taxiphone.server.checks.findings import Finding  # noqa: PLC0415 - likewise

    try:
        findings = rounds.findings(app.settings)
    except TaxiphoneError as error:  # without settings nothing else can be checked
        findings = [Finding(ok=False, what="the settings can't be used", advice=str(error))]
    if as_json:
        print_json([{"ok": found.ok, "what": found.what, "advice": found.advice} for found in findings])
    else:
        for found in findings:
            sign = {True: "[green]ok[/]  ", False: "[bold red]no[/]  ", None: "[yellow]?[/]   "}[found.ok]
            advice = "" if found.ok or not found.advice else f"\n     {escape(found.advice)}"
            out.print(f"{sign} {escape(found.what)}{advice}")
    if any(found.ok is False for found in findings):
        raise SystemExit(1)
