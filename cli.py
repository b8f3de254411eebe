"""The command `taxiphone`: each room brings its own verbs in a commands.py, here they are put together."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click
from rich.markup import escape
from sqlalchemy.exc import OperationalError

from taxiphone import __version__
from taxiphone.console import App, err
from taxiphone.errors import TaxiphoneError

# The verbs in the order of --help, each with the module that has it. A module is imported only when its verb is
# used, so that `taxiphone --help` answers at once.
_COMMANDS = {
    "init": "taxiphone.server.commands",
    "serve": "taxiphone.server.commands",
    "doctor": "taxiphone.server.commands",
    "demo": "taxiphone.demo.commands",
    "consultant": "taxiphone.directory.commands",
    "client": "taxiphone.directory.commands",
    "number": "taxiphone.directory.commands",
    "quote": "taxiphone.billing.quote_commands",
    "call": "taxiphone.billing.commands",
    "receipt": "taxiphone.billing.receipt_commands",
    "refund": "taxiphone.billing.payment_commands",
    "payout": "taxiphone.billing.payment_commands",
    "ledger": "taxiphone.billing.ledger_commands",
    "billing": "taxiphone.billing.what_if_commands",
    "recording": "taxiphone.recordings.commands",
    "asterisk": "taxiphone.dialplan.commands",
    "prompts": "taxiphone.dialplan.prompt_commands",
    "db": "taxiphone.store.commands",
}

# Verbs of a group that a room further up has: the group's own room can't know them.
_ADDED = {"call": (("simulate", "taxiphone.simulate.commands"),)}


class _Rooms(click.Group):
    """A group whose commands are found by name in the rooms."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name])
        found: click.Command = getattr(module, cmd_name)
        for name, room in _ADDED.get(cmd_name, ()):
            if isinstance(found, click.Group) and name not in found.commands:
                found.add_command(getattr(importlib.import_module(room), name))
        return found


@click.command(cls=_Rooms, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
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
    """Run the command; a known failure is one sentence on standard error and its exit code."""
    try:
        taxiphone(prog_name="taxiphone")
    except TaxiphoneError as error:
        err.print(f"[bold red]taxiphone:[/] {escape(str(error))}")
        sys.exit(error.exit_code)
    except OperationalError as error:
        reason = " ".join(str(error.orig).split())
        err.print(
            f"[bold red]taxiphone:[/] the database can't be reached, or refused: {escape(reason)}. "
            r"Try again; if it stays so, see \[database] in taxiphone.toml."
        )
        sys.exit(1)
