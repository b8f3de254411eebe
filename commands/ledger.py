"""`taxiphone ledger`: the balances, and the proof that the books are right."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

from taxiphone.billing import ledger_check
from taxiphone.billing.ledger import postings as books
from taxiphone.billing.metering import log_gaps, stale_holds
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.metering.stale_holds import Stale
from taxiphone.billing.pricing.money import digits_of, from_minor
from taxiphone.commands.console import App, examples, json_option, out, pass_app, print_json, show
from taxiphone.errors import UsageError


@click.group()
def ledger() -> None:
    """The ledger: its balances, and the proof that it is right."""


@ledger.command("check", epilog=examples("taxiphone ledger check", "taxiphone ledger check --json"))
@json_option
@pass_app
def check(app: App, /, as_json: bool) -> None:
    """Prove the books; exit 1 and the rows where something is wrong.

    Every posting sums to zero, every balance is the sum of its entries, no wallet and no hold is below zero, every
    priced call was posted once and as its receipt says, nothing stays held for a call that is over, and no call that is
    over can't be priced.
    """
    problems = app.database.read(ledger_check.check)
    if as_json:
        print_json({"ok": not problems, "problems": [asdict(problem) for problem in problems]})
    elif problems:
        show([asdict(problem) for problem in problems], ("what", "where", "text"), as_json=False)
    else:
        out.print("The ledger is right: everything sums to zero, and every priced call was posted once.")
    if problems:
        sys.exit(1)


@ledger.command(
    "release-holds",
    epilog=examples("taxiphone ledger release-holds", "taxiphone ledger release-holds --call 261122-7gq4mk"),
)
@click.option(
    "--call",
    "calls",
    multiple=True,
    metavar="ID",
    help="Only this call's, and also where the two seem to have talked; may be given again.",
)
@json_option
@pass_app
def release_holds(app: App, /, calls: tuple[str, ...], as_json: bool) -> None:
    """Release what is held for calls that will not be priced any more, as `ledger check` names them.

    Such a call ended more than ten minutes ago, or began more than a day ago, and Asterisk's log has no end of it. Where the
    two seem to have talked, the hold stays until it is named: then what is proven of the talk is charged and the rest is
    given back.
    """

    def given_back(stale: Stale) -> dict[str, Any]:
        given = app.database.do(
            lambda session: stale_holds.release(session, stale, although_talked=bool(calls))
        )
        back = from_minor(given, digits_of(stale.currency))
        return {"call": stale.call_id, "given_back": back, "currency": stale.currency, "why": stale.why}

    _read_log(app)
    found = app.database.read(lambda session: list(stale_holds.find(session)))
    rows = [given_back(stale) for stale in found if not calls or stale.call_id in calls]
    unknown = sorted(set(calls) - {row["call"] for row in rows})
    if unknown:
        raise UsageError(f"nothing is left held for {', '.join(unknown)}. See: taxiphone ledger check")
    show(rows, ("call", "given_back", "currency", "why"), as_json=as_json, empty="Nothing is left held.")


def _read_log(app: App) -> None:
    """Price what Asterisk's log has: a call that it ends is none that was forgotten."""
    try:
        # The files are left to serve: what another user compresses, it could not read.
        Meter(app.settings, app.database, rotate_bytes=None).read_once()
    except OSError as error:
        raise UsageError(
            f"Asterisk's event log can't be read ({error.strerror}: {error.filename}), so it isn't known which calls it ends. "
            "Nothing was given back."
        ) from None


@ledger.command(
    "gaps",
    epilog=examples(
        "taxiphone ledger gaps", 'taxiphone ledger gaps --settle 3 --reason "the calls were looked at"'
    ),
)
@click.option(
    "--settle", type=click.IntRange(min=1), metavar="ID", help="Note that you have looked at this one."
)
@click.option("--reason", default="looked at", show_default=True, help="What you found; one line.")
@json_option
@pass_app
def gaps(app: App, /, settle: int | None, reason: str, as_json: bool) -> None:
    """List where rows of Asterisk's event log are missing, or may be.

    Calls of that time may be priced too low or not at all; those that the program itself saw are priced from what it saw and
    are marked for review. A gap is an alarm in `doctor` and `ledger check` until it is settled.
    """
    if settle is not None:
        app.database.do(lambda session: log_gaps.settle(session, settle, reason))
    rows = [
        {"id": gap.id, "noticed_at": gap.noticed_at, "text": gap.text}
        for gap in app.database.read(log_gaps.find)
    ]
    show(rows, ("id", "noticed_at", "text"), as_json=as_json, empty="Nothing of the log is missing.")


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
        for kind, owner, currency, balance in app.database.read(books.balances)
    ]
    show(rows, ("kind", "owner", "balance", "currency"), as_json=as_json, empty="Every account is empty.")
