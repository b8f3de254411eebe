"""`taxiphone consultant`: who is called, on which phone, at what prices."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from taxiphone.commands.console import App, examples, json_option, out, pass_app, show, show_one
from taxiphone.commands.options import amount, given, whole
from taxiphone.directory import numbers, people
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.speech import names
from taxiphone.store.models import Consultant
from taxiphone.store.types import now


@click.group()
def consultant() -> None:
    """Consultants: who is called, on which phone, at what prices.

    A consultant is addressed by the code that clients key in.
    """


def _consultant_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option(
            "--more-phone",
            "more_phones",
            multiple=True,
            metavar="NUMBER",
            help="A further phone that rings; may come again.",
        ),
        click.option(
            "--ring",
            type=click.Choice(["in-turn", "at-once"]),
            help="Several phones: one after the other (as they come), or all at once.",
        ),
        click.option("--language", metavar="LANG", help="What the consultant hears, such as fr or en."),
        click.option("--free-minutes", type=whole, help="Minutes that a client new to this consultant gets."),
        click.option("--package-price", type=amount, help="Price of the package (forfait) ..."),
        click.option("--package-minutes", type=whole, help="... and how many minutes it lasts."),
        click.option(
            "--recording/--no-recording", "recording_allowed", default=None, help="May talks be recorded?"
        ),
        click.option(
            "--commission", type=amount, help="The platform's share, 0 to 1; else the one of [billing]."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@consultant.command(
    "add",
    epilog=examples(
        'taxiphone consultant add "Maître Anne Dubois" --phone +33639981234 --price 1.55',
        "taxiphone consultant add Anne --phone 0639981234 --price 1.55 --code 101 --free-minutes 10 "
        "--package-price 60 --package-minutes 60 --recording",
        "taxiphone consultant add Anne --phone +33639981234 --more-phone +33144556677 --price 1.55 --ring at-once",
    ),
)
@click.argument("name")
@click.option("--phone", required=True, help="The phone that rings: +33639981234, or as dialled inland.")
@click.option(
    "--price", "price_per_minute", type=amount, required=True, help="Price per minute, tax included."
)
@click.option("--code", help="2 to 8 digits that clients key in; drawn where none is given.")
@_consultant_options
@json_option
@pass_app
def consultant_add(app: App, /, as_json: bool, **fields: Any) -> None:
    """Add the consultant NAME and say which number will call."""
    changes = _fields(fields)
    row = app.database.do(
        lambda session: _consultant_row(app.settings, people.add_consultant(session, app.settings, **changes))
    )
    names.try_make(app.settings, "consultant", row["code"], row["name"])
    _show_consultant(row, as_json=as_json)


@consultant.command("list")
@json_option
@pass_app
def consultant_list(app: App, /, as_json: bool) -> None:
    """List the consultants by code."""

    def work(session: Session) -> list[dict[str, Any]]:
        found = select(Consultant).options(
            selectinload(Consultant.dids), selectinload(Consultant.more_phones)
        )
        rows = session.scalars(found.order_by(Consultant.code))
        return [_consultant_row(app.settings, each) for each in rows]

    rows = app.database.read(work)
    if not as_json:
        rows = [{**row, "price": row["price_per_minute"], "package": _package(row)} for row in rows]
    columns = ("code", "name", "phones", "ring", "price", "package", "available", "paused_until")
    show(rows, columns, as_json=as_json, empty="No consultants yet. Add one: taxiphone consultant add --help")


@consultant.command("show", epilog=examples("taxiphone consultant show 101"))
@click.argument("code")
@json_option
@pass_app
def consultant_show(app: App, /, code: str, as_json: bool) -> None:
    """Show the consultant with CODE, and the number that will call their phone."""
    row = app.database.read(
        lambda session: _consultant_row(app.settings, people.the_consultant(session, code))
    )
    _show_consultant(row, as_json=as_json)


@consultant.command(
    "set",
    epilog=examples(
        "taxiphone consultant set 101 --unavailable",
        "taxiphone consultant set 101 --price 1.80 --package-price 70 --package-minutes 60",
        "taxiphone consultant set 101 --no-package --default-commission",
        "taxiphone consultant set 101 --more-phone +33144556677 --ring at-once",
    ),
)
@click.argument("code")
@click.option("--name", help="Another name.")
@click.option("--phone", help="Another phone that rings, in the place of the first.")
@click.option(
    "--remove-phone",
    "remove_phones",
    multiple=True,
    metavar="NUMBER",
    help="A phone that rings no more; after the first one, the next is the first.",
)
@click.option("--price", "price_per_minute", type=amount, help="Another price per minute.")
@_consultant_options
@click.option("--no-package", is_flag=True, help="Offer no package any more.")
@click.option("--default-commission", is_flag=True, help="The share of [billing] again.")
@click.option(
    "--available/--unavailable",
    "available",
    default=None,
    help="Whether calls are put through; --available also ends a pause.",
)
@json_option
@pass_app
def consultant_set(
    app: App, /, code: str, no_package: bool, default_commission: bool, as_json: bool, **fields: Any
) -> None:
    """Change the consultant with CODE; only what is given changes.

    A call that the consultant has accepted keeps the prices that it began with.
    """
    changes = _fields(fields)
    if no_package:
        if {"package_price", "package_minutes"} & changes.keys():
            raise UsageError("--no-package does not go with --package-price and --package-minutes.")
        changes.update(package_price=None, package_minutes=None)
    if default_commission:
        if "commission" in changes:
            raise UsageError("--default-commission does not go with --commission.")
        changes.update(commission=None)
    if not changes:
        raise UsageError("nothing to change was given. See: taxiphone consultant set --help")
    row = app.database.do(
        lambda session: _consultant_row(
            app.settings, people.set_consultant(session, app.settings, code, **changes)
        )
    )
    if "name" in changes:
        names.try_make(app.settings, "consultant", row["code"], row["name"])
    _show_consultant(row, as_json=as_json)


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    fields = given(options)
    if "ring" in fields:
        fields["ring_at_once"] = fields.pop("ring") == "at-once"
    return fields


def _consultant_row(settings: Settings, found: Consultant) -> dict[str, Any]:
    phones = [found.phone, *(entry.number for entry in sorted(found.more_phones, key=attrgetter("position")))]
    paused = found.paused_until is not None and found.paused_until > now()
    return {
        "code": found.code,
        "name": found.name,
        "phone": phones[0],
        "phones": phones,
        "ring": "at-once" if found.ring_at_once else "in-turn",
        "language": found.language,
        "currency": settings.platform.currency,
        "price_per_minute": found.price_per_minute,
        "free_minutes": found.free_minutes,
        "package_price": found.package_price,
        "package_minutes": found.package_minutes,
        "recording": found.recording_allowed,
        "commission": settings.billing.commission if found.commission is None else found.commission,
        "available": found.available,
        "paused_until": found.paused_until if paused else None,
        "numbers": sorted(entry.number for entry in found.dids),
        "called_from": settings.platform.cli,
    }


def _package(row: dict[str, Any]) -> str | None:
    return (
        None if row["package_price"] is None else f"{row['package_price']} for {row['package_minutes']} min"
    )


def _show_consultant(row: dict[str, Any], *, as_json: bool) -> None:
    if not as_json:
        out.print(
            f"The platform calls {', '.join(row['phones'])} from [bold]{numbers.readable(row['called_from'])}[/]: "
            "this number should be saved in the phone.\n"
        )
        row = {key: value for key, value in row.items() if key not in {"called_from", "phone"}}
    show_one(row, as_json=as_json)
