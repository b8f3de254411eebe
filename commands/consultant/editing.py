"""`taxiphone consultant add` and `consultant set`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from taxiphone.commands.console import App, examples, json_option, pass_app
from taxiphone.commands.consultant.rows import consultant_row, show_consultant
from taxiphone.commands.options import amount, given, whole
from taxiphone.directory import consultants
from taxiphone.errors import UsageError
from taxiphone.speech import names


def _consultant_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option(
            "--more-phone",
            "more_phones",
            multiple=True,
            metavar="NUMBER",
            help="Another phone that rings. Can be repeated.",
        ),
        click.option(
            "--ring",
            type=click.Choice(["in-turn", "at-once"]),
            help="Ring several phones one after the other, in the order given, or all at once.",
        ),
        click.option(
            "--language", metavar="LANG", help="The language that the consultant hears, such as fr or en."
        ),
        click.option(
            "--free-minutes",
            type=whole,
            metavar="MINUTES",
            help="Free minutes for each client who is new to this consultant.",
        ),
        click.option("--package-price", type=amount, help="Price of the package (forfait), tax included."),
        click.option(
            "--package-minutes", type=whole, metavar="MINUTES", help="Duration of the package in minutes."
        ),
        click.option(
            "--recording/--no-recording",
            "recording_allowed",
            default=None,
            help="Allow talks to be recorded.",
        ),
        click.option(
            "--commission",
            type=amount,
            help="The platform's share, from 0 to 1. Default: commission in [billing] of the settings.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    "add",
    epilog=examples(
        'taxiphone consultant add "Maître Anne Dubois" --phone +33639981234 --price 1.55',
        "taxiphone consultant add Anne --phone 0639981234 --price 1.55 --code 103 --free-minutes 10 "
        "--package-price 60 --package-minutes 60 --recording",
        "taxiphone consultant add Anne --phone +33639981234 --more-phone +33144556677 --price 1.55 --ring at-once",
    ),
)
@click.argument("name")
@click.option(
    "--phone",
    required=True,
    metavar="NUMBER",
    help="The phone that rings: +33639981234, or as dialled in the platform's country.",
)
@click.option(
    "--price", "price_per_minute", type=amount, required=True, help="Price per minute, tax included."
)
@click.option("--code", help="The 2 to 8 digits that clients enter. Default: generated.")
@_consultant_options
@json_option
@pass_app
def consultant_add(app: App, /, as_json: bool, **fields: Any) -> None:
    """Add the consultant NAME and print the number that will call their phone."""
    changes = _fields(fields)
    row = app.database.do(
        lambda session: consultant_row(
            app.settings, consultants.add_consultant(session, app.settings, **changes)
        )
    )
    names.try_make(app.settings, "consultant", row["code"], row["name"])
    show_consultant(row, as_json=as_json)


@click.command(
    "set",
    epilog=examples(
        "taxiphone consultant set 101 --unavailable",
        "taxiphone consultant set 101 --price 1.80 --package-price 70 --package-minutes 60",
        "taxiphone consultant set 102 --no-package --default-commission",
        "taxiphone consultant set 101 --more-phone +33144556677 --ring at-once",
    ),
)
@click.argument("code")
@click.option("--name", help="Change the name.")
@click.option("--phone", metavar="NUMBER", help="Replace the first phone.")
@click.option(
    "--remove-phone",
    "remove_phones",
    multiple=True,
    metavar="NUMBER",
    help="Remove a phone. If it was the first, the next one becomes the first. Can be repeated.",
)
@click.option("--price", "price_per_minute", type=amount, help="Change the price per minute.")
@_consultant_options
@click.option("--no-package", is_flag=True, help="Stop offering a package.")
@click.option(
    "--default-commission", is_flag=True, help="Use the commission in [billing] of the settings again."
)
@click.option(
    "--available/--unavailable",
    "available",
    default=None,
    help="Put calls through or not. --available also ends a pause.",
)
@json_option
@pass_app
def consultant_set(
    app: App, /, code: str, no_package: bool, default_commission: bool, as_json: bool, **fields: Any
) -> None:
    """Change the consultant with CODE; settings that you don't give stay as they are.

    A call keeps the prices that were in force when the consultant accepted it.
    """
    changes = _fields(fields)
    if no_package:
        if {"package_price", "package_minutes"} & changes.keys():
            raise UsageError("--no-package can't be combined with --package-price and --package-minutes.")
        changes.update(package_price=None, package_minutes=None)
    if default_commission:
        if "commission" in changes:
            raise UsageError("--default-commission can't be combined with --commission.")
        changes.update(commission=None)
    if not changes:
        raise UsageError("nothing to change. See: taxiphone consultant set --help")
    row = app.database.do(
        lambda session: consultant_row(
            app.settings, consultants.set_consultant(session, app.settings, code, **changes)
        )
    )
    if "name" in changes:
        names.try_make(app.settings, "consultant", row["code"], row["name"])
    show_consultant(row, as_json=as_json)


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """The directory's fields for the options that were given."""
    fields = given(options)
    if "ring" in fields:
        fields["ring_at_once"] = fields.pop("ring") == "at-once"
    return fields
