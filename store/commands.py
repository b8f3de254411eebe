"""`taxiphone db`: the schema's version."""

from __future__ import annotations

from contextlib import closing

import click

from taxiphone.console import App, out, pass_app
from taxiphone.store.database import Database, head


@click.group("db", help="The database's schema.")
def db() -> None:
    """Commands about the schema."""


@db.command("upgrade")
@pass_app
def upgrade(app: App) -> None:
    """Bring the database's schema to this program's version."""
    with closing(Database(app.settings.database_url)) as database:
        database.create_if_new()
        before = database.version()
        database.upgrade()
    out.print(f"The schema is at {head()}" + (", as before." if before == head() else f" (was {before})."))


@db.command("version")
@pass_app
def version(app: App) -> None:
    """Show the schema's version in the database and in this program."""
    with closing(Database(app.settings.database_url)) as database:
        out.print(f"database {database.version() or '-'}, program {head()}")
