"""The apology: a call came while the Stasis application was away. It is said so, and noted for a call back."""

from __future__ import annotations

import logging

from panoramisk.fast_agi import Request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from taxiphone.dialplan import credentials
from taxiphone.directory import numbers, people
from taxiphone.settings import Settings
from taxiphone.store import calls
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.database import Database
from taxiphone.store.models import Call
from taxiphone.store.types import now

log = logging.getLogger(__name__)


class Apology:
    """The line `apology`.

    Args:
        settings: checked.
        database: where the call is noted.

    Raises:
        SettingsError: a password's file can't be read.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self.secret = credentials.load(settings).agi_secret

    async def __call__(self, request: Request) -> None:
        """Note who called, and apologise in the caller's language; in the platform's where nothing can be noted."""
        headers: dict[str, str] = request.headers
        try:
            language = await self._database.run(lambda session: self._note(session, headers))
        except SQLAlchemyError as error:
            language = self._settings.platform.language
            log.error(
                "a call that came while the application was away could not be noted, so nobody will call back: %s",
                error.args[0],  # without the statement, which holds the caller's number
            )
        await request.send_command("ANSWER")
        await request.send_command(f"SET VARIABLE CHANNEL(language) {language}")
        await request.send_command("EXEC Playback taxiphone/unavailable")
        await request.send_command("HANGUP")

    def _note(self, session: Session, headers: dict[str, str]) -> str:
        region = numbers.region_of(self._settings.platform.cli)
        dialled = numbers.dialled(headers.get("agi_extension", ""), region) or "?"
        caller = numbers.caller(headers.get("agi_callerid", ""), region)
        did = people.did(session, dialled)
        client = people.client_calling(session, caller) if caller else None
        language = client.language if client else did.language if did else self._settings.platform.language
        call = Call(
            id=calls.new_id(now()),
            status=Status.ENDED,
            outcome=Outcome.FAILED,
            client_channel=headers["agi_uniqueid"],
            dialled=dialled,
            caller=caller,
            language=language,
            client_id=client.id if client else None,
            consultant_id=did.consultant_id if did else None,
            ended_at=now(),
            review="the application was away when this call came: call back",
        )
        session.add(call)
        session.flush()
        calls.mark(session, call.id, "apologised")
        log.warning("call %s came while the application was away; the caller heard an apology", call.id)
        return language
