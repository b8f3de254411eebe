"""Groups of commands whose modules are imported only when one of their commands runs.

The help of such a group, and the completion of its commands, come from a table of names and one-line texts, so that
`taxiphone --help` answers at once. A test holds the texts against the commands' own.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

_PACKAGE = "taxiphone.commands"


class Lazy(NamedTuple):
    """A command that is not imported yet.

    Attributes:
        place: the module below commands/ and the name in it, such as "client.account:pin".
        help: the first sentence of the command's help.
    """

    place: str
    help: str


class LazyGroup(click.Group):
    """A group that lists its commands in the order of a table and imports each when it is used."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names, in the order of the table."""
        return [*self.lazy, *(name for name in self.commands if name not in self.lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command with that name; its module is imported the first time."""
        if cmd_name not in self.commands and cmd_name in self.lazy:
            self.add_command(_imported(self.lazy[cmd_name].place), cmd_name)
        return self.commands.get(cmd_name)

    def summary(self, name: str) -> str:
        """The one-line help of a command."""
        return self.lazy[name].help if name in self.lazy else summary_of(self.commands[name])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their one-line texts, without importing them."""
        rows = [(name, self.summary(name)) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the commands' names, without importing them, and the group's own options."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [
            *(CompletionItem(name, help=self.summary(name)) for name in names),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]


def summary_of(command: click.Command) -> str:
    """The first sentence of a command's help, whole and with its full stop."""
    paragraph = (command.help or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def _imported(place: str) -> click.Command:
    module, name = place.split(":")
    # Imports create many thousand objects that stay. Searching them for garbage, while importing and afterwards, takes a
    # quarter of a short command's time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        command: click.Command = getattr(importlib.import_module(f"{_PACKAGE}.{module}"), name)
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
    return command
