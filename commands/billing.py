"""`taxiphone billing what-if`: what a period would have brought under another tariff."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any

import click

from taxiphone.billing import days
from taxiphone.billing import what_if as sums
from taxiphone.billing.pricing.money import digits_of
from taxiphone.billing.pricing.quote_file import read_tariff
from taxiphone.billing.pricing.tariff_price import amount_text
from taxiphone.billing.tariffs_in_force import MODES
from taxiphone.commands.console import App, examples, json_option, pass_app, print_json, say, show, styled
from taxiphone.commands.lazy import LazyGroup
from taxiphone.commands.options import Day
from taxiphone.commands.progress import counting
from taxiphone.errors import UsageError

_SUMS = ("revenue", "commission", "consultants", "vat")


@click.group(cls=LazyGroup)
def billing() -> None:
    """Calculate what past calls would have cost under another tariff."""


@billing.command(
    "what-if",
    epilog=examples(
        "taxiphone billing what-if --from 2026-10-01 --to 2026-10-31 --tariff tariff.json",
        "taxiphone billing what-if --from 2026-10-01 --to 2026-10-31 --set price_per_minute=1.80",
        "taxiphone billing what-if --from 2026-10-01 --to 2026-10-31 --mode package --set fee=70 --set commission=0.25",
    ),
)
@click.option(
    "--from",
    "first",
    type=Day(),
    metavar="DATE",
    required=True,
    help="The first day, in the platform's time zone.",
)
@click.option("--to", "last", type=Day(), metavar="DATE", required=True, help="The last day.")
@click.option(
    "--tariff",
    metavar="FILE",
    help="Price every call by the tariff in this JSON file, as in `taxiphone quote`.",
)
@click.option(
    "--set",
    "changes",
    metavar="KEY=NUMBER",
    multiple=True,
    help="Price every call by its own tariff with this change. Can be repeated. "
    f"KEY is one of {', '.join(sums.SETTABLE)}. What was free stays free.",
)
@click.option("--mode", type=click.Choice(MODES), help="Only calls in this mode.")
@click.option(
    "--top",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help="Number of clients to list at each end.",
)
@json_option
@pass_app
def what_if(
    app: App,
    /,
    first: date,
    last: date,
    tariff: str | None,
    changes: tuple[str, ...],
    mode: str | None,
    top: int,
    as_json: bool,
) -> None:
    """Re-rate the calls of a period under another tariff without posting anything.

    A call belongs to the day on which its talk began. Each call keeps its talk and its recording: the command can't tell
    whether people would have talked as long at another price. If the tariff has free minutes, every call gets them.
    """
    if (tariff is None) == (not changes):
        raise UsageError("give either --tariff FILE or --set KEY=NUMBER.")
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}.")
    currency = app.settings.platform.currency
    zone = days.zone_of(app.settings)
    begin, end = days.begin_of(first, zone), days.end_of(last, zone)
    period = sums.Period(begin, end, currency, mode)
    with app.database.reading() as session:
        if tariff is None:
            rule = _changed(changes)
        else:
            rule = _by_file(tariff, currency, recorded=sums.any_recorded(session, period))
        with counting("Re-rating", sums.calls_in(session, period)) as progress:
            found = sums.run(session, period, rule, top=top, progress=progress)
        codes = sums.codes(session, [*found.most, *found.least])
    row = _shown(found, codes, first, last, currency, mode)
    if as_json:
        print_json(row)
    else:
        _print(row)


def _by_file(file: str, currency: str, *, recorded: bool) -> sums.Rule:
    tariff = read_tariff(file, recorded=recorded)
    if tariff.currency != currency:
        raise UsageError(f"{file}: currency: the calls were charged in {currency}, not in {tariff.currency}.")
    return sums.same_for_all(tariff)


def _changed(changes: tuple[str, ...]) -> sums.Rule:
    pairs = [change.partition("=") for change in changes]
    for key, equals, _ in pairs:
        if not equals:
            raise UsageError(f"--set: {key!r} is not KEY=NUMBER, such as price_per_minute=1.80.")
    if len({key for key, _, _ in pairs}) < len(pairs):
        raise UsageError("--set: the same key was given twice.")
    try:
        return sums.changed({key: value for key, _, value in pairs})
    except ValueError as error:
        raise UsageError(f"--set: {error}.") from None


def _shown(
    found: sums.WhatIf, codes: dict[int, str], first: date, last: date, currency: str, mode: str | None
) -> dict[str, Any]:
    digits = digits_of(currency)

    def money(minor: int) -> str:
        return amount_text(minor, digits)

    def client(change: sums.ClientChange) -> dict[str, Any]:
        return {
            "client": codes.get(change.client_id),
            "now": money(change.now),
            "then": money(change.then),
            "difference": money(change.difference),
        }

    now, then = asdict(found.now), asdict(found.then)
    return {
        "from": first.isoformat(),
        "to": last.isoformat(),
        "mode": mode,
        "currency": currency,
        "calls": found.calls,
        "now": {name: money(now[name]) for name in _SUMS},
        "then": {name: money(then[name]) for name in _SUMS},
        "difference": {name: money(then[name] - now[name]) for name in _SUMS},
        "clients": {
            "more": found.more,
            "less": found.less,
            "same": found.same,
            "most": [client(change) for change in found.most],
            "least": [client(change) for change in found.least],
        },
    }


def _print(row: dict[str, Any]) -> None:
    calls, clients = row["calls"], row["clients"]
    say(f"{calls} calls from {row['from']} to {row['to']}, amounts in {row['currency']}, tax included.\n")
    columns = ("", "now", "then", "difference")
    table = [
        {"": _NAMES[name], **{column: Decimal(row[column][name]) for column in columns[1:]}} for name in _SUMS
    ]
    show(table, columns, as_json=False)
    say(
        f"\n{clients['more']} clients would have paid more, {clients['less']} less, {clients['same']} the same."
    )
    for title, which in (("Largest increases", "most"), ("Largest decreases", "least")):
        if clients[which]:
            say(f"\n{styled(title, bold=True)}")
            named = [{**each, **{key: Decimal(each[key]) for key in columns[1:]}} for each in clients[which]]
            show(named, ("client", *columns[1:]), as_json=False)
    say("\nNothing was posted.")


_NAMES = {
    "revenue": "Revenue",
    "commission": "Commission",
    "consultants": "Consultants' shares",
    "vat": "Tax included in the revenue",
}
