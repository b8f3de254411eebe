"""The apology, played to a caller if the Stasis application isn't running when the call arrives.

The call's row is added later from Asterisk's event log (billing/metering/arrivals.py), which also has the calls that
arrived while the program was dead.
"""

from __future__ import annotations

from panoramisk.fast_agi import Request

from taxiphone.agi.caller_language import CallerLanguages
from taxiphone.dialplan import credentials
from taxiphone.settings import Settings


class Apology:
    """The script `apology`.

    Args:
        settings: validated settings.
        languages: find the caller's language.

    Raises:
        SettingsError: a password file can't be read.
    """

    def __init__(self, settings: Settings, languages: CallerLanguages) -> None:
        self._languages = languages
        self.secret = credentials.load(settings).agi_secret

    async def __call__(self, request: Request) -> None:
        """Apologize in the caller's language."""
        language = await self._languages.of(request.headers)
        await request.send_command("ANSWER")
        await request.send_command(f"SET VARIABLE CHANNEL(language) {language}")
        await request.send_command("EXEC Playback taxiphone/unavailable")
        await request.send_command("HANGUP")
