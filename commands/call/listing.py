"""`taxiphone call list` and `call show`."""

from __future__ import annotations

from datetime import date
from typing import Any

import click
from sqlalchemy.orm import Session

from taxiphone.billing.call_filter import CallFilter, query
from taxiphone.billing.metering import unpriced
from taxiphone.billing.pricing.money import digits_of, from_minor
from taxiphone.commands.call_lookup import find_call
from taxiphone.commands.console import App, examples, json_option, note, pass_app, show, show_one, styled
from taxiphone.commands.options import Day
from taxiphone.errors import UsageError
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call

_COLUMNS = (
    "id",
    "arrived_at",
    "status",
    "outcome",
    "client",
    "consultant",
    "billed_seconds",
    "total",
    "currency",
)
_REVIEW_COLUMNS = ("id", "arrived_at", "client", "consultant", "total", "currency", "review")


@click.command(
    "list",
    epilog=examples(
        "taxiphone call list",
        "taxiphone call list --client +33639985678 --day 2026-11-22",
        "taxiphone call list --consultant 101 --from 2026-11-01 --to 2026-11-30 --outcome talked --limit 1000",
        "taxiphone call list --review --limit 100",
    ),
)
@click.option("--client", metavar="CODE|NUMBER", help="Only this client's calls.")
@click.option("--consultant", metavar="CODE", help="Only calls to this consultant.")
@click.option("--day", type=Day(), metavar="DATE", help="Only calls on this day.")
@click.option("--from", "first", type=Day(), metavar="DATE", help="Only calls on or after this day.")
@click.option("--to", "last", type=Day(), metavar="DATE", help="Only calls on or before this day.")
@click.option(
    "--outcome",
    type=click.Choice([str(outcome) for outcome in Outcome]),
    metavar="OUTCOME",
    help=f"Only calls with this outcome: {', '.join(Outcome)}.",
)
@click.option(
    "--status",
    type=click.Choice([str(status) for status in Status]),
    metavar="STATUS",
    help=f"Only calls with this status: {', '.join(Status)}.",
)
@click.option(
    "--review",
    is_flag=True,
    help="Only calls that are marked for review, with the reason (docs/operations.md).",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Maximum number of calls.",
)
@json_option
@pass_app
def call_list(
    app: App,
    /,
    day: date | None,
    first: date | None,
    last: date | None,
    limit: int,
    as_json: bool,
    **wanted: Any,
) -> None:
    """List the latest calls, newest first.

    A call belongs to the day on which its talk began, or on which it arrived if nobody talked, in the platform's time
    zone. Times are shown in UTC.
    """
    if day is not None:
        if first is not None or last is not None:
            raise UsageError("--day can't be combined with --from and --to.")
        first = last = day
    chosen = CallFilter(first=first, last=last, **wanted)

    def work(session: Session) -> list[dict[str, Any]]:
        return [_row(each) for each in session.scalars(query(session, app.settings, chosen).limit(limit))]

    show(
        app.database.read(work),
        _REVIEW_COLUMNS if chosen.review else _COLUMNS,
        as_json=as_json,
        empty="No calls yet." if chosen == CallFilter() else "No matching calls.",
        optional=("status", "billed_seconds", "currency"),
    )
    alarm = [each.call_id for each in app.database.read(unpriced.find)]
    if alarm:
        warning = styled(f"{len(alarm)} finished call(s) can't be priced:", error=True, fg="red", bold=True)
        note(f"{warning} {unpriced.named(alarm)}. Reason: taxiphone call show ID")


@click.command("show", epilog=examples("taxiphone call show 261122-7gq4mk", "taxiphone call show 7gq4mk"))
@click.argument("call_id", metavar="ID")
@json_option
@pass_app
def call_show(app: App, /, call_id: str, as_json: bool) -> None:
    """Show call ID: who, when, how it ended, its price and its recording."""
    row = app.database.read(lambda session: _details(find_call(session, call_id)))
    show_one(row, as_json=as_json)


def _row(each: Call) -> dict[str, Any]:
    priced = each.receipt
    return {
        "id": each.id,
        "arrived_at": each.arrived_at,
        "status": each.status,
        "outcome": each.outcome,
        "client": each.client.name if each.client else None,
        "consultant": each.consultant.name if each.consultant else None,
        "mode": each.mode,
        "billed_seconds": each.billed_seconds,
        "total": None if priced is None else from_minor(priced.total, digits_of(priced.currency)),
        "currency": None if priced is None else priced.currency,
        "review": each.review,
        "unpriced": each.unpriced,
    }


def _details(each: Call) -> dict[str, Any]:
    recording = each.recording
    return {
        **_row(each),
        "dialled": each.dialled,
        "caller": each.caller,
        # Why there is no number: withheld, not verified, ambiguous (directory/callers.py).
        "caller_hidden": next((mark.detail for mark in each.events if mark.what == "caller hidden"), None),
        "talk_from": each.talk_from,
        "talk_to": each.talk_to,
        "max_seconds": each.max_seconds,
        "ended_at": each.ended_at,
        "continues": each.continues_id,
        "dropped": each.dropped,
        "fault": each.fault,
        "stars": each.stars,
        "recording_asked": each.recording_asked,
        "recording": None if recording is None else recording.status,
        "receipt": None if each.receipt is None else each.receipt.number,
    }
