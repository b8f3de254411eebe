"""`taxiphone refund` and `payout`: money back to clients, and out to consultants."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import click
from sqlalchemy.orm import Session

from taxiphone.billing import days
from taxiphone.billing.ledger import payouts, refunds
from taxiphone.billing.papers import receipts
from taxiphone.billing.pricing.money import amount_in, digits_of, from_minor, to_minor
from taxiphone.commands.call import find_call
from taxiphone.commands.console import App, examples, json_option, out, pass_app, print_json, show
from taxiphone.commands.options import NEGATIVE, Day, amount
from taxiphone.directory.people import the_consultant
from taxiphone.errors import UsageError
from taxiphone.store.models import Consultant


@click.command(
    context_settings=NEGATIVE,
    epilog=examples(
        'taxiphone refund 261122-7gq4mk 5.00 --reason "the line was bad"',
        'taxiphone refund 261122-7gq4mk --all --reason "wrong consultant" --key ticket-812',
    ),
)
@click.argument("call_id", metavar="CALL")
@click.argument("given", metavar="[AMOUNT]", type=amount, required=False)
@click.option("--all", "everything", is_flag=True, help="All that is left of what was paid.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; the client reads it on the receipt.")
@click.option("--key", help="Names this refund: a second one with the same key gives nothing back.")
@json_option
@pass_app
def refund(
    app: App,
    /,
    call_id: str,
    given: Decimal | None,
    everything: bool,
    reason: str,
    key: str | None,
    as_json: bool,
) -> None:
    """Give AMOUNT of what CALL cost back to the client's wallet, or all of it, and write the credit note.

    Consultant, platform and tax each give back in the proportion in which they hold what was paid, to the cent; never
    more than was paid, over all refunds of the call. Where all is given back before the recording is ready, that costs
    nothing any more. A consultant who was paid out already owes their part back: it
    is taken off what they earn next.
    """
    if everything == (given is not None):
        raise UsageError("give an AMOUNT, or --all.")
    if given is not None and given <= 0:
        raise UsageError(f"a refund is more than nothing, not {given}.")

    def work(session: Session) -> dict[str, Any]:
        call = find_call(session, call_id)
        receipt = call.receipt
        currency = app.settings.platform.currency if receipt is None else receipt.currency
        digits = digits_of(currency)
        wanted = None if given is None else to_minor(given, digits)
        # Where nothing was paid yet, all that is left may be the fee of a recording that is still to come.
        nothing_paid = everything and not sum(refunds.paid_shares(session, call.id).values())
        if nothing_paid and (waived := refunds.waive_recording(session, call)):
            return {"call": call.id, "waived": from_minor(waived, digits), "currency": currency}
        note = refunds.refund(session, call, wanted, reason.strip(), key)
        return {
            **receipts.credit_note(note, digits),
            "refunded": from_minor(refunds.refunded(session, call.id), digits),
            "left": from_minor(sum(refunds.paid_shares(session, call.id).values()), digits),
            "consultant_owes": from_minor(refunds.owed_back(session, call), digits),
        }

    row = app.database.do(work)
    if as_json:
        print_json(row)
        return
    currency = row["currency"]
    if "waived" in row:
        out.print(
            f"Nothing was paid for call {row['call']} yet. The {row['waived']} {currency} that were held for its recording "
            "went back to the client's wallet: it will cost nothing."
        )
        return
    out.print(
        f"Credit note {row['number']}: {row['amount']} {currency} of call {row['call']} went back to the client's wallet, "
        f"{row['consultant']} of it from the consultant, {row['commission']} from the platform (tax {row['vat']}). "
        f"{row['left']} {currency} of the call stay paid."
    )
    if row["consultant_owes"]:
        out.print(f"The consultant owes {row['consultant_owes']} {currency}: they were paid out already.")


@click.group()
def payout() -> None:
    """Payouts: what consultants have earned goes out to them."""


@payout.command(
    "run",
    epilog=examples(
        "taxiphone payout run --dry-run",
        "taxiphone payout run --until 2026-11-30",
        "taxiphone payout run --minimum 50 --json",
    ),
)
@click.option("--minimum", type=amount, help="Less than this waits; else payout_minimum of [billing].")
@click.option(
    "--until",
    type=Day(),
    metavar="DATE",
    help="Only what was posted to the end of this day, in the platform's time zone.",
)
@click.option("--dry-run", is_flag=True, help="Show it, and post nothing.")
@json_option
@pass_app
def payout_run(
    app: App, /, minimum: Decimal | None, until: date | None, dry_run: bool, as_json: bool
) -> None:
    """Post a payout for each consultant who has earned the minimum and was not paid it yet.

    It can be run again at any time, also twice at once: what is posted is not due any more. It moves no money by
    itself: hand its list to your bank. Refunds and corrections are taken off, whenever they were.
    """
    currency = app.settings.platform.currency
    digits = app.settings.currency_digits
    wanted = app.settings.billing.payout_minimum if minimum is None else minimum
    if wanted < 0:
        raise UsageError(f"the minimum is at least 0, not {wanted}.")
    least = to_minor(wanted, digits)
    rows = []
    for consultant in app.database.read(lambda session: payouts.with_earnings(session, currency)):

        def work(session: Session, consultant: Consultant = consultant) -> dict[str, Any]:
            if dry_run:
                return _run_row(
                    consultant,
                    payouts.due(session, consultant.id, currency, until, zone=days.zone_of(app.settings)),
                    least,
                    currency,
                )
            found, made = payouts.pay(
                session, consultant.id, currency, least, until, zone=days.zone_of(app.settings)
            )
            return _run_row(consultant, found, least, currency) | {"posting": made.key if made else None}

        rows.append(app.database.read(work) if dry_run else app.database.do(work))
    if as_json:
        print_json(rows)
        return
    columns = ("consultant", "name", "earned", "paid", "currency", "note")
    show(rows, columns, as_json=False, empty="Nobody has earned anything that was not paid.")
    total = sum((row["paid"] for row in rows), Decimal(0))
    if rows:
        what = "would be paid; nothing was posted" if dry_run else "paid out"
        out.print(f"\n{total} {currency} {what}.")


def _run_row(consultant: Consultant, due: payouts.Due, least: int, currency: str) -> dict[str, Any]:
    digits, earned = digits_of(currency), due.amount
    paid = earned if earned > 0 and earned >= least else 0
    note = None
    if earned < 0:
        note = "owes this back"
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
@click.option("--consultant", "code", metavar="CODE", help="Only this consultant's.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="So many, the latest first."
)
@json_option
@pass_app
def payout_list(app: App, /, code: str | None, limit: int, as_json: bool) -> None:
    """List the payouts that were posted."""

    def work(session: Session) -> list[dict[str, Any]]:
        number = None if code is None else the_consultant(session, code).id
        return payouts.paid(session, number, limit)

    columns = ("at", "consultant", "name", "amount", "currency", "memo", "posting")
    show(app.database.read(work), columns, as_json=as_json, empty="No payouts yet.")
