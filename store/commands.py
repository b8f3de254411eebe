"""`taxiphone db`: the schema's version."""

from __future__ import annotations

from contextlib import closing

import click
from sqlalchemy.exc import DBAPIError

from taxiphone.console import App, out, pass_app
from taxiphone.errors import SchemaError
from taxiphone.store import serving
from taxiphone.store.database import Database, head


@click.group("db", help="The database's schema.")
def db() -> None:
    """Commands about the schema."""


@db.command("upgrade")
@pass_app
def upgrade(app: App) -> None:
    """Bring the database's schema to this program's version.

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
    out.print(f"The schema is at {head()}" + (", as before." if before == head() else f" (was {before})."))


@db.command("version")
@pass_app
def version(app: App) -> None:
    """Show the schema's version in the database and in this program."""
    with closing(Database(app.settings.database_url)) as database:
        out.print(f"database {database.version() or '-'}, program {head()}")
