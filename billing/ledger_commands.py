"""`taxiphone ledger`: the balances, and the proof that the books are right."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from taxiphone.billing import ledger as books
from taxiphone.billing import ledger_check
from taxiphone.billing.money import digits_of, from_minor
from taxiphone.console import App, examples, json_option, out, pass_app, print_json, show


@click.group()
def ledger() -> None:
    """The ledger: its balances, and the proof that it is right."""


@ledger.command("check", epilog=examples("taxiphone ledger check", "taxiphone ledger check --json"))
@json_option
@pass_app
def check(app: App, /, as_json: bool) -> None:
    """Prove the books; exit 1 and the rows where something is wrong.

    Every posting sums to zero, every balance is the sum of its entries, no wallet and no hold is below zero, every
    priced call was posted once and as its receipt says, and nothing stays held for a call that is over.
    """
    problems = app.database.do(ledger_check.check)
    if as_json:
        print_json({"ok": not problems, "problems": [asdict(problem) for problem in problems]})
    elif problems:
        show([asdict(problem) for problem in problems], ("what", "where", "text"), as_json=False)
    else:
        out.print("The ledger is right: everything sums to zero, and every priced call was posted once.")
    if problems:
        sys.exit(1)


@ledger.command("balances", epilog=examples("taxiphone ledger balances"))
@json_option
@pass_app
def balances(app: App, /, as_json: bool) -> None:
    """List every account that is not empty."""
    rows = [
        {
            "kind": kind,
            "owner": owner,
            "balance": from_minor(balance, digits_of(currency)),
            "currency": currency,
        }
        for kind, owner, currency, balance in app.database.do(books.balances)
    ]
    show(rows, ("kind", "owner", "balance", "currency"), as_json=as_json, empty="Every account is empty.")
