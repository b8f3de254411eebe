"""`taxiphone call explain`: the whole story of a price."""

from __future__ import annotations

import itertools
from datetime import datetime
from operator import itemgetter
from typing import Any

import click

from taxiphone.billing.papers import explanation
from taxiphone.billing.pricing.money import from_minor
from taxiphone.commands.call_lookup import find_call
from taxiphone.commands.console import (
    App,
    examples,
    json_option,
    pass_app,
    print_json,
    say,
    show,
    show_one,
    styled,
)
from taxiphone.store.calls import ALIVE

_SHOWN_ALIVE = 3
_EVENTS = ("at", "source", "what", "leg", "clock", "detail")
_FORMER = ("issued_at", "replaced_at", "reason", "billed_seconds", "total", "commission", "consultant_share")
_REFUNDS = ("number", "issued_at", "reason", "amount", "consultant", "commission", "vat")
_POSTINGS = ("at", "posting", "account", "amount", "currency", "memo")


@click.command("explain", epilog=examples("taxiphone call explain 261122-7gq4mk"))
@click.argument("call_id", metavar="ID")
@json_option
@pass_app
def call_explain(app: App, /, call_id: str, as_json: bool) -> None:
    """Explain the price of call ID: its events, its tariff, each step of the calculation, and the postings."""
    story = app.database.read(lambda session: explanation.explain(session, find_call(session, call_id)))
    if as_json:
        print_json(story)
        return
    _print_status(story)
    _print_events(story)
    _print_talk(story)
    _print_tariff(story)
    _print_calculation(story)
    _print_corrections(story)
    _heading("Postings")
    show(story["postings"], _POSTINGS, as_json=False, empty="None.")


def _print_status(story: dict[str, Any]) -> None:
    say(f"Call {story['call']}: {story['status']}, {story['outcome'] or 'no outcome yet'}")
    if story["unpriced"]:
        alarm = styled("The call is over and can't be priced:", fg="red", bold=True)
        say(f"{alarm} {story['unpriced']}.")
    if story["review"]:
        say(f"For review: {story['review']}")


def _print_events(story: dict[str, Any]) -> None:
    _heading(
        "Events (times in UTC; source: Asterisk's event log (CEL) or the program's own notes; "
        "clock: the program's monotonic clock)"
    )
    show(_events(story["events"]), _EVENTS, as_json=False, optional=("source",))


def _print_talk(story: dict[str, Any]) -> None:
    _heading("Talk")
    talk = story["talk"]
    if talk is None:
        say("The two parties were never connected.")
        return
    left = f"; {talk['left_first']} left first" if talk["left_first"] else ""
    say(
        f"Connected from {_exact_time(talk['from'])} to {_exact_time(talk['to'])}: {talk['seconds']} s{left}."
    )


def _print_tariff(story: dict[str, Any]) -> None:
    _heading("Tariff when the consultant accepted")
    if story["tariff"] is None:
        say("None: the consultant did not accept the call.")
    elif story["tariff_fault"]:
        say(f"The tariff can't be read: {story['tariff_fault']}.")
    else:
        segments = [_segment(each) for each in story["tariff"]["segments"]]
        show_one({**story["tariff"], "segments": segments}, as_json=False)


def _print_calculation(story: dict[str, Any]) -> None:
    _heading("Calculation")
    for step in story["steps"]:
        say(step["text"])
    if not story["steps"]:
        say("Not priced: nothing was charged.")


def _print_corrections(story: dict[str, Any]) -> None:
    if story["former"]:
        _heading("Prices before re-rating")
        show(story["former"], _FORMER, as_json=False)
    if story["refunds"]:
        _heading("Refunds (each account's part is in proportion to what it received)")
        show(story["refunds"], _REFUNDS, as_json=False)
        say(f"Paid after refunds: {story['paid']} {story['currency']}.")


def _events(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the events, their monotonic clock counted from the program's first note.

    The program notes every few seconds that it is alive. Of several such notes in a row, the first and the last are shown.
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
            omitted = {"source": run[0]["source"], "what": what, "detail": f"{len(run) - 2} more of these"}
            run = [run[0], omitted, run[-1]]
        folded += run
    return folded


def _heading(text: str) -> None:
    say(f"\n{styled(text, bold=True)}")


def _segment(segment: dict[str, Any]) -> str:
    blocks = f"{segment['first']}/{segment['step']} s"
    return f"from {segment['from']} s at {segment['price_per_minute']} a minute ({blocks})"


def _exact_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"
