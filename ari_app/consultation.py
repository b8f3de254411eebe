"""One call's whole life, top-down: who calls, whom, at what price, recorded or not, reached or not, the talk.

Each step gives None, and the next one follows, or the outcome with which the call ends. The status is written before
the command to Asterisk that it announces (store.calls). Every wait of the steps races against the caller's hang-up
(`staying`); the talk itself ends when either leaves; and whatever happens, both legs are hung up at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.record import CallRecord
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.verbs import Confirmed, Lines, Rang, Sounds
from taxiphone.ari_app.waiting import CallerGoneError, staying, to_the_end
from taxiphone.billing import holds
from taxiphone.billing.money import to_minor
from taxiphone.billing.tariffs_in_force import PER_MINUTE
from taxiphone.dialplan.speech import Speech
from taxiphone.directory import numbers, people
from taxiphone.errors import AriError, InsufficientFundsError
from taxiphone.settings import Settings
from taxiphone.store import calls
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.database import Database
from taxiphone.store.models import Client, Consultant
from taxiphone.store.types import now

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
    Outcome.UNKNOWN_CODE: ("unknown-code", *_REFUSAL),
    Outcome.UNKNOWN_NUMBER: ("unknown-number",),
    Outcome.UNKNOWN_CALLER: ("unknown-caller",),
    Outcome.BLOCKED: ("blocked",),
    Outcome.NO_CREDIT: ("no-credit", "goodbye"),
    Outcome.FAILED: ("failed", *_REFUSAL),
}

_RANG: dict[Rang, Outcome] = {
    Rang.BUSY: Outcome.BUSY,
    Rang.NO_ANSWER: Outcome.NO_ANSWER,
    Rang.REFUSED: Outcome.REFUSED,
    Rang.UNREACHABLE: Outcome.UNREACHABLE,
}
_CONFIRMED: dict[Confirmed, Outcome] = {
    Confirmed.REFUSED: Outcome.REFUSED,
    Confirmed.SILENT: Outcome.NOT_ACCEPTED,
    Confirmed.GONE: Outcome.NOT_ACCEPTED,
}
# Asterisk cuts a little before the last paid second is over, so that the hang-up's own way does not start another.
_CUT_EARLY_SECONDS = 0.5
_ALIVE_SECONDS = 10.0
SKIP_SECONDS = 0.5  # after the price has been told, a key may still skip the wait

Step = Callable[[], Awaitable[Outcome | None]]


@dataclass(frozen=True)
class House:
    """What every consultation works with."""

    settings: Settings
    database: Database
    lines: Lines


class Consultation:
    """A call that has just arrived.

    Args:
        house: settings, database, verbs.
        leg: the client's.
        dialled: the number dialled, as the trunk sent it.
        caller: the caller's number, likewise; empty where it is withheld.
        call_id: of a call that an earlier process began (ari_app.recovery).
    """

    def __init__(
        self, house: House, leg: Leg, *, dialled: str = "", caller: str = "", call_id: str = ""
    ) -> None:
        self.settings, self.database, self.lines = house.settings, house.database, house.lines
        self.id = call_id or calls.new_id(now())
        self.client_leg = leg
        self.consultant_leg = self.lines.router.open(calls.consultant_leg(self.id))
        self.bridge = calls.talk_bridge(self.id)
        self.record = CallRecord(self.settings, self.database, self.id)
        self.dialled, self.caller = dialled, caller
        self.speech = Speech(self.settings.platform.language)
        self.own_did = False
        self.recorded = False
        self.bridged = False
        self.client: Client
        self.consultant: Consultant

    async def run(self) -> Outcome:
        """Live the call to its end; whatever ends it, no leg and no bridge is left."""
        outcome = Outcome.FAILED
        try:
            await self.record.received(self.client_leg.id, self.dialled, self.caller)
            outcome = await self._until_accepted() or await self.talk()
        except (AriError, SQLAlchemyError) as error:
            log.error("call %s: %s The call is ended; what was talked is priced.", self.id, error)
            if not self.bridged:
                await self._excuse()
        finally:
            await to_the_end(self.end(outcome))
        return outcome

    async def resume(self) -> Outcome:
        """Take over a talk that is already going on, and see it to its end."""
        self.bridged = True
        try:
            with contextlib.suppress(SQLAlchemyError):  # a note that can't be made is no reason to end a talk
                await self.record.write(None, "taken over")
            await self._talking()
        finally:
            await to_the_end(self.end(Outcome.TALKED))
        return Outcome.TALKED

    async def end(self, outcome: Outcome) -> None:
        """Let both legs and the bridge go, and say in the call's row how it ended."""
        if self.bridged and outcome is Outcome.FAILED:
            outcome = Outcome.TALKED  # what went wrong came after the talk had begun
        router = self.lines.router
        try:
            await asyncio.gather(self.lines.hang_up(self.client_leg), self.lines.hang_up(self.consultant_leg))
            with contextlib.suppress(AriError):
                await self.lines.end_bridge(self.bridge)
            await self.record.ended(outcome)
        finally:
            router.close(self.client_leg)
            router.close(self.consultant_leg)

    async def _excuse(self) -> None:
        """Say that it is our fault, to a caller who may not have been answered yet."""
        with contextlib.suppress(CallerGoneError, AriError):
            async with staying(self.client_leg):
                await self.lines.answer(self.client_leg)
                await self.lines.speak_language(self.client_leg, self.speech.language)
                await self.farewell(Outcome.FAILED)

    async def _until_accepted(self) -> Outcome | None:
        steps: tuple[Step, ...] = (
            self.identify,
            self.choose,
            self.offer,
            self.offer_recording,
            self.reach,
            self.agree,
        )
        try:
            async with staying(self.client_leg):
                await self.lines.answer(self.client_leg)
                for step in steps:
                    outcome = await step()
                    if outcome is not None:
                        await self.farewell(outcome)
                        return outcome
        except CallerGoneError:
            return Outcome.CALLER_GONE
        return None

    # -- the steps, in their order --------------------------------------------------------------------------------

    async def identify(self) -> Outcome | None:
        """Which number was dialled, and who calls."""
        parties = await self.record.identified()
        self.speech = Speech(parties.language)
        await self.lines.speak_language(self.client_leg, parties.language)
        if parties.did is None:
            return Outcome.UNKNOWN_NUMBER
        if parties.client is None:
            return Outcome.UNKNOWN_CALLER
        if parties.client.blocked:
            return Outcome.BLOCKED
        self.client = parties.client
        if parties.consultant is not None:
            self.consultant, self.own_did = parties.consultant, True
        await self.say("welcome")
        return None

    async def choose(self) -> Outcome | None:
        """Whom: the dialled number is one consultant's own, or the consultant's code is keyed in."""
        if not self.own_did:
            found = await self._ask_code()
            if found is None:
                return Outcome.UNKNOWN_CODE
            self.consultant = found
        await self.record.write(None, "consultant", self.consultant.code, consultant_id=self.consultant.id)
        return None if self.consultant.available else Outcome.UNAVAILABLE

    async def _ask_code(self) -> Consultant | None:
        question = self.speech.prompt("enter-code")
        for _ in range(self.settings.call.code_tries):
            pressed = await self.lines.ask(
                self.client_leg, question, seconds=self.settings.call.key_seconds, end="#", most=8
            )
            if found := await self._consultant(pressed.keys):
                return found
            question = (*self.speech.prompt("unknown-code"), *self.speech.prompt("enter-code"))
        return None

    async def _consultant(self, code: str) -> Consultant | None:
        return await self.database.look(lambda session: people.consultant_by_code(session, code))

    async def offer(self) -> Outcome | None:
        """Tell the price, tax included, before anything costs."""
        offered = await self.database.look(
            lambda session: holds.offer(session, self.settings, self.client, self.consultant)
        )
        if PER_MINUTE not in offered.affordable:
            return Outcome.NO_CREDIT
        await self.record.write(Status.OFFERED, "price told", str(self.consultant.price_per_minute))
        currency = self.settings.platform.currency
        speech = self.speech
        told: Sounds = (
            *speech.prompt("price-is"),
            *speech.price_per_minute(self.consultant.price_per_minute, currency),
            *speech.prompt("tax-included"),
        )
        if offered.free_minutes:
            told += speech.free_minutes(offered.free_minutes)
        await self.lines.ask(self.client_leg, told, seconds=SKIP_SECONDS, valid="#")
        return None

    async def offer_recording(self) -> Outcome | None:
        """Ask whether to record, where the consultant allows it; only the key 1 says yes."""
        if not self.consultant.recording_allowed or not await self.database.look(
            lambda session: holds.can_afford_recording(
                session, self.settings, self.client, self.consultant, PER_MINUTE
            )
        ):
            return None
        await self.record.write(None, "recording offered")
        fee = to_minor(holds.recording_fee(self.settings), self.settings.currency_digits)
        question: Sounds = (
            *self.speech.prompt("recording-offer"),
            *self.speech.amount(fee, self.settings.platform.currency),
            *self.speech.prompt("tax-included"),
            *self.speech.prompt("recording-kept-until"),
            *self.speech.date((now() + timedelta(days=self.settings.recording.keep_days)).date()),
            *self.speech.prompt("recording-choice"),
        )
        pressed = await self.lines.ask(
            self.client_leg, question, seconds=self.settings.call.key_seconds, valid="12"
        )
        self.recorded = pressed.keys == "1"
        await self.say("recording-yes" if self.recorded else "recording-no")
        await self.record.write(
            None, "recording asked", "yes" if self.recorded else "no", recording_asked=self.recorded
        )
        return None

    async def reach(self) -> Outcome | None:
        """Ring the consultant from the platform's number while the client hears ringing; only the key 1 accepts."""
        if not numbers.may_dial(self.consultant.phone, self.settings.platform.dial_prefixes):
            log.error(
                "call %s: %s's phone is not on the list of prefixes that may be dialled.",
                self.id,
                self.consultant.code,
            )
            return Outcome.UNREACHABLE
        await self.say("connecting")
        await self.record.write(Status.RINGING, "ringing")
        await self.lines.ringing(self.client_leg)
        rang = await self.lines.ring(
            self.consultant_leg,
            f"PJSIP/{self.consultant.phone}@trunk",
            seconds=self.settings.call.ring_seconds,
            originate={
                "context": "consultant-leg",
                "extension": "s",
                "priority": 1,
                "callerId": f'"{self.settings.platform.name}" <{self.settings.platform.cli}>',
                "originator": self.client_leg.id,
                "variables": {
                    "TAXIPHONE_CALL": self.id,
                    "TAXIPHONE_RECORD": self.id if self.recorded else "",
                    "CHANNEL(language)": self.consultant.language,
                },
            },
        )
        if rang is not Rang.ANSWERED:
            await self.lines.hang_up(self.consultant_leg)
            await self.lines.quiet(self.client_leg)
            return _RANG[rang]
        await self.record.write(None, "consultant answered")
        speech = Speech(self.consultant.language)
        confirmed = await self.lines.confirm(
            self.consultant_leg,
            (
                *speech.prompt("consultant-call"),
                *speech.prompt("mode-per-minute"),
                *(speech.prompt("talk-recorded") if self.recorded else ()),
                *speech.prompt("accept-menu"),
            ),
            seconds=self.settings.call.accept_seconds,
        )
        await self.lines.quiet(self.client_leg)
        if confirmed is not Confirmed.ACCEPTED:
            await self.lines.hang_up(self.consultant_leg)
            return _CONFIRMED[confirmed]
        return None

    async def agree(self) -> Outcome | None:
        """Freeze the tariff and hold what the talk can cost; a short tone to both."""
        try:
            accepted = await self.record.accepted(recorded=self.recorded)
        except InsufficientFundsError:  # spent by another call of the same client's while this one rang
            await self.lines.hang_up(self.consultant_leg)
            return Outcome.NO_CREDIT
        await self.lines.set_variable(
            self.client_leg, "TIMEOUT(absolute)", f"{accepted.max_seconds - _CUT_EARLY_SECONDS:.1f}"
        )
        tone = self.speech.prompt("tone-start")
        await asyncio.gather(*(self.lines.say(leg, *tone) for leg in (self.client_leg, self.consultant_leg)))
        return None

    async def talk(self) -> Outcome:
        """Bridge the two, and only now does the meter start; over when either leaves."""
        await self.record.write(Status.TALKING, "bridging")
        self.bridged = await self.lines.bridge(self.bridge, self.client_leg, self.consultant_leg)
        if not self.bridged:
            if self.client_leg.gone.is_set():
                return Outcome.CALLER_GONE
            with contextlib.suppress(CallerGoneError):
                async with staying(self.client_leg):
                    await self.farewell(Outcome.NOT_ACCEPTED)
            return Outcome.NOT_ACCEPTED
        await self._talking()
        return Outcome.TALKED

    async def _talking(self) -> None:
        """Wait until either leaves, and note from time to time that both are there: proof, should Asterisk die."""
        watching = asyncio.create_task(self._note_alive())
        try:
            left = await self.lines.until_one_leaves(self.client_leg, self.consultant_leg)
        finally:
            watching.cancel()
        await self.record.write(None, "left", left.value)

    async def _note_alive(self) -> None:
        while True:
            await asyncio.sleep(_ALIVE_SECONDS)
            with contextlib.suppress(SQLAlchemyError, AriError):
                asked_at = now()  # what Asterisk answers was so then, at the least
                if await self.lines.bridged(self.bridge, self.client_leg, self.consultant_leg):
                    await self.record.alive(asked_at)

    async def farewell(self, outcome: Outcome) -> None:
        """Say why there is no consultation, and that it cost nothing."""
        await self.say(*FAREWELLS[outcome])

    async def say(self, *names: str) -> None:
        """Play prompts to the client."""
        await self.lines.say(
            self.client_leg, *(sound for name in names for sound in self.speech.prompt(name))
        )
