"""The command `taxiphone`, assembled from the modules of commands/."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from taxiphone import __version__
from taxiphone.commands import streams
from taxiphone.commands.console import App, note, styled
from taxiphone.commands.lazy import Lazy, LazyGroup
from taxiphone.commands.streams import OutputError
from taxiphone.errors import TaxiphoneError, UsageError

# The exit code that a shell reports for a program ended by SIGPIPE.
_BROKEN_PIPE = 141

# In the order of --help.
_COMMANDS = {
    "init": Lazy("init:init", "Write a commented settings file (taxiphone.toml)."),
    "serve": Lazy("serve:serve", "Take calls until Ctrl-C or SIGTERM."),
    "doctor": Lazy(
        "doctor:doctor",
        "Check the settings, the database, Asterisk and the trunk, and explain how to fix each problem.",
    ),
    "demo": Lazy(
        "demo:demo",
        "Run a real call on this machine, from a client's phone to a consultant's, with receipt and MP3.",
    ),
    "consultant": Lazy("consultant:consultant", "Manage consultants: their phones, prices and statements."),
    "client": Lazy("client:client", "Manage clients: their numbers, PINs and balances."),
    "number": Lazy("number:number", "Manage the platform's numbers that clients dial."),
    "quote": Lazy("quote:quote", "Calculate what a talk costs, line by line, or how long a balance lasts."),
    "call": Lazy("call:call", "List, explain, re-rate and simulate calls."),
    "receipt": Lazy("receipt:receipt", "Print and export the receipts of priced calls."),
    "refund": Lazy(
        "refund:refund", "Refund AMOUNT of the price of CALL, or all of it, to the client's wallet."
    ),
    "payout": Lazy("payout:payout", "Pay out what consultants have earned."),
    "ledger": Lazy("ledger:ledger", "Check the ledger and show its balances."),
    "billing": Lazy("billing:billing", "Calculate what past calls would have cost under another tariff."),
    "recording": Lazy("recording:recording", "List, export and delete the recordings of talks (MP3)."),
    "asterisk": Lazy("asterisk:asterisk", "Manage Asterisk: the embedded one, or your own."),
    "prompts": Lazy(
        "prompts:prompts", "List, build and replace the prompts that callers and consultants hear."
    ),
    "db": Lazy("db:db", "Upgrade, show and copy the database."),
    "completion": Lazy(
        "completion:completion", "Print the script that completes commands and options in SHELL."
    ),
    "man": Lazy("man:man", "Print the manual page with every command and option, as input for `man`."),
}


@click.command(
    cls=LazyGroup,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="taxiphone")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings file. Default: $TAXIPHONE_CONFIG, ./taxiphone.toml or /etc/taxiphone/taxiphone.toml.",
)
@click.pass_context
def taxiphone(ctx: click.Context, config: Path | None) -> None:
    """Paid phone consultations on Asterisk.

    A client dials a number, hears the price and is connected to a consultant on the consultant's own phone. After the call,
    the talk is priced to the cent; it is recorded if both agreed.

    \b
    See a call at once:       taxiphone demo
    Set up the platform:      taxiphone init, doctor, serve
    Add people and numbers:   taxiphone consultant add, client add, number add
    Simulate a call:          taxiphone call simulate
    Calculate prices:         taxiphone quote, billing what-if
    See calls and prices:     taxiphone call list, call explain ID, ledger check
    """  # noqa: D301 - click reads \b as "keep these lines"
    ctx.obj = App(config=config)
    ctx.call_on_close(ctx.obj.close)


def main() -> None:
    """Run the command and exit: 0 success, 1 failure, 2 wrong input, 141 the reader of the output has gone.

    A known failure is one message on standard error, and so is standard output that can't be written.
    """
    streams.open_streams()
    code = 0
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except OutputError as error:
        code = _after_lost_output(error, code)
    sys.exit(code)


def _run(words: list[str]) -> int:
    """Run a command line, report its failure on standard error, and return its exit code."""
    try:
        _check_encoding(words)
        code = taxiphone.main(words, prog_name="taxiphone", standalone_mode=False)
    except SystemExit as stop:
        code = stop.code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        note("Aborted!")
        code = 1
    except TaxiphoneError as error:
        _complain(str(error))
        code = error.exit_code
    except OutputError:
        raise
    except Exception as error:
        reason = _database_failure(error)
        if reason is None:
            raise
        _complain(
            f"the database can't be reached, or it refused: {reason}. "
            "Try again. If the failure persists, see [database] in taxiphone.toml."
        )
        code = 1
    return code if isinstance(code, int) else 0


def _database_failure(error: Exception) -> str | None:
    """The database's message if the error comes from it."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - most commands start faster without it

    return " ".join(str(error.orig).split()) if isinstance(error, DBAPIError) else None


def _check_encoding(words: list[str]) -> None:
    """Refuse arguments with bytes that Python could not decode (surrogate escapes, PEP 383)."""
    if any("\udc80" <= letter <= "\udcff" for word in words for letter in word):
        raise UsageError("an argument has bytes that are not text in this terminal's encoding.")


def _complain(sentence: str) -> None:
    note(f"{styled('taxiphone:', error=True, fg='red', bold=True)} {sentence}")


def _after_lost_output(error: OutputError, code: int) -> int:
    """Report that output was lost, unless the reader has gone on purpose, as in `| head`; return the exit code."""
    streams.give_up_output()
    if error.reader_gone:
        return code or _BROKEN_PIPE
    _complain(
        f"standard output can't be written: {error.strerror}. Changes that the command has made are kept."
    )
    return code or 1
