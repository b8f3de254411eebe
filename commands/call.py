"""`taxiphone call`: what happened, what it cost and why, and the price again where the log says another."""

from __future__ import annotations

import itertools
from datetime import date, datetime
from operator import itemgetter
from typing import Any

import click
from rich.markup import escape
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from taxiphone.billing.call_filter import CallFilter, query
from taxiphone.billing.metering import unpriced
from taxiphone.billing.papers import explanation
from taxiphone.billing.pricing.money import digits_of, from_minor
from taxiphone.billing.rerating import rerate
from taxiphone.commands.console import (
    App,
    err,
    examples,
    json_option,
    out,
    pass_app,
    print_json,
    show,
    show_one,
)
from taxiphone.commands.options import Day
from taxiphone.errors import UsageError
from taxiphone.store.calls import ALIVE, Outcome, Status
from taxiphone.store.models import Call

_SOME = 5
_SHOWN_ALIVE = 3
_FORMER = ("issued_at", "replaced_at", "reason", "billed_seconds", "total", "commission", "consultant_share")
_REFUNDS = ("number", "issued_at", "reason", "amount", "consultant", "commission", "vat")
_POSTINGS = ("at", "posting", "account", "amount", "currency", "memo")


@click.group()
def call() -> None:
    """Calls: what happened, and what it cost.

    A call is addressed by its id, or by the beginning or the end of it where only one call has that.
    """


@call.command(
    "list",
    epilog=examples(
        "taxiphone call list",
        "taxiphone call list --client +33639985678 --day 2026-11-22",
        "taxiphone call list --consultant 101 --from 2026-11-01 --to 2026-11-30 --outcome talked --limit 1000",
    ),
)
@click.option("--client", metavar="CODE|NUMBER", help="Only this client's calls.")
@click.option("--consultant", metavar="CODE", help="Only calls to this consultant.")
@click.option("--day", type=Day(), metavar="DATE", help="Only calls of this day.")
@click.option("--from", "first", type=Day(), metavar="DATE", help="Only calls of this day and later.")
@click.option("--to", "last", type=Day(), metavar="DATE", help="Only calls of this day and earlier.")
@click.option(
    "--outcome", type=click.Choice([str(outcome) for outcome in Outcome]), help="Only calls that ended so."
)
@click.option(
    "--status", type=click.Choice([str(status) for status in Status]), help="Only calls at this step."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Maximum number of calls, newest first.",
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
    """List the latest calls.

    A call belongs to the day on which its talk began, or on which it arrived if there was none, in the platform's time
    zone. Times are shown in UTC.
    """
    if day is not None:
        if first is not None or last is not None:
            raise UsageError("--day does not go with --from and --to.")
        first = last = day
    chosen = CallFilter(first=first, last=last, **wanted)

    def work(session: Session) -> list[dict[str, Any]]:
        return [_row(each) for each in session.scalars(query(session, app.settings, chosen).limit(limit))]

    columns = (
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
    show(
        app.database.read(work),
        columns,
        as_json=as_json,
        empty="No calls yet." if chosen == CallFilter() else "No such calls.",
        optional=("status", "billed_seconds", "currency"),
    )
    alarm = [each.call_id for each in app.database.read(unpriced.find)]
    if alarm:
        err.print(
            f"[bold red]{len(alarm)} call(s) are over and can't be priced:[/] {escape(unpriced.named(alarm))}. "
            "Why: taxiphone call show ID"
        )


@call.command("show", epilog=examples("taxiphone call show 261122-7gq4mk", "taxiphone call show 7gq4mk"))
@click.argument("call_id", metavar="ID")
@json_option
@pass_app
def call_show(app: App, /, call_id: str, as_json: bool) -> None:
    """Show the call ID: who, when, how it ended, what it cost, and whether it was recorded."""
    row = app.database.read(lambda session: _details(find_call(session, call_id)))
    show_one(row, as_json=as_json)


@call.command("explain", epilog=examples("taxiphone call explain 261122-7gq4mk"))
@click.argument("call_id", metavar="ID")
@json_option
@pass_app
def call_explain(app: App, /, call_id: str, as_json: bool) -> None:
    """Explain the price of the call ID: every event, the tariff that was in force, each step of the sum, the postings."""
    story = app.database.read(lambda session: explanation.explain(session, find_call(session, call_id)))
    if as_json:
        print_json(story)
        return
    _print_story(story)


@call.command(
    "rate",
    epilog=examples(
        "taxiphone call rate 261122-7gq4mk",
        "taxiphone call rate --again 261122-7gq4mk",
        'taxiphone call rate --again 261122-7gq4mk --reason "the end of the talk was missing in the log"',
    ),
)
@click.argument("call_id", metavar="ID")
@click.option("--again", is_flag=True, help="Price a call anew that has its price.")
@click.option("--reason", metavar="TEXT", default="", help="Stands on the next version of the receipt.")
@json_option
@pass_app
def call_rate(app: App, /, call_id: str, again: bool, reason: str, as_json: bool) -> None:
    """Price the call ID, which is over and could not be priced; with --again, one that has its price.

    Both go by Asterisk's rows and the tariff that was frozen when the call was accepted. Without --again it does at once
    what `serve` tries every minute: for a call that `ledger check` names, when the cause is gone.

    With --again, where the price is the same, nothing is posted. Else what was charged is reversed and posted anew, in one
    piece: the client is never charged twice, nor more than was held for the call when it was accepted. What is dearer
    comes from the client's wallet, and where that does not hold it, the call keeps its price.
    """
    if not again:
        if reason:
            raise UsageError("--reason goes with --again: it stands on the next version of a receipt.")
        _rate_first(app, call_id, as_json=as_json)
        return

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
        out.print(
            f"Call {row['call']} costs {row['total']} {row['currency']}, as before: nothing was posted."
        )
    else:
        out.print(
            f"Call {row['call']} cost {row['before']} and costs {row['total']} {row['currency']} now: reversed, posted "
            f"anew, receipt version {row['version']}."
        )


def _rate_first(app: App, call_id: str, *, as_json: bool) -> None:
    def work(session: Session) -> dict[str, Any]:
        call = find_call(session, call_id)
        receipt = unpriced.settle(session, call)
        if receipt is None:
            return {"call": call.id, "status": str(call.status), "total": None, "currency": None}
        total = from_minor(receipt.total, digits_of(receipt.currency))
        return {"call": call.id, "status": str(call.status), "total": total, "currency": receipt.currency}

    row = app.database.do(work)
    if as_json:
        print_json(row)
    elif row["total"] is None:
        out.print(f"Nobody talked in call {row['call']}: it is closed, and what was held was given back.")
    else:
        out.print(
            f"Call {row['call']} costs {row['total']} {row['currency']}: posted, the receipt is written."
        )


def find_call(session: Session, text: str) -> Call:
    """The one call with this id, or whose id begins or ends so.

    Raises:
        UsageError: there is none, or more than one.
    """
    exact = session.get(Call, text)
    if exact is not None:
        return exact
    like = or_(Call.id.startswith(text, autoescape=True), Call.id.endswith(text, autoescape=True))
    found = list(session.scalars(select(Call).where(like).order_by(Call.id).limit(_SOME + 1))) if text else []
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"there is no call {text!r}. `taxiphone call list` shows the latest.")
    named = ", ".join(each.id for each in found[:_SOME]) + (", ..." if len(found) > _SOME else "")
    raise UsageError(f"more than one call is {text!r}: {named}. Write more of the id.")


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


def _print_story(story: dict[str, Any]) -> None:
    out.print(
        f"Call {story['call']}: {story['status']}, {story['outcome'] or 'no outcome yet'}", markup=False
    )
    if story["unpriced"]:
        out.print(f"[bold red]It is over and can't be priced:[/] {escape(story['unpriced'])}.")
    if story["review"]:
        out.print(f"To be looked at: {story['review']}", markup=False)
    _heading(
        "Events (times in UTC; source: Asterisk's own log (CEL), or what the program noted, whose second clock can't step)"
    )
    show(
        _events(story["events"]),
        ("at", "source", "what", "leg", "clock", "detail"),
        as_json=False,
        optional=("source",),
    )
    _heading("Talk")
    if story["talk"] is None:
        out.print("The two were never in the talk's bridge together.")
    else:
        talked = story["talk"]
        begun, ended = _exact_time(talked["from"]), _exact_time(talked["to"])
        left = f", {talked['left_first']} left first" if talked["left_first"] else ""
        out.print(f"Both in the bridge from {begun} to {ended}: {talked['seconds']} s{left}.", markup=False)
    _heading("Tariff, as it was when the consultant accepted")
    if story["tariff"] is None:
        out.print("None: the consultant did not accept.")
    elif story["tariff_fault"]:
        out.print(f"It can't be read: {story['tariff_fault']}.", markup=False)
    else:
        show_one(
            {**story["tariff"], "segments": [_segment(s) for s in story["tariff"]["segments"]]}, as_json=False
        )
    _heading("Sum")
    for step in story["steps"]:
        out.print(step["text"], markup=False)
    if not story["steps"]:
        out.print("Not priced: nothing was charged.")
    if story["former"]:
        _heading("Prices before it was rated again")
        show(story["former"], _FORMER, as_json=False)
    if story["refunds"]:
        _heading("Refunds: each pocket gives back in the proportion in which it holds what was paid")
        show(story["refunds"], _REFUNDS, as_json=False)
        out.print(f"Paid after that: {story['paid']} {story['currency']}.")
    _heading("Postings")
    show(story["postings"], _POSTINGS, as_json=False, empty="None.")


def _events(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the program's monotonic clock counted from its first mark: so a step of the wall clock shows.

    The program notes that it is alive every few seconds; of such notes in a row the first and the last are shown.
    """
    begun = min((event["monotonic_us"] for event in events if event["monotonic_us"] is not None), default=0)

    def clock(event: dict[str, Any]) -> str | None:
        since = event["monotonic_us"]
        return None if since is None else f"+{from_minor(since - begun, 6)} s"

    rows = [{**event, "at": _exact_time(event["at"]), "clock": clock(event)} for event in events]
    folded: list[dict[str, Any]] = []
    for what, group in itertools.groupby(rows, key=itemgetter("what")):
        run = list(group)
        if what == ALIVE and len(run) > _SHOWN_ALIVE:
            left_out = {"source": run[0]["source"], "what": what, "detail": f"{len(run) - 2} more like these"}
            run = [run[0], left_out, run[-1]]
        folded += run
    return folded


def _heading(text: str) -> None:
    out.print(f"\n[bold]{text}[/]")


def _segment(segment: dict[str, Any]) -> str:
    blocks = f"{segment['first']}/{segment['step']} s"
    return f"from {segment['from']} s at {segment['price_per_minute']} a minute ({blocks})"


def _exact_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"
