"""The command `taxiphone`, put together from the modules of commands/."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click
from rich.markup import escape
from sqlalchemy.exc import DBAPIError

from taxiphone import __version__
from taxiphone.commands import streams
from taxiphone.commands.console import App, err
from taxiphone.commands.streams import OutputError
from taxiphone.errors import TaxiphoneError, UsageError

_BROKEN_PIPE = 141  # as a shell has it for a program that SIGPIPE ended

# The verbs in the order of --help, each with the module that has it. A module is imported only when its verb is
# used, so that `taxiphone --help` answers at once.
_COMMANDS = {
    "init": "taxiphone.commands.serve",
    "serve": "taxiphone.commands.serve",
    "doctor": "taxiphone.commands.serve",
    "demo": "taxiphone.commands.demo",
    "consultant": "taxiphone.commands.consultant",
    "client": "taxiphone.commands.client",
    "number": "taxiphone.commands.number",
    "quote": "taxiphone.commands.quote",
    "call": "taxiphone.commands.call",
    "receipt": "taxiphone.commands.receipt",
    "refund": "taxiphone.commands.payments",
    "payout": "taxiphone.commands.payments",
    "ledger": "taxiphone.commands.ledger",
    "billing": "taxiphone.commands.what_if",
    "recording": "taxiphone.commands.recording",
    "asterisk": "taxiphone.commands.asterisk",
    "prompts": "taxiphone.commands.prompts",
    "db": "taxiphone.commands.db",
    "completion": "taxiphone.commands.shell",
    "man": "taxiphone.commands.shell",
}

# Subcommands of a group that have a module of their own.
_SUBCOMMANDS = {
    "call": {"simulate": "taxiphone.commands.simulate"},
    "client": dict.fromkeys(("pin", "unlock", "close", "reopen"), "taxiphone.commands.client_account"),
    "consultant": {"statement": "taxiphone.commands.statement"},
    "prompts": dict.fromkeys(("name", "names", "install"), "taxiphone.commands.names"),
}


class _LazyGroup(click.Group):
    """A group that imports the module of a command only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        found = _imported(_COMMANDS[cmd_name], cmd_name)
        if isinstance(found, click.Group):
            for name, module in _SUBCOMMANDS.get(cmd_name, {}).items():
                found.add_command(_imported(module, name))
        return found


def _imported(module: str, name: str) -> click.Command:
    command: click.Command = getattr(importlib.import_module(module), name)
    return command


@click.command(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="taxiphone")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings file; else $TAXIPHONE_CONFIG, ./taxiphone.toml, /etc/taxiphone/taxiphone.toml.",
)
@click.pass_context
def taxiphone(ctx: click.Context, config: Path | None) -> None:
    """Paid phone consultations on Asterisk.

    A client dials a number, is told the price, is bridged to a consultant on the consultant's own phone; the talk
    is recorded if both want it, and priced to the cent after the hang-up.

    \b
    See it work, with nothing to set up:    taxiphone demo
    Set it up:                              taxiphone init, taxiphone doctor, taxiphone serve
    Who is who:                             taxiphone consultant add, client add, number add
    Live a call without a telephone:        taxiphone call simulate
    What a talk would cost:                 taxiphone quote, billing what-if
    What happened and what it cost:         taxiphone call list, call explain ID, ledger check
    """  # noqa: D301 - click reads \b as "keep these lines"
    ctx.obj = App(config=config)
    ctx.call_on_close(ctx.obj.close)


def main() -> None:
    """Run the command and exit: 0 done, 1 it could not be, 2 the input was wrong, 141 the reader of the output has gone.

    A known failure is one sentence on standard error; so is standard output that can't be written.
    """
    streams.open_streams()
    code = 0
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except OutputError as error:
        code = _untold(error, code)
    sys.exit(code)


def _run(words: list[str]) -> int:
    """The exit code of a command line; what went wrong is told on standard error."""
    try:
        if any(not word.isprintable() and _has_stray_bytes(word) for word in words):
            raise UsageError("an argument holds bytes that are no text in this terminal's encoding.")
        code = taxiphone.main(words, prog_name="taxiphone", standalone_mode=False)
    except SystemExit as stop:
        code = stop.code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        err.print("Aborted!")
        code = 1
    except TaxiphoneError as error:
        _complain(str(error))
        code = error.exit_code
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        _complain(
            f"the database can't be reached, or refused: {reason}. "
            "Try again; if it stays so, see [database] in taxiphone.toml."
        )
        code = 1
    return code if isinstance(code, int) else 0


def _has_stray_bytes(word: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in word)


def _complain(sentence: str) -> None:
    err.print(f"[bold red]taxiphone:[/] {escape(sentence)}")


def _untold(error: OutputError, code: int) -> int:
    """Say that what the command printed is lost; a reader that has gone, as in `| head`, knows it."""
    streams.give_up_output()
    if error.reader_gone:
        return code or _BROKEN_PIPE
    _complain(
        f"standard output can't be written: {error.strerror}. What the command has changed stays changed."
    )
    return code or 1
