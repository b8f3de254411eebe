"""One call in progress: its legs, its bridge, the client's language, and the clean-up at its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from datetime import datetime, timedelta
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

# How much earlier than asked Asterisk may hang up the client. [call] menu_seconds has two minutes to spare.
_EARLIER_SECONDS = 30.0


class LiveCall:
    """A call that has just arrived, or one that an earlier process began (ari_app.recovery).

    Args:
        services: the services that each call uses.
        client_leg: the client's leg.
        call_id: the id of a call that an earlier process began; empty for a new one.

    Attributes:
        id: the call's id.
        phones: the legs of the consultant's phones.
        bridge_id: the id of the bridge in which they talk.
        record: the call's row.
        database: the database, with a time-out.
        speech: the prompts in the client's language.
        bridged: whether the two legs are bridged, or may be.
        stopped: whether the program is being stopped.
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
        self._times_out_at: datetime | None = None
        self._background: set[asyncio.Task[None]] = set()

    def open_phone(self, channel: str) -> Leg:
        """The leg of one of the consultant's phones. Opened before its channel exists, so that no event is missed."""
        leg = self.services.router.open(channel)
        if leg not in self.phones:
            self.phones.append(leg)
        return leg

    # -- languages ------------------------------------------------------------------------------------------------

    async def speak(self, language: str) -> None:
        """Use this language for the client from now on."""
        self.speech = self.services.speech(language)
        await self.channels.set_language(self.client_leg, language)

    def speech_to(self, consultant: Consultant) -> Speech:
        """The prompts in a consultant's language."""
        return self.services.speech(consultant.language)

    def name_of(self, kind: str, code: str, speech: Speech) -> Sounds:
        """A person's name as sounds; the code, digit by digit, if there is no recording of the name."""
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
        """Let Asterisk hang up the client after [call] menu_seconds, in case this process dies. Called at each question."""
        await self.time_out_after(self.settings.call.menu_seconds)

    async def time_out_after(self, seconds: float) -> None:
        """Let Asterisk hang up the client about this many seconds from now, in case this process dies.

        No command is sent if a time-out that was set here comes at most `_EARLIER_SECONDS` earlier.
        """
        # Like Asterisk's time-out, this is a time of day. If the clock was set forward, the time-out is set again.
        at = now()
        if self._times_out_at is None or self._times_out_at < at + timedelta(
            seconds=seconds - _EARLIER_SECONDS
        ):
            await self.channels.set_variables(self.client_leg, {"TIMEOUT(absolute)": f"{seconds:g}"})
            self._times_out_at = at + timedelta(seconds=seconds)

    def forget_timeout(self) -> None:
        """Note that Asterisk's time-out of the client is another one now: that of the talk."""
        self._times_out_at = None

    def seconds(self, question: Question) -> float:
        """How long to wait for a key."""
        return float(getattr(self.settings.call, question.wait)) if question.wait else 0.0

    def tries(self, question: Question) -> int:
        """Maximum number of times the question is asked."""
        return question.tries or self.settings.call.code_tries

    # -- in the background ----------------------------------------------------------------------------------------

    def dismiss(self, leg: Leg, *sounds: str) -> None:
        """Hang up a consultant's phone in the background. If it has been answered, play these sounds first."""
        task = asyncio.create_task(self._dismiss(leg, sounds))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _dismiss(self, leg: Leg, sounds: Sounds) -> None:
        try:
            if sounds and leg.answered.is_set():
                await self.prompter.say(leg, *sounds)
        except AriError as error:
            log.warning("%s is hung up without an explanation: %s", leg.id, error)
        finally:
            await self.channels.hang_up(leg)

    async def note(self, writing: Coroutine[Any, Any, None], *, seconds: float) -> None:
        """Write to the database, but wait for it no longer than `seconds`; the write then continues in the background."""
        task = asyncio.ensure_future(writing)
        task.add_done_callback(self._log_failure)
        await asyncio.wait({task}, timeout=seconds)

    def _log_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("call %s: a call event could not be written: %s", self.id, error)

    # -- the end --------------------------------------------------------------------------------------------------

    async def end(self, outcome: Outcome) -> Outcome:
        """Hang up all legs, remove the bridge, and write the outcome to the call's row; returns the outcome written."""
        if self.bridged and outcome is Outcome.FAILED:
            outcome = Outcome.TALKED  # the error occurred after the talk had begun
        try:
            # A talk that ends because the program is stopped counts as dropped, so that the client may continue it.
            cause = TEMPORARY_FAILURE if self.stopped and self.bridged else NORMAL
            legs = (self.client_leg, *self.phones)
            await asyncio.gather(*(self.channels.hang_up(leg, cause) for leg in legs))
            for task in self._background:
                task.cancel()  # its leg has been hung up
            await asyncio.gather(*self._background, return_exceptions=True)
            with contextlib.suppress(AriError):
                await self.channels.destroy_bridge(self.bridge_id)
            await self.record.ended(outcome)
        finally:
            self.close()
            self.services.rated_calls.forget(self.id)
        return outcome

    def close(self) -> None:
        """Stop receiving events."""
        for leg in (self.client_leg, *self.phones):
            self.services.router.close(leg)
