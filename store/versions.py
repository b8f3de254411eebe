"""The schema versions that this program knows, by its migrations."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.exc import DBAPIError

from taxiphone.errors import SchemaError

MIGRATIONS = Path(__file__).parent / "migrations"


def head() -> str:
    """The schema version that this program works with: that of the newest migration."""
    return max(revisions())


def revisions() -> set[str]:
    """Every schema version that this program knows. A migration's file is named by the version that it leads to."""
    found = {file.name.partition("_")[0] for file in MIGRATIONS.glob("versions/[0-9]*.py")}
    if not found:
        raise SchemaError("the package holds no migrations; install Taxiphone again.")
    return found


def check_known(version: str | None) -> None:
    """Refuse a schema version that this program does not know; None, where there is no schema yet, it does."""
    if version is not None and version not in revisions():
        raise SchemaError(
            f"the database's schema ({version}) is newer than this program ({head()}), or another program's. "
            "Nothing was changed. Install the newer Taxiphone again."
        )


def reason(error: DBAPIError) -> str:
    """What the database said, in one line."""
    return " ".join(str(error.orig).split())
