"""`taxiphone db`: the schema's version, and copying the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from taxiphone.commands.console import App, examples, json_option, pass_app, print_json, say, show_one
from taxiphone.commands.lazy import LazyGroup
from taxiphone.errors import SchemaError, UsageError
from taxiphone.settings import Settings
from taxiphone.settings_sections import DatabaseSection
from taxiphone.store import copying, serving
from taxiphone.store.database import Database
from taxiphone.store.versions import head


@click.group("db", cls=LazyGroup)
def db() -> None:
    """Upgrade, show and copy the database."""


@db.command("upgrade", epilog=examples("taxiphone db upgrade"))
@json_option
@pass_app
def upgrade(app: App, /, as_json: bool) -> None:
    """Upgrade the database's schema to this program's version, completely or not at all.

    Stop `taxiphone serve` and back up the database first: there is no downgrade (docs/operations.md). While `serve` is
    running, the upgrade is refused, because two versions would write to the database at the same time.
    """
    with closing(Database(app.settings.database_url)) as database:
        database.create_if_new()
        before = database.version()
        if before != head():
            with _alone(database):
                database.upgrade()
    if as_json:
        show_one({"before": before, "database": head(), "program": head()}, as_json=True)
    else:
        say(f"The schema is at {head()}" + (", as before." if before == head() else f" (was {before})."))


@db.command("version", epilog=examples("taxiphone db version", "taxiphone db version --json"))
@json_option
@pass_app
def version(app: App, /, as_json: bool) -> None:
    """Show the schema's version in the database and in this program."""
    with closing(Database(app.settings.database_url)) as database:
        show_one({"database": database.version(), "program": head()}, as_json=as_json)


@db.command(
    "copy",
    epilog=examples(
        "taxiphone db copy postgresql+psycopg://taxiphone@db.example.org/taxiphone --password-file database.password",
        "taxiphone db copy sqlite:////var/lib/taxiphone/copy.db",
    ),
)
@click.argument("url")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file of mode 0600 that holds the password of the database at URL.",
)
@json_option
@pass_app
def copy(app: App, /, url: str, password_file: Path | None, as_json: bool) -> None:
    """Copy all data into the empty database at URL, from SQLite to PostgreSQL or vice versa.

    Stop `taxiphone serve` first; while it is running, the copy is refused. The schema is created at URL if there is none.
    All tables are copied in one transaction, ids included. The settings stay as they are: set `[database] url` afterwards
    (docs/operations.md).
    """
    _check_no_password(url)
    section = DatabaseSection(url=url, password_file=password_file and password_file.resolve())
    wanted: Settings = app.settings.model_copy(update={"database": section})
    source = app.database
    with closing(Database(wanted.database_url)) as target, _alone(source):
        if (
            target.file is not None
            and source.file is not None
            and target.file.resolve() == source.file.resolve()
        ):
            raise UsageError(f"{target.name} is the database that would be copied.")
        target.create_if_new()
        with _alone(target):
            if target.version() is None:
                target.upgrade()
            target.check_version()
            counts = copying.copy(source, target)
    if as_json:
        print_json({"from": source.name, "to": target.name, "rows": counts})
        return
    say(f"Copied {sum(counts.values())} rows of {len(counts)} tables")
    say(f"from {source.name}")
    say(f"to   {target.name}")
    say("Next: set [database] url in taxiphone.toml, then run: taxiphone ledger check")


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Keep every `serve` out of a database.

    Raises:
        SetupError: one is running on it.
        SchemaError: the database can't be reached.
    """
    with closing(serving.lock_of(database)) as lock:
        try:
            lock.take()
        except DBAPIError as error:
            raise SchemaError(f"the database {database.name} can't be reached: {error.orig}.") from None
        yield


def _check_no_password(url: str) -> None:
    """Refuse a password on the command line, where every user of the machine can read it."""
    try:
        password = make_url(url).password
    except ArgumentError:
        return
    if password is not None:
        raise UsageError("URL must not contain a password: other users could read it. Use --password-file.")
