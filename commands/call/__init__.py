"""`taxiphone call`: what happened, what it cost and why, pricing a call by hand, and simulated calls."""

from __future__ import annotations

import click

from taxiphone.commands.lazy import Lazy, LazyGroup

_COMMANDS = {
    "list": Lazy("call.listing:call_list", "List the latest calls, newest first."),
    "show": Lazy(
        "call.listing:call_show", "Show call ID: who, when, how it ended, its price and its recording."
    ),
    "explain": Lazy(
        "call.explanation:call_explain",
        "Explain the price of call ID: its events, its tariff, each step of the calculation, and the postings.",
    ),
    "rate": Lazy(
        "call.rating:call_rate", "Price call ID if it could not be priced; with --again, re-rate it."
    ),
    "simulate": Lazy(
        "call.simulation:simulate",
        "Simulate a call from the first prompt to the receipt, without a telephone and without Asterisk.",
    ),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def call() -> None:
    """List, explain, re-rate and simulate calls.

    ID is a call's id, or the beginning or the end of it if no other call matches.
    """
