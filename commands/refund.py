"""`taxiphone refund`: money back to a client."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click
from sqlalchemy.orm import Session

from taxiphone.billing.ledger import refunds
from taxiphone.billing.papers import receipts
from taxiphone.billing.pricing.money import digits_of, from_minor, to_minor
from taxiphone.commands.call_lookup import find_call
from taxiphone.commands.console import App, examples, json_option, pass_app, print_json, say
from taxiphone.commands.options import NEGATIVE, amount, key_option, key_or_new
from taxiphone.errors import UsageError


@click.command(
    context_settings=NEGATIVE,
    epilog=examples(
        'taxiphone refund 261122-7gq4mk 5.00 --reason "the line was bad"',
        'taxiphone refund 261122-7gq4mk --all --reason "wrong consultant" --key ticket-812',
    ),
)
@click.argument("call_id", metavar="CALL")
@click.argument("given", metavar="[AMOUNT]", type=amount, required=False)
@click.option("--all", "everything", is_flag=True, help="Refund everything that has not been refunded yet.")
@click.option("--reason", metavar="TEXT", required=True, help="The reason, printed on the receipt.")
@key_option("Identifies this refund of the call: a second one with the same key refunds nothing.")
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
    """Refund AMOUNT of the price of CALL, or all of it, to the client's wallet.

    A credit note is issued. The consultant, the platform and the tax account each return their share, in proportion to what
    they received and rounded to the cent. All refunds of a call together never exceed what was paid. If everything is
    refunded before the recording is ready, the recording is free. If the consultant has already been paid, their share is
    deducted from future earnings.

    With --key, you can safely repeat the command; with another amount, it is refused. Without it, a key is generated and printed.
    """
    if everything == (given is not None):
        raise UsageError("give either AMOUNT or --all.")
    if given is not None and given <= 0:
        raise UsageError(f"the refund must be more than 0, not {given}.")
    request = key_or_new(key)

    def work(session: Session) -> dict[str, Any]:
        call = find_call(session, call_id)
        receipt = call.receipt
        currency = app.settings.platform.currency if receipt is None else receipt.currency
        digits = digits_of(currency)
        wanted = None if given is None else to_minor(given, digits)
        # If nothing was paid yet, there may still be a hold for the fee of a recording that is not ready.
        nothing_paid = everything and not sum(refunds.paid_shares(session, call.id).values())
        waived = refunds.waive_recording(session, call) if nothing_paid else 0
        if nothing_paid and not waived:
            waived = refunds.waived_fee(session, call)  # the command is a repetition
        if waived:
            return {"call": call.id, "waived": from_minor(waived, digits), "currency": currency}
        note = refunds.refund(session, call, wanted, reason.strip(), request)
        return {
            **receipts.credit_note(note, digits),
            "key": request,
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
        say(
            f"Nothing was paid for call {row['call']} yet. The {row['waived']} {currency} held for its recording were "
            "released to the client's wallet: the recording is free."
        )
        return
    say(
        f"Credit note {row['number']}: {row['amount']} {currency} for call {row['call']} credited to the client's wallet, "
        f"{row['consultant']} from the consultant and {row['commission']} from the platform (tax {row['vat']}). "
        f"Still paid for the call: {row['left']} {currency}."
    )
    if row["consultant_owes"]:
        say(f"The consultant owes {row['consultant_owes']} {currency}, because they were already paid out.")
