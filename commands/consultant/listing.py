"""`taxiphone consultant list` and `consultant show`."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from taxiphone.commands.console import App, examples, json_option, pass_app, show
from taxiphone.commands.consultant.rows import consultant_row, show_consultant
from taxiphone.directory import consultants
from taxiphone.store.models import Consultant

_COLUMNS = ("code", "name", "phones", "ring", "price", "package", "available", "paused_until")


@click.command("list", epilog=examples("taxiphone consultant list", "taxiphone consultant list --json"))
@json_option
@pass_app
def consultant_list(app: App, /, as_json: bool) -> None:
    """List the consultants by code."""

    def work(session: Session) -> list[dict[str, Any]]:
        found = select(Consultant).options(
            selectinload(Consultant.dids), selectinload(Consultant.more_phones)
        )
        rows = session.scalars(found.order_by(Consultant.code))
        return [consultant_row(app.settings, each) for each in rows]

    rows = app.database.read(work)
    if not as_json:
        rows = [{**row, "price": row["price_per_minute"], "package": _package(row)} for row in rows]
    empty = "No consultants yet. To add one: taxiphone consultant add --help"
    show(rows, _COLUMNS, as_json=as_json, empty=empty)


@click.command("show", epilog=examples("taxiphone consultant show 101"))
@click.argument("code")
@json_option
@pass_app
def consultant_show(app: App, /, code: str, as_json: bool) -> None:
    """Show the consultant with CODE and the number that calls their phone."""
    row = app.database.read(
        lambda session: consultant_row(app.settings, consultants.the_consultant(session, code))
    )
    show_consultant(row, as_json=as_json)


def _package(row: dict[str, Any]) -> str | None:
    return (
        None if row["package_price"] is None else f"{row['package_price']} for {row['package_minutes']} min"
    )
