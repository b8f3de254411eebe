"""`taxiphone number`: the numbers that clients dial."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from taxiphone.commands.console import App, examples, json_option, pass_app, show, show_one
from taxiphone.commands.lazy import LazyGroup
from taxiphone.commands.options import given
from taxiphone.directory import dids
from taxiphone.errors import UsageError
from taxiphone.store.models import Did


@click.group(cls=LazyGroup)
def number() -> None:
    """Manage the platform's numbers that clients dial."""


@number.command(
    "add",
    epilog=examples(
        "taxiphone number add +33199001234 --consultant 101",
        "taxiphone number add +33199005678        # shared: clients enter a consultant's code",
    ),
)
@click.argument("number")
@click.option(
    "--consultant",
    "consultant_code",
    metavar="CODE",
    help="The consultant whose number it is. Default: shared by all.",
)
@click.option("--language", metavar="LANG", help="The language for callers who are not clients.")
@json_option
@pass_app
def number_add(app: App, /, as_json: bool, **fields: Any) -> None:
    """Add NUMBER, one of the trunk's numbers, for clients to dial."""
    changes = given(fields)
    row = app.database.do(lambda session: _number_row(dids.add_number(session, app.settings, **changes)))
    show_one(row, as_json=as_json)


@number.command("list", epilog=examples("taxiphone number list", "taxiphone number list --json"))
@json_option
@pass_app
def number_list(app: App, /, as_json: bool) -> None:
    """List the platform's numbers."""

    def work(session: Session) -> list[dict[str, Any]]:
        found = select(Did).options(selectinload(Did.consultant)).order_by(Did.number)
        return [_number_row(each) for each in session.scalars(found)]

    empty = "No numbers yet. To add one: taxiphone number add --help"
    show(app.database.read(work), ("number", "consultant", "name", "language"), as_json=as_json, empty=empty)


@number.command(
    "set",
    epilog=examples(
        "taxiphone number set +33199001234 --consultant 102",
        "taxiphone number set +33199001234 --everybody",
    ),
)
@click.argument("number")
@click.option("--consultant", "consultant_code", metavar="CODE", help="Give the number to this consultant.")
@click.option(
    "--everybody", is_flag=True, default=None, help="Share the number: clients enter a consultant's code."
)
@click.option("--language", metavar="LANG", help="Change the language.")
@json_option
@pass_app
def number_set(app: App, /, as_json: bool, **fields: Any) -> None:
    """Change the platform's NUMBER; settings that you don't give stay as they are."""
    changes = given(fields)
    if not changes:
        raise UsageError("nothing to change. See: taxiphone number set --help")
    if {"consultant_code", "everybody"} <= changes.keys():
        raise UsageError("--everybody can't be combined with --consultant.")
    row = app.database.do(lambda session: _number_row(dids.set_number(session, app.settings, **changes)))
    show_one(row, as_json=as_json)


def _number_row(found: Did) -> dict[str, Any]:
    owner = found.consultant
    return {
        "number": found.number,
        "consultant": None if owner is None else owner.code,
        "name": None if owner is None else owner.name,
        "language": found.language,
    }
