"""`taxiphone serve`: the service itself."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import time

import click

from taxiphone.commands import streams
from taxiphone.commands.console import App, examples, pass_app, say
from taxiphone.commands.streams import OutputError
from taxiphone.server.log_limit import RepeatLimit
from taxiphone.server.process import Process

_VERBOSE_TIME = "%H:%M:%S"


@click.command(epilog=examples("taxiphone serve", "taxiphone serve --drain --verbose"))
@click.option(
    "--drain",
    is_flag=True,
    help="On the first signal, wait for the calls in progress to end; on the second, end them.",
)
@click.option("--verbose", "-v", is_flag=True, help="Log each step of each call.")
@pass_app
def serve(app: App, drain: bool, verbose: bool) -> None:
    """Take calls until Ctrl-C or SIGTERM.

    One process runs Asterisk, handles the calls, prices them, and converts their recordings to MP3.

    The signal SIGUSR1 makes it print how many transactions, ARI requests and ARI events there have been.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[_log_handler()])
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatLimit())
    settings, database = app.settings, app.database
    gc.freeze()  # what was imported stays, and need not be searched for garbage

    async def run() -> None:
        await Process(settings, database, drain=drain, say=_say).run()

    try:
        asyncio.run(run())
    finally:
        database.close()


def _log_handler() -> logging.Handler:
    """Coloured messages for a person at a terminal; one line a message, with UTC times, for a file or a journal."""
    if sys.stderr.isatty():
        from rich.console import Console  # noqa: PLC0415 - only for a terminal
        from rich.logging import RichHandler  # noqa: PLC0415 - likewise

        console = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
        handler: logging.Handler = RichHandler(console=console, show_path=False, rich_tracebacks=False)
        handler.setFormatter(logging.Formatter("%(message)s", _VERBOSE_TIME))
        return handler
    handler = logging.StreamHandler()
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    return handler


def _say(line: str) -> None:
    """Print a line for whoever started the service. If nobody can read it, calls go on."""
    try:
        say(line)
        sys.stdout.flush()
    except OutputError as error:
        streams.give_up_output()
        logging.getLogger(__name__).warning("standard output can't be written: %s", error.strerror)
