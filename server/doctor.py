"""`taxiphone doctor`: every room's own look at itself, in one list."""

from __future__ import annotations

from taxiphone.billing import checks as billing_checks
from taxiphone.console import App
from taxiphone.dialplan import checks
from taxiphone.dialplan.findings import Finding
from taxiphone.directory import doctor as directory_checks
from taxiphone.errors import TaxiphoneError
from taxiphone.recordings import checks as recording_checks
from taxiphone.settings import Settings
from taxiphone.store.database import Database, head


def findings(app: App) -> list[Finding]:
    """What was found, the settings first: without them nothing else can be looked at."""
    try:
        settings = app.settings
    except TaxiphoneError as error:
        return [Finding(ok=False, what="the settings can't be used", advice=str(error))]
    return [
        Finding(ok=True, what=f"settings: {settings.file}", advice=""),
        *_database(settings),
        *checks.check(settings),
        *recording_checks.check(settings),
    ]


def _database(settings: Settings) -> list[Finding]:
    """The database, and what the calls in it say."""
    try:
        database = Database(settings.database_url)
        try:
            if database.file is not None and not database.file.exists():
                return [Finding(ok=True, what=f"database: none yet; `taxiphone serve` makes {database.file}")]
            database.check_version()
            return [
                Finding(ok=True, what=f"database: at this program's version ({head()})"),
                *billing_checks.check(database),
                *database.read(lambda session: directory_checks.check(session, settings)),
            ]
        finally:
            database.close()
    except TaxiphoneError as error:
        return [Finding(ok=False, what="the database can't be used", advice=str(error))]
