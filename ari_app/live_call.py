"""One call's legs and bridge, the language its client is spoken to in, and how all of it is taken down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from taxiphone.ari_app.call_record import CallRecord
from taxiphone.ari_app.channels import NORMAL, TEMPORARY_FAILURE
from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.ari_app.menu import Question
from taxiphone.ari_app.prompter import Pressed
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.services import Services
from taxiphone.errors import AriError
from taxiphone.speech import names
from taxiphone.speech.sentences import Sounds, Speech
from taxiphone.store import calls
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Consultant
from taxiphone.store.types import now

log = logging.getLogger(__name__)


class LiveCall:
    """A call that has just arrived, or one that an earlier process began (ari_app.recovery).

    Args:
        services: what it works with.
        client_leg: the client's.
        call_id: of a call that an earlier process began.

    Attributes:
        id: the call's.
        phones: the legs of the consultant's phones that are rung.
        bridge_id: of the bridge in which the two talk.
        record: the call's row.
        database: as a call waits for it.
        speech: the prompts in the client's language.
        bridged: the two are in the bridge, or may be.
        stopped: the program is being ended.
    """

    def __init__(self, services: Services, client_leg: Leg, *, call_id: str = "") -> None:
        self.services = services
        self.settings = services.settings
        self.channels, self.prompter = services.channels, services.prompter
        self.database = DatabaseWithTimeout(services.database)
        self.id = call_id or calls.new_id(now())
        self.client_leg = client_leg
        self.phones: list[Leg] = []
        self.bridge_id = calls.talk_bridge(self.id)
        self.record = CallRecord(self.settings, self.database, self.id)
        self.speech = services.speech(self.settings.platform.language)
        self.bridged = False
        self.stopped = False
        self._asides: set[asyncio.Task[None]] = set()

    def open_phone(self, channel: str) -> Leg:
        """The leg of a consultant's phone; its inbox is open before the channel exists."""
        leg = self.services.router.open(channel)
        if leg not in self.phones:
            self.phones.append(leg)
        return leg

    # -- languages ------------------------------------------------------------------------------------------------

    async def speak(self, language: str) -> None:
        """Speak this language with the client from now on."""
        self.speech = self.services.speech(language)
        await self.channels.set_language(self.client_leg, language)

    def speech_to(self, consultant: Consultant) -> Speech:
        """The prompts in a consultant's language."""
        return self.services.speech(consultant.language)

    def name_of(self, kind: str, code: str, speech: Speech) -> Sounds:
        """A person's name as it is said; the code, digit by digit, if there is no sound of the name."""
        return names.spoken(self.settings, kind, code, speech.language) or speech.digits(code)

    # -- saying and asking ----------------------------------------------------------------------------------------

    async def say(self, *prompts: str) -> None:
        """Play prompts to the client."""
        await self.prompter.say(self.client_leg, *self.sounds(*prompts))

    async def say_sounds(self, *sounds: str, must_be_heard: bool = False) -> None:
        """Play composed sounds to the client.

        Raises:
            PromptError: they must be heard, and one of them could not be played.
        """
        await self.prompter.say(self.client_leg, *sounds, must_be_heard=must_be_heard)

    def sounds(self, *prompts: str) -> Sounds:
        """Prompts as sounds in the client's language."""
        return tuple(sound for name in prompts for sound in self.speech.prompt(name))

    async def ask(self, question: Question, *before: str, after: Sounds = ()) -> Pressed:
        """Ask the client once, with sounds before and after the question's own."""
        await self.restart_timeout()
        return await self.prompter.ask(
            self.client_leg,
            (*before, *self.speech.prompt(question.name), *after),
            seconds=self.seconds(question),
            valid=question.valid,
            end=question.ends,
            most=question.most,
            must_be_heard=question.must_be_heard,
        )

    async def restart_timeout(self) -> None:
        """Let Asterisk hang up the client if nothing more is asked for [call] menu_seconds: this program has died then."""
        seconds = self.settings.call.menu_seconds
        await self.channels.set_variable(self.client_leg, "TIMEOUT(absolute)", str(seconds))

    def seconds(self, question: Question) -> float:
        """How long a key is waited for."""
        return float(getattr(self.settings.call, question.wait)) if question.wait else 0.0

    def tries(self, question: Question) -> int:
        """How often it is asked at most."""
        return question.tries or self.settings.call.code_tries

    # -- beside the call's course ---------------------------------------------------------------------------------

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the call's own course; the call's end waits for it."""
        task = asyncio.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    def dismiss(self, leg: Leg, *sounds: str) -> None:
        """Let a consultant's phone go, beside the call's own course. Whoever has answered it hears these sounds first."""
        self.aside(self._dismiss(leg, sounds))

    async def _dismiss(self, leg: Leg, sounds: Sounds) -> None:
        try:
            if sounds and leg.answered.is_set():
                await self.prompter.say(leg, *sounds)
        except AriError as error:
            log.warning("%s could not be told why it is let go: %s", leg.id, error)
        finally:
            await self.channels.hang_up(leg)

    async def note(self, writing: Coroutine[Any, Any, None], *, seconds: float) -> None:
        """Write a note, and wait for it at most so long: a slow database keeps nobody waiting."""
        noted = asyncio.ensure_future(writing)
        noted.add_done_callback(self._log_failure)
        await asyncio.wait({noted}, timeout=seconds)

    def _log_failure(self, noted: asyncio.Task[None]) -> None:
        if not noted.cancelled() and (error := noted.exception()) is not None:
            log.warning("call %s: a note could not be made at once: %s", self.id, error)

    # -- the end --------------------------------------------------------------------------------------------------

    async def end(self, outcome: Outcome) -> Outcome:
        """Hang up all legs, remove the bridge, and write to the call's row how it ended; the outcome that was written."""
        if self.bridged and outcome is Outcome.FAILED:
            outcome = Outcome.TALKED  # what went wrong came after the talk had begun
        try:
            # A talk that ends because the program is stopped was cut: the client may continue it.
            cause = TEMPORARY_FAILURE if self.stopped and self.bridged else NORMAL
            legs = (self.client_leg, *self.phones)
            await asyncio.gather(*(self.channels.hang_up(leg, cause) for leg in legs))
            for task in self._asides:
                task.cancel()  # there is no leg any more that it could speak to
            await asyncio.gather(*self._asides, return_exceptions=True)
            with contextlib.suppress(AriError):
                await self.channels.destroy_bridge(self.bridge_id)
            await self.record.ended(outcome)
        finally:
            self.close()
            self.services.rated_calls.forget(self.id)
        return outcome

    def close(self) -> None:
        """Wait for no event any more."""
        for leg in (self.client_leg, *self.phones):
            self.services.router.close(leg)
