"""The apology, played to a caller if the Stasis application isn't running when the call arrives.

The call's row is added later from Asterisk's event log (billing/metering/arrivals.py), which also has the calls that
arrived while the program was dead.
"""

from __future__ import annotations

import logging

from panoramisk.fast_agi import Request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from taxiphone.dialplan import credentials
from taxiphone.directory import callers, clients, dids
from taxiphone.directory.callers import CallerHeaders
from taxiphone.settings import Settings
from taxiphone.store.database import Database

log = logging.getLogger(__name__)


class Apology:
    """The script `apology`.

    Args:
        settings: validated settings.
        database: where the caller's language is stored.

    Raises:
        SettingsError: a password file can't be read.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self.secret = credentials.load(settings).agi_secret

    async def __call__(self, request: Request) -> None:
        """Apologize in the caller's language, or in the platform's if the database does not answer."""
        headers: dict[str, str] = request.headers
        try:
            language = await self._database.query(lambda session: self._language(session, headers))
        except SQLAlchemyError as error:
            language = self._settings.platform.language
            log.error(
                "a caller hears the apology in %s, because the database did not respond: %s",
                language,
                error.args[0],  # without the SQL statement, which contains the caller's number
            )
        await request.send_command("ANSWER")
        await request.send_command(f"SET VARIABLE CHANNEL(language) {language}")
        await request.send_command("EXEC Playback taxiphone/unavailable")
        await request.send_command("HANGUP")

    def _language(self, session: Session, headers: dict[str, str]) -> str:
        _, did = dids.did_dialled(session, self._settings, headers.get("agi_extension", ""))
        # The first argument is the secret.
        said = CallerHeaders.from_arguments([headers.get(f"agi_arg_{number}", "") for number in range(2, 7)])
        caller = callers.identify(self._settings, headers.get("agi_callerid", ""), said)
        client = clients.client_calling(session, caller.number)
        return client.language if client else did.language if did else self._settings.platform.language
