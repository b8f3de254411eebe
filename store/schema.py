"""Migrates the schema from one version to another with Alembic, which only this module imports."""

from __future__ import annotations

from collections.abc import Callable

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine

from taxiphone.errors import SchemaError
from taxiphone.store.versions import MIGRATIONS

__all__ = ["CommandError", "downgrade", "upgrade"]


def upgrade(engine: Engine, revision: str) -> None:
    """Upgrade the schema to a version, or to the newest with "head", in one transaction.

    Raises:
        CommandError: Alembic refused.
        SchemaError: a foreign key would be violated; nothing was changed.
    """
    _migrate(engine, command.upgrade, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Downgrade the schema to a version, in one transaction.

    Raises:
        CommandError: Alembic refused.
        SchemaError: a foreign key would be violated; nothing was changed.
    """
    _migrate(engine, command.downgrade, revision)


def config() -> Config:
    """Return Alembic's configuration, with the folder of the migrations."""
    alembic = Config()
    alembic.set_main_option("script_location", str(MIGRATIONS))
    return alembic


def _migrate(engine: Engine, migrate: Callable[[Config, str], None], revision: str) -> None:
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if sqlite:
            # Rebuilding a table would delete the rows that refer to it, so the foreign keys are checked at the end.
            connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                if not sqlite:
                    # If two programs start at once, the second waits and then finds the schema migrated.
                    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7419)")
                alembic = config()
                alembic.attributes["connection"] = connection
                migrate(alembic, revision)
                if sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise SchemaError(
                        "the database has rows that point to nothing, so its schema was left as it is. "
                        "Restore a backup, or have the rows looked at: PRAGMA foreign_key_check."
                    )
        finally:
            if sqlite:
                connection.connection.cursor().execute("PRAGMA foreign_keys = ON")
