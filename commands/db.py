"""`taxiphone db`: the schema's version."""

from __future__ import annotations

from contextlib import closing

import click
from sqlalchemy.exc import DBAPIError

from taxiphone.commands.console import App, json_option, out, pass_app, show_one
from taxiphone.errors import SchemaError
from taxiphone.store import serving
from taxiphone.store.database import Database, head


@click.group("db", help="The database's schema.")
def db() -> None:
    """Commands about the schema."""


@db.command("upgrade")
@json_option
@pass_app
def upgrade(app: App, /, as_json: bool) -> None:
    """Bring the database's schema to this program's version; all of it or nothing.

    Stop `taxiphone serve` first: a program of another version would write beside the change. While one is running this is
    refused.
    """
    with closing(Database(app.settings.database_url)) as database:
        database.create_if_new()
        before = database.version()
        if before != head():
            with closing(serving.lock_of(database)) as alone:
                try:
                    alone.take()
                except DBAPIError as error:
                    raise SchemaError(
                        f"the database {database.name} can't be reached: {error.orig}."
                    ) from None
                database.upgrade()
    if as_json:
        show_one({"before": before, "database": head(), "program": head()}, as_json=True)
    else:
        out.print(
            f"The schema is at {head()}" + (", as before." if before == head() else f" (was {before}).")
        )


@db.command("version")
@json_option
@pass_app
def version(app: App, /, as_json: bool) -> None:
    """Show the schema's version in the database and in this program."""
    with closing(Database(app.settings.database_url)) as database:
        show_one({"database": database.version(), "program": head()}, as_json=as_json)
