"""The scripts that the dialplan runs, by the names that it uses (dialplan/templates/extensions.conf.j2)."""

from __future__ import annotations

from taxiphone.agi.apology import Apology
from taxiphone.agi.caller_language import CallerLanguages, SetLanguage
from taxiphone.agi.server import AgiScript
from taxiphone.settings import Settings
from taxiphone.store.database import Database


def agi_scripts(settings: Settings, database: Database) -> dict[str, AgiScript]:
    """Return the scripts.

    Raises:
        SettingsError: a password file can't be read.
    """
    languages = CallerLanguages(settings, database)
    return {"apology": Apology(settings, languages), "language": SetLanguage(settings, languages)}
