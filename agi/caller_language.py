"""The language of a caller whom the application doesn't serve, and the script `language`, which sets it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from panoramisk.fast_agi import Request
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from taxiphone.dialplan import credentials
from taxiphone.directory import callers, dids, lookup
from taxiphone.directory.callers import CallerHeaders
from taxiphone.settings import Settings
from taxiphone.store.database import Database

log = logging.getLogger(__name__)

_SECONDS = 2.0  # a caller who waits for a sentence hears nothing meanwhile


class CallerLanguages:
    """Finds the language of a caller: the client's, the dialled number's, or the platform's.

    Args:
        settings: validated settings.
        database: where the languages are stored.
        seconds: how long to wait for the database.
    """

    def __init__(self, settings: Settings, database: Database, seconds: float = _SECONDS) -> None:
        self._settings, self._database, self._seconds = settings, database, seconds

    async def of(self, headers: Mapping[str, str]) -> str:
        """Return the language of the caller of an AGI request, or the platform's if the database does not answer."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._database.fetch(lambda connection: self._language(connection, headers))
        except (SQLAlchemyError, TimeoutError) as error:
            language = self._settings.platform.language
            log.error(
                "a caller is spoken to in %s, because the database did not respond: %s",
                language,
                # Without the SQL statement, which contains the caller's number.
                error.args[0] if isinstance(error, SQLAlchemyError) else "no answer in time",
            )
            return language

    def _language(self, connection: Connection, headers: Mapping[str, str]) -> str:
        _, did = dids.did_dialled(connection, self._settings, headers.get("agi_extension", ""))
        # The first argument is the secret.
        said = CallerHeaders.from_arguments([headers.get(f"agi_arg_{number}", "") for number in range(2, 7)])
        caller = callers.identify(self._settings, headers.get("agi_callerid", ""), said)
        client = lookup.client_calling(connection, caller.number)
        return lookup.language(self._settings, client, did)


class SetLanguage:
    """The script `language`: sets the channel's language and leaves the rest to the dialplan.

    Raises:
        SettingsError: a password file can't be read.
    """

    def __init__(self, settings: Settings, languages: CallerLanguages) -> None:
        self._languages = languages
        self.secret = credentials.load(settings).agi_secret

    async def __call__(self, request: Request) -> None:
        """Set the caller's language. The channel is not answered."""
        language = await self._languages.of(request.headers)
        await request.send_command(f"SET VARIABLE CHANNEL(language) {language}")
