"""`taxiphone call rate`: pricing a call by hand, and re-rating one."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy.orm import Session

from taxiphone.billing.metering import unpriced
from taxiphone.billing.pricing.money import digits_of, from_minor
from taxiphone.billing.rerating import rerate
from taxiphone.commands.call_lookup import find_call
from taxiphone.commands.console import App, examples, json_option, pass_app, print_json, say
from taxiphone.errors import UsageError
from taxiphone.store.calls import Status


@click.command(
    "rate",
    epilog=examples(
        "taxiphone call rate 261122-7gq4mk",
        "taxiphone call rate --again 261122-7gq4mk",
        'taxiphone call rate --again 261122-7gq4mk --reason "the end of the talk was missing from the log"',
    ),
)
@click.argument("call_id", metavar="ID")
@click.option("--again", is_flag=True, help="Re-rate a call that already has a price.")
@click.option("--reason", metavar="TEXT", default="", help="Printed on the next version of the receipt.")
@json_option
@pass_app
def call_rate(app: App, /, call_id: str, again: bool, reason: str, as_json: bool) -> None:
    """Price call ID if it could not be priced; with --again, re-rate it.

    The price is computed from Asterisk's event log and from the tariff that was frozen when the consultant accepted.
    Without --again, the command does at once what `serve` tries every minute. Use it when `ledger check` reports a call and you
    have fixed the cause.

    With --again, nothing is posted if the price stays the same. Otherwise the charge is reversed and posted again in one
    transaction. The client is never charged twice, nor more than was held when the call was accepted. An increase is
    charged to the client's wallet; if the wallet can't cover it, the call keeps its price.
    """
    if again:
        _rerate(app, call_id, reason, as_json=as_json)
        return
    if reason:
        raise UsageError("--reason requires --again: it is printed on the next version of a receipt.")
    _rate(app, call_id, as_json=as_json)


def _rerate(app: App, call_id: str, reason: str, *, as_json: bool) -> None:
    def work(session: Session) -> dict[str, Any]:
        done = rerate(session, find_call(session, call_id), reason)
        digits = digits_of(done.receipt.currency)
        return {
            "call": done.receipt.call_id,
            "changed": done.changed,
            "before": from_minor(done.before, digits),
            "total": from_minor(done.receipt.total, digits),
            "currency": done.receipt.currency,
            "version": len(done.receipt.former) + 1,
        }

    row = app.database.do(work)
    if as_json:
        print_json(row)
    elif not row["changed"]:
        say(f"Call {row['call']} still costs {row['total']} {row['currency']}: nothing was posted.")
    else:
        say(
            f"Call {row['call']} was re-rated from {row['before']} to {row['total']} {row['currency']}: the charge was "
            f"reversed and posted anew (receipt version {row['version']})."
        )


def _rate(app: App, call_id: str, *, as_json: bool) -> None:
    def work(session: Session) -> dict[str, Any]:
        call = find_call(session, call_id)
        charged = unpriced.settle(session.connection(), call.id)
        if charged is None:
            return {"call": call.id, "status": str(Status.CLOSED), "total": None, "currency": None}
        total = from_minor(charged.total, digits_of(charged.currency))
        return {"call": call.id, "status": str(Status.RATED), "total": total, "currency": charged.currency}

    row = app.database.do(work)
    if as_json:
        print_json(row)
    elif row["total"] is None:
        say(f"Nobody talked in call {row['call']}: the call is closed and its hold is released.")
    else:
        say(f"Call {row['call']} costs {row['total']} {row['currency']}: posted, and the receipt is written.")
