"""What one call's steps share: its legs, who they are, in which language each is spoken to, and how all of it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.call_record import CallRecord, Talking
from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.ari_app.menu import Question
from taxiphone.ari_app.ports import Ari, MediaSignalling, RecordingControl
from taxiphone.ari_app.rated_calls import RatedCalls
from taxiphone.ari_app.router import Leg, Router
from taxiphone.ari_app.verbs import NORMAL, TEMPORARY_FAILURE, Lines, Pressed, Sounds
from taxiphone.billing.announcement import AnnouncedQuote
from taxiphone.billing.holds import Accepted
from taxiphone.billing.tariffs_in_force import PER_MINUTE
from taxiphone.directory import callers
from taxiphone.directory.callers import Caller
from taxiphone.directory.sign_in import Desk
from taxiphone.errors import AriError
from taxiphone.settings import Settings
from taxiphone.speech import names
from taxiphone.speech.prompt_texts import Languages
from taxiphone.speech.sentences import Speech
from taxiphone.store import calls
from taxiphone.store.calls import Outcome
from taxiphone.store.database import Database
from taxiphone.store.models import Call, Client, Consultant
from taxiphone.store.types import Moment, now

log = logging.getLogger(__name__)

# What the client is told of an outcome that is no talk; each says, in one prompt or another, that it cost nothing.
_REFUSAL = ("nothing-charged", "goodbye")
FAREWELLS: dict[Outcome, tuple[str, ...]] = {
    Outcome.BUSY: ("busy", *_REFUSAL),
    Outcome.NO_ANSWER: ("no-answer", *_REFUSAL),
    Outcome.NOT_ACCEPTED: ("not-accepted", *_REFUSAL),
    Outcome.REFUSED: ("refused", *_REFUSAL),
    Outcome.UNREACHABLE: ("unreachable", *_REFUSAL),
    Outcome.UNAVAILABLE: ("consultant-unavailable", *_REFUSAL),
    Outcome.NO_CHOICE: ("no-choice", *_REFUSAL),
    Outcome.UNKNOWN_CODE: ("unknown-code", *_REFUSAL),
    Outcome.UNKNOWN_NUMBER: ("unknown-number",),
    Outcome.UNKNOWN_CALLER: ("unknown-caller",),
    Outcome.WRONG_PIN: ("wrong-pin", *_REFUSAL),
    Outcome.PAUSED: ("pin-paused",),
    Outcome.BLOCKED: ("blocked",),
    Outcome.ACCOUNT_CLOSED: ("account-closed",),
    Outcome.NO_CREDIT: ("no-credit", "goodbye"),
    Outcome.PRICE_CHANGED: ("price-changed", *_REFUSAL),
    Outcome.LIMIT_REACHED: ("limit-reached", "goodbye"),
    Outcome.APOLOGY: ("unavailable",),
    Outcome.TOO_MANY_CALLS: ("other-call", *_REFUSAL),
    Outcome.FAILED: ("failed", *_REFUSAL),
}


_NOTE_SECONDS = 0.5  # an outcome is waited for so long before it is said


class OpenTalk(Protocol):
    """A talk that is going on, as another call of the same client's sees it."""

    call_id: str

    def end_if_client_is_silent(self) -> bool:
        """End it where the client's line has sent nothing for some seconds: it is dead, and its client calls again."""


@dataclass(frozen=True)
class Services:
    """What every call works with.

    Attributes:
        settings: checked.
        database: where calls and money are.
        ari: the connection to Asterisk.
        router: gives each event to its leg.
        lines: the verbs.
        recording_control: pauses recordings.
        signalling: tells which phone sends no audio for good reason.
        rated_calls: tells when a talk has been priced.
        on_over: called with a call's id when its talk is over; the meter then looks at its log at once.
        talks: those that are going on, by the client's id.
        sign_ins: checks codes and PINs.
    """

    settings: Settings
    database: Database
    ari: Ari
    router: Router
    lines: Lines
    recording_control: RecordingControl
    signalling: MediaSignalling
    rated_calls: RatedCalls
    on_over: Callable[[str], None]
    talks: dict[int, OpenTalk] = field(default_factory=dict)
    sign_ins: Desk = field(default_factory=Desk)

    def speech(self, language: str) -> Speech:
        """What is said in a language."""
        return Speech(language, Languages.of_state(self.settings.state))


class Conversation:
    """A call that has just arrived, or one that an earlier process began (ari_app.recovery).

    Args:
        house: settings, database, verbs.
        leg: the client's.
        dialled: the number dialled, as the trunk sent it.
        caller: who calls, as far as the carrier says.
        call_id: of a call that an earlier process began.
    """

    def __init__(
        self,
        services: Services,
        leg: Leg,
        *,
        dialled: str = "",
        caller: Caller = callers.NOBODY,
        call_id: str = "",
    ) -> None:
        self.services = services
        self.settings, self.lines = services.settings, services.lines
        self.database = DatabaseWithTimeout(services.database)
        self.id = call_id or calls.new_id(now())
        self.client_leg = leg
        self.phones: list[Leg] = []  # the consultant's that are rung
        self.consultant_leg = self.phone(1)
        self.bridge = calls.talk_bridge(self.id)
        self.record = CallRecord(self.settings, self.database, self.id)
        self.dialled, self.caller = dialled, caller
        self.speech = services.speech(self.settings.platform.language)
        self.mode = PER_MINUTE
        self.recorded = False
        self.recording_paused = False
        self.bridged = False
        self.bridged_at: Moment | None = None  # when Asterisk had done it
        self.stopped = False  # the program is being ended
        self.continues: Call | None = None  # whose line was cut, and which goes on
        self.quote: AnnouncedQuote | None = None  # as it was announced; None: the consultation continues
        self.accepted: Accepted
        self.client: Client
        self.consultant: Consultant
        self.own_consultant: Consultant | None = None  # whose own number was dialled
        self._asides: set[asyncio.Task[None]] = set()

    # -- who is there ---------------------------------------------------------------------------------------------

    def phone(self, number: int) -> Leg:
        """The leg of the consultant's first, second ... phone."""
        leg = self.services.router.open(calls.consultant_leg(self.id, number))
        if leg not in self.phones:
            self.phones.append(leg)
        return leg

    def take_over_phones(self, channels: set[str], accepted: str | None) -> None:
        """The consultant's phones as an earlier process left them: those that there are, and the one that accepted."""
        for leg in self.phones:
            self.services.router.close(leg)
        self.phones = [self.services.router.open(channel) for channel in sorted(channels)]
        self.consultant_leg = self.services.router.open(accepted or calls.consultant_leg(self.id))
        if self.consultant_leg not in self.phones:
            self.phones.append(self.consultant_leg)

    def take_over(self, found: Talking) -> None:
        """Know what an earlier process knew of the talk that is going on."""
        row = found.call
        if row.client is not None and row.consultant is not None:
            self.client, self.consultant = row.client, row.consultant
        self.speech = self.services.speech(row.language)
        self.mode, self.recorded, self.accepted = row.mode, row.recording_asked, found.accepted
        self.recording_paused = found.recording_paused

    async def speak(self, language: str) -> None:
        """Speak this language with the client from now on."""
        self.speech = self.services.speech(language)
        await self.lines.speak_language(self.client_leg, language)

    @property
    def consultants_speech(self) -> Speech:
        """The consultant's language."""
        return self.services.speech(self.consultant.language)

    def name_of(self, kind: str, code: str, speech: Speech) -> Sounds:
        """A person's name as it is said; the code, digit by digit, where there is no sound of the name."""
        return names.spoken(self.settings, kind, code, speech.language) or speech.digits(code)

    # -- saying and asking ----------------------------------------------------------------------------------------

    async def say(self, *prompts: str) -> None:
        """Play prompts to the client."""
        await self.lines.say(self.client_leg, *self.sounds(*prompts))

    async def tell(self, *sounds: str, must_be_heard: bool = False) -> None:
        """Play composed sounds to the client.

        Raises:
            PromptError: they must be heard, and one of them could not be played.
        """
        await self.lines.say(self.client_leg, *sounds, must_be_heard=must_be_heard)

    def sounds(self, *prompts: str) -> Sounds:
        """Prompts as sounds in the client's language."""
        return tuple(sound for name in prompts for sound in self.speech.prompt(name))

    async def ask(self, question: Question, *before: str, after: Sounds = ()) -> Pressed:
        """Ask the client once, with sounds before and after the question's own."""
        await self.restart_timeout()
        return await self.lines.ask(
            self.client_leg,
            (*before, *self.speech.prompt(question.name), *after),
            seconds=self.seconds(question),
            valid=question.valid,
            end=question.ends,
            most=question.most,
            must_be_heard=question.must_be_heard,
        )

    async def restart_timeout(self) -> None:
        """Let Asterisk free the client if nothing more is asked for [call] menu_seconds: this program has died then."""
        seconds = self.settings.call.menu_seconds
        await self.lines.set_variable(self.client_leg, "TIMEOUT(absolute)", str(seconds))

    def seconds(self, question: Question) -> float:
        """How long a key is waited for."""
        return float(getattr(self.settings.call, question.wait)) if question.wait else 0.0

    def tries(self, question: Question) -> int:
        """How often it is asked at most."""
        return question.tries or self.settings.call.code_tries

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the call's own course; the call's end waits for it."""
        task = asyncio.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def note(self, writing: Coroutine[Any, Any, None], *, seconds: float) -> None:
        """Write a note, and wait for it so long at most: a database that is slow or away keeps nobody waiting."""
        noted = asyncio.ensure_future(writing)
        noted.add_done_callback(self._look_at)
        await asyncio.wait({noted}, timeout=seconds)

    def _look_at(self, noted: asyncio.Task[None]) -> None:
        if not noted.cancelled() and (error := noted.exception()) is not None:
            log.warning("call %s: a note could not be made at once: %s", self.id, error)

    async def farewell(self, outcome: Outcome) -> None:
        """Say why there is no consultation, and that it cost nothing."""
        # The consultant is free for others while this is said. What is not noted now is when the call ends.
        await self.note(
            self.record.write(None, "no consultation", outcome, outcome=outcome), seconds=_NOTE_SECONDS
        )
        first, *rest = FAREWELLS[outcome]
        sounds = self.sounds(first)
        if outcome is Outcome.NO_CREDIT:
            with contextlib.suppress(SQLAlchemyError):
                credit = await self.record.balance(self.client)
                sounds += self.speech.credit_is(credit, self.settings.platform.currency)
            if self.client.id in self.services.talks:  # what that one may cost is held
                sounds += self.speech.prompt("other-call")
        await self.tell(*sounds, *self.sounds(*rest))

    # -- the end --------------------------------------------------------------------------------------------------

    async def end(self, outcome: Outcome) -> None:
        """Let all legs and the bridge go, and say in the call's row how it ended."""
        if self.bridged and outcome is Outcome.FAILED:
            outcome = Outcome.TALKED  # what went wrong came after the talk had begun
        legs = (self.client_leg, *self.phones)
        try:
            # A talk that we end because we are being stopped was cut: the client may go on with it.
            cause = TEMPORARY_FAILURE if self.stopped and self.bridged else NORMAL
            await asyncio.gather(*(self.lines.hang_up(leg, cause) for leg in legs))
            for task in self._asides:
                task.cancel()  # there is no leg any more that it could speak to
            await asyncio.gather(*self._asides, return_exceptions=True)
            with contextlib.suppress(AriError):
                await self.lines.end_bridge(self.bridge)
            await self.record.ended(outcome)
        finally:
            self.let_go()
            self.services.rated_calls.forget(self.id)

    def let_go(self) -> None:
        """Wait for no event any more."""
        for leg in (self.client_leg, *self.phones):
            self.services.router.close(leg)
