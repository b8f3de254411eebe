"""`taxiphone ledger`: the balances, and the check of the books."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

from taxiphone.billing import ledger_check
from taxiphone.billing.ledger.balances import all_balances
from taxiphone.billing.metering import log_gaps, stale_holds
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.metering.stale_holds import Stale
from taxiphone.billing.pricing.money import digits_of, from_minor
from taxiphone.commands.call_lookup import find_call
from taxiphone.commands.console import App, examples, json_option, pass_app, print_json, say, show
from taxiphone.commands.lazy import LazyGroup
from taxiphone.errors import UsageError


@click.group(cls=LazyGroup)
def ledger() -> None:
    """Check the ledger and show its balances."""


@ledger.command("check", epilog=examples("taxiphone ledger check", "taxiphone ledger check --json"))
@json_option
@pass_app
def check(app: App, /, as_json: bool) -> None:
    """Check the ledger and list any problems.

    The command checks that every posting sums to zero, that every balance is the sum of its entries, that no wallet and no
    hold is negative, that every priced call was posted once and as its receipt says, that no hold is left for a finished
    call, and that every finished call has been priced. The exit code is 1 if there are problems.
    """
    problems = app.database.read(ledger_check.check)
    if as_json:
        print_json({"ok": not problems, "problems": [asdict(problem) for problem in problems]})
    elif problems:
        show([asdict(problem) for problem in problems], ("what", "where", "text"), as_json=False)
    else:
        say("No problems: everything sums to zero, and every priced call was posted once.")
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
    help="Release only the hold of this call, even if the parties seem to have talked. ID can be the beginning or the end of "
    "the call's id. Can be repeated.",
)
@json_option
@pass_app
def release_holds(app: App, /, calls: tuple[str, ...], as_json: bool) -> None:
    """Release the holds of calls that will never be priced, as listed by `ledger check`.

    Such a call ended more than ten minutes ago or began more than a day ago, and its end is missing from Asterisk's event log.
    If the parties seem to have talked, the hold is kept until you name the call with --call. Then the proven part of the
    talk is charged, and the rest is released.
    """

    def given_back(stale: Stale) -> dict[str, Any]:
        given = app.database.do(
            lambda session: stale_holds.release(session, stale, although_talked=bool(calls))
        )
        back = from_minor(given, digits_of(stale.currency))
        return {"call": stale.call_id, "given_back": back, "currency": stale.currency, "why": stale.why}

    _read_log(app)
    named = app.database.read(lambda session: {find_call(session, text).id for text in calls})
    found = app.database.read(lambda session: list(stale_holds.find(session)))
    rows = [given_back(stale) for stale in found if not named or stale.call_id in named]
    unknown = sorted(named - {row["call"] for row in rows})
    if unknown:
        raise UsageError(f"there is no hold to release for {', '.join(unknown)}. See: taxiphone ledger check")
    show(rows, ("call", "given_back", "currency", "why"), as_json=as_json, empty="No holds to release.")


def _read_log(app: App) -> None:
    """Price all that Asterisk's event log has, so that a call whose end it has keeps its hold until it is priced."""
    try:
        # Rotating the files is left to `serve`, which could not read what another user compresses.
        Meter(app.settings, app.database, rotate_bytes=None).read_once()
    except OSError as error:
        raise UsageError(
            f"Asterisk's event log can't be read ({error.strerror}: {error.filename}), so it is not known which calls have "
            "ended. Nothing was released."
        ) from None


@ledger.command(
    "gaps",
    epilog=examples(
        "taxiphone ledger gaps", 'taxiphone ledger gaps --settle 3 --reason "the calls were checked"'
    ),
)
@click.option("--settle", type=click.IntRange(min=1), metavar="ID", help="Mark this gap as reviewed.")
@click.option("--reason", default="looked at", show_default=True, help="What you found, in one line.")
@json_option
@pass_app
def gaps(app: App, /, settle: int | None, reason: str, as_json: bool) -> None:
    """List gaps in Asterisk's event log: times for which rows are or may be missing.

    Calls during a gap may be priced too low or not at all. Calls that the program itself observed are priced from its own
    records and marked for review. `doctor` and `ledger check` report a gap until you settle it with --settle.
    """
    if settle is not None:
        app.database.do(lambda session: log_gaps.settle(session, settle, reason))
    rows = [
        {"id": gap.id, "noticed_at": gap.noticed_at, "text": gap.text}
        for gap in app.database.read(log_gaps.find)
    ]
    show(rows, ("id", "noticed_at", "text"), as_json=as_json, empty="No gaps.")


@ledger.command("balances", epilog=examples("taxiphone ledger balances", "taxiphone ledger balances --json"))
@json_option
@pass_app
def balances(app: App, /, as_json: bool) -> None:
    """List all accounts with a balance other than zero."""
    rows = [
        {
            "kind": kind,
            "owner": owner,
            "balance": from_minor(balance, digits_of(currency)),
            "currency": currency,
        }
        for kind, owner, currency, balance in app.database.read(all_balances)
    ]
    show(rows, ("kind", "owner", "balance", "currency"), as_json=as_json, empty="All accounts are empty.")
