"""`taxiphone consultant`: who is called, on which phones, at what prices, and what they earned."""

from __future__ import annotations

import click

from taxiphone.commands.lazy import Lazy, LazyGroup

_COMMANDS = {
    "list": Lazy("consultant.listing:consultant_list", "List the consultants by code."),
    "show": Lazy(
        "consultant.listing:consultant_show",
        "Show the consultant with CODE and the number that calls their phone.",
    ),
    "add": Lazy(
        "consultant.editing:consultant_add",
        "Add the consultant NAME and print the number that will call their phone.",
    ),
    "set": Lazy(
        "consultant.editing:consultant_set",
        "Change the consultant with CODE; settings that you don't give stay as they are.",
    ),
    "statement": Lazy(
        "consultant.statement:statement",
        "Print what the consultant with CODE earned in a period: calls, refunds, payouts and balances.",
    ),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def consultant() -> None:
    """Manage consultants: their phones, prices and statements.

    CODE is the code that clients enter to reach the consultant.
    """
