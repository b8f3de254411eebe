"""`taxiphone payout`: money out to consultants."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import click
from sqlalchemy.orm import Session

from taxiphone.billing import days
from taxiphone.billing.ledger import payouts
from taxiphone.billing.pricing.money import amount_in, digits_of, from_minor, to_minor
from taxiphone.commands.console import App, examples, json_option, pass_app, print_json, say, show
from taxiphone.commands.lazy import LazyGroup
from taxiphone.commands.options import Day, amount, key_option, key_or_new
from taxiphone.directory.consultants import the_consultant
from taxiphone.errors import UsageError
from taxiphone.store.models import Consultant


@click.group(cls=LazyGroup)
def payout() -> None:
    """Pay out what consultants have earned."""


@payout.command(
    "run",
    epilog=examples(
        "taxiphone payout run --dry-run",
        "taxiphone payout run --until 2026-11-30",
        "taxiphone payout run --minimum 50 --json",
    ),
)
@click.option(
    "--minimum",
    type=amount,
    help="The smallest payout. Default: payout_minimum in [billing] of the settings.",
)
@click.option(
    "--until",
    type=Day(),
    metavar="DATE",
    help="Pay out only what was earned up to the end of this day, in the platform's time zone.",
)
@key_option(
    "Identifies this run: repeated with the same key, it prints the same payouts and pays nothing twice."
)
@click.option("--dry-run", is_flag=True, help="Show the payouts without posting them.")
@json_option
@pass_app
def payout_run(
    app: App,
    /,
    minimum: Decimal | None,
    until: date | None,
    key: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Post a payout for each consultant whose unpaid earnings reach the minimum.

    You can run the command at any time, even twice at once: no amount is paid out twice. It doesn't transfer any money; make
    the bank transfers from its output. All refunds and corrections are deducted, including those posted after --until.

    If the output was lost, repeat the command with the key that it printed, or that you gave: it prints the same payouts.
    """
    currency = app.settings.platform.currency
    digits = app.settings.currency_digits
    wanted = app.settings.billing.payout_minimum if minimum is None else minimum
    if wanted < 0:
        raise UsageError(f"--minimum must be at least 0, not {wanted}.")
    least = to_minor(wanted, digits)
    run = "" if dry_run else key_or_new(key)
    rows = []
    for consultant in app.database.read(lambda session: payouts.with_earnings(session, currency, run)):

        def work(session: Session, consultant: Consultant = consultant) -> dict[str, Any]:
            if dry_run:
                return _run_row(
                    consultant,
                    payouts.due(session, consultant.id, currency, until, zone=days.zone_of(app.settings)),
                    least,
                    currency,
                )
            found, made = payouts.pay(
                session, consultant.id, currency, least, run, until, zone=days.zone_of(app.settings)
            )
            row = _run_row(consultant, found, least, currency)
            return row if made is None else row | {"paid": row["earned"], "note": None, "posting": made.key}

        rows.append(app.database.read(work) if dry_run else app.database.do(work))
    if as_json:
        print_json(rows)
        return
    columns = ("consultant", "name", "earned", "paid", "currency", "note")
    show(rows, columns, as_json=False, empty="No unpaid earnings.")
    total = sum((row["paid"] for row in rows), Decimal(0))
    if rows:
        what = "would be paid; nothing was posted" if dry_run else "paid out"
        say(f"\n{total} {currency} {what}.")


def _run_row(consultant: Consultant, due: payouts.Due, least: int, currency: str) -> dict[str, Any]:
    digits, earned = digits_of(currency), due.amount
    paid = earned if earned > 0 and earned >= least else 0
    note = None
    if earned < 0:
        note = "owes this amount"
    elif not paid:
        note = f"below the minimum of {amount_in(least, currency)}" if earned else "nothing due"
    return {
        "consultant": consultant.code,
        "name": consultant.name,
        "earned": from_minor(earned, digits),
        "paid": from_minor(paid, digits),
        "currency": currency,
        "note": note,
        "posting": None,
    }


@payout.command("list", epilog=examples("taxiphone payout list", "taxiphone payout list --consultant 101"))
@click.option("--consultant", "code", metavar="CODE", help="Only the payouts to this consultant.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Maximum number of payouts."
)
@json_option
@pass_app
def payout_list(app: App, /, code: str | None, limit: int, as_json: bool) -> None:
    """List the posted payouts, newest first."""

    def work(session: Session) -> list[dict[str, Any]]:
        number = None if code is None else the_consultant(session, code).id
        return payouts.paid(session, number, limit)

    columns = ("at", "consultant", "name", "amount", "currency", "memo", "posting")
    show(app.database.read(work), columns, as_json=as_json, empty="No payouts yet.")
