"""Collects the checks of `taxiphone doctor`."""

from __future__ import annotations

from taxiphone.errors import TaxiphoneError
from taxiphone.server.checks import check_asterisk, check_billing, check_directory, check_recordings
from taxiphone.server.checks.findings import Finding
from taxiphone.settings import Settings
from taxiphone.store.database import Database
from taxiphone.store.versions import head


def findings(settings: Settings) -> list[Finding]:
    """Run all checks and return their findings."""
    return [
        Finding(ok=True, what=f"settings: {settings.file}", advice=""),
        *_database(settings),
        *check_asterisk.check(settings),
        *check_recordings.check(settings),
    ]


def _database(settings: Settings) -> list[Finding]:
    """Check the database and its content."""
    try:
        database = Database(settings.database_url)
        try:
            if database.file is not None and not database.file.exists():
                return [
                    Finding(
                        ok=True,
                        what=f"database: {database.file} does not exist yet; `taxiphone serve` creates it",
                    )
                ]
            database.check_version()
            return [
                Finding(ok=True, what=f"database: at this program's version ({head()})"),
                *check_billing.check(database),
                *database.read(lambda session: check_directory.check(session, settings)),
            ]
        finally:
            database.close()
    except TaxiphoneError as error:
        return [Finding(ok=False, what="the database can't be used", advice=str(error))]
