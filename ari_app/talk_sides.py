"""The two sides of a talk. Each hears prompts in its own language."""

from __future__ import annotations

import asyncio
import contextlib

from taxiphone.ari_app.agreement import Agreement
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.router import Leg
from taxiphone.errors import AriError
from taxiphone.speech.sentences import Sounds, Speech

_HOLD_SILENCES = 10  # of 0.3 s, after each tone
_SHORTEST_TONE_SECONDS = 1.0
_NEXT_TRY_SECONDS = 10.0


class TalkSides:
    """The client and the consultant of one talk.

    Args:
        call: the call.
        agreement: what the talk is held under.

    Attributes:
        client: the client's leg.
        consultant: the consultant's leg.
        client_speech: the prompts in the client's language.
        consultant_speech: the prompts in the consultant's language.
    """

    def __init__(self, call: LiveCall, agreement: Agreement) -> None:
        self._call = call
        self.client, self.consultant = call.client_leg, agreement.leg
        self.client_speech = call.speech
        self.consultant_speech = call.speech_to(agreement.consultant)

    @property
    def legs(self) -> tuple[Leg, Leg]:
        """The client's leg, and the consultant's."""
        return self.client, self.consultant

    async def tell(self, client: Sounds, consultant: Sounds) -> None:
        """Play each side its own sounds; the talk continues after them."""
        say = self._call.prompter.say
        with contextlib.suppress(AriError):  # the talk continues even if they can't be played
            await asyncio.gather(say(self.client, *client), say(self.consultant, *consultant))

    async def tell_prompt(self, name: str) -> None:
        """Play both sides the same prompt."""
        await self.tell(self.client_speech.prompt(name), self.consultant_speech.prompt(name))

    def note(self, what: str, detail: str | None = None) -> None:
        """Write a call event, without waiting for it."""
        self._call.record.note(what, detail)

    async def client_holds(self) -> None:
        """Play a tone to the consultant whenever the client's phone holds the call."""
        await self._hold(self.client, "client", self.consultant, self.consultant_speech)

    async def consultant_holds(self) -> None:
        """Play a tone to the client whenever the consultant's phone holds the call."""
        await self._hold(self.consultant, "consultant", self.client, self.client_speech)

    async def _hold(self, holder: Leg, who: str, other: Leg, speech: Speech) -> None:
        """Play a tone to the other side, and record the hold. Time on hold is billed as talk."""
        while True:
            await holder.on_hold.wait()
            tone = asyncio.create_task(self._hold_tone(other, speech))
            try:
                self.note(f"{who} holds")
                await holder.off_hold.wait()
            finally:
                tone.cancel()
                await asyncio.gather(tone, return_exceptions=True)
            self.note(f"{who} is back")

    async def _hold_tone(self, leg: Leg, speech: Speech) -> None:
        loop = asyncio.get_running_loop()
        sounds = (*speech.prompt("tone-hold"), *speech.prompt("silence") * _HOLD_SILENCES)
        while not leg.gone.is_set():
            began = loop.time()
            with contextlib.suppress(AriError):  # the talk continues even if the tone can't be played
                await self._call.prompter.say(leg, *sounds)
            if loop.time() - began < _SHORTEST_TONE_SECONDS:
                # The tone could not be played; an immediate retry would fail too.
                await asyncio.sleep(_NEXT_TRY_SECONDS)
