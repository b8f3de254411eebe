"""Rings the consultant's phones, showing the platform's number. The first phone on which the call is accepted gets it."""

from __future__ import annotations

import asyncio
import enum
import logging
from datetime import timedelta

from taxiphone.ari_app import menu
from taxiphone.ari_app.agreement import Reached, Request
from taxiphone.ari_app.dialer import Rang
from taxiphone.ari_app.endings import NoTalkError, may_end_with
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.steps.recording import notice
from taxiphone.billing.tariffs_in_force import PACKAGE
from taxiphone.directory import consultants
from taxiphone.errors import AriError
from taxiphone.settings_sections import Platform
from taxiphone.speech.sentences import Sounds
from taxiphone.store.calls import Outcome, consultant_leg
from taxiphone.store.types import now

log = logging.getLogger(__name__)

# Added to the client's time-out for the prompts before and after the ringing.
_PROMPT_SECONDS = 60


class Answer(enum.Enum):
    """The result of ringing one phone, most significant first. If no phone accepts, the client hears the first of them."""

    NOT_RECORDED = enum.auto()  # accepted, but not the recording
    ACCEPTED = enum.auto()
    REFUSED = enum.auto()
    PAUSED = enum.auto()
    DECLINED = enum.auto()  # by the phone itself or the carrier; the next phone is still tried
    SILENT = enum.auto()  # answered, but nobody pressed 1: perhaps voicemail
    BUSY = enum.auto()
    NO_ANSWER = enum.auto()
    UNREACHABLE = enum.auto()

    @property
    def accepts(self) -> bool:
        """Whether the consultant takes the call."""
        return self in {Answer.ACCEPTED, Answer.NOT_RECORDED}

    @property
    def final(self) -> bool:
        """Whether the consultant has decided, so that no other phone is tried."""
        return self.accepts or self in {Answer.REFUSED, Answer.PAUSED}


_KEYS = {"1": Answer.ACCEPTED, "2": Answer.NOT_RECORDED, "3": Answer.REFUSED, "*": Answer.PAUSED}
_RANG = {
    Rang.BUSY: Answer.BUSY,
    Rang.NO_ANSWER: Answer.NO_ANSWER,
    Rang.REFUSED: Answer.DECLINED,
    Rang.UNREACHABLE: Answer.UNREACHABLE,
}
_OUTCOMES = {
    Answer.REFUSED: Outcome.REFUSED,
    Answer.DECLINED: Outcome.REFUSED,
    Answer.PAUSED: Outcome.UNAVAILABLE,
    Answer.SILENT: Outcome.NOT_ACCEPTED,
    Answer.BUSY: Outcome.BUSY,
    Answer.NO_ANSWER: Outcome.NO_ANSWER,
    Answer.UNREACHABLE: Outcome.UNREACHABLE,
}


@may_end_with(*dict.fromkeys(_OUTCOMES.values()), Outcome.TOO_MANY_CALLS)
async def reach(call: LiveCall, request: Request) -> Reached:
    """Ring the consultant's phones in turn, or all at once, until one accepts. The client hears a ringing tone."""
    phones = await call.record.begin_ringing(request.consultant)
    if isinstance(phones, Outcome):
        raise NoTalkError(phones)
    at_once = request.consultant.ring_at_once
    longest = call.settings.call.phone_seconds * (1 if at_once else len(phones))
    await call.time_out_after(longest + _PROMPT_SECONDS)
    await call.say("connecting")
    call.record.note("ringing")  # just before the INVITE
    await call.channels.start_ringing(call.client_leg)
    ringing = _Ringing(call, request)
    leg, answer = await (ringing.all_at_once(phones) if at_once else ringing.one_after_the_other(phones))
    await call.channels.stop_ringing(call.client_leg)
    if not answer.accepts:
        raise NoTalkError(_OUTCOMES[answer])
    if answer is Answer.NOT_RECORDED:
        call.record.note("recording refused")
        await call.say("consultant-refused-recording")
    return Reached(leg, request.recorded and answer is not Answer.NOT_RECORDED)


class _Ringing:
    """The ringing of one consultant's phones."""

    def __init__(self, call: LiveCall, request: Request) -> None:
        self._call, self._request = call, request
        self._speech = call.speech_to(request.consultant)

    async def one_after_the_other(self, phones: list[str]) -> tuple[Leg, Answer]:
        answers: dict[Leg, Answer] = {}
        for leg, phone in self._legs(phones):
            answers[leg] = await self._ring(leg, phone)
            if answers[leg].final:
                break
        return _most_significant(answers)

    async def all_at_once(self, phones: list[str]) -> tuple[Leg, Answer]:
        legs = {asyncio.create_task(self._ring(leg, phone)): leg for leg, phone in self._legs(phones)}
        pending, answers = set(legs), dict[Leg, Answer]()
        try:
            while pending and not any(answer.final for answer in answers.values()):
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                answers |= {legs[task]: task.result() for task in done}
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        chosen, answer = _most_significant(answers)
        taken = self._speech.prompt("taken-elsewhere") if answer.accepts else ()
        for leg in legs.values():
            if not answer.accepts or leg is not chosen:
                self._call.dismiss(leg, *taken)
        return chosen, answer

    def _legs(self, phones: list[str]) -> list[tuple[Leg, str]]:
        call = self._call
        return [
            (call.open_phone(consultant_leg(call.id, position)), phone)
            for position, phone in enumerate(phones, 1)
        ]

    async def _ring(self, leg: Leg, phone: str) -> Answer:
        """Ring one phone, and ask whoever answers to accept. If they don't, the leg is hung up."""
        try:
            rang = await self._dial(leg, phone)
            answer = _RANG.get(rang) or await self._ask(leg)
        except AriError as error:
            log.warning("%s: %s This phone counts as unreachable.", leg.id, error)
            answer = Answer.UNREACHABLE
        if not answer.accepts:
            await self._call.channels.hang_up(leg)
        return answer

    async def _dial(self, leg: Leg, phone: str) -> Rang:
        call = self._call
        return await call.services.dialer.ring(
            leg,
            f"PJSIP/{phone}@trunk",
            seconds=call.settings.call.ring_seconds,
            arguments=f"consultant,{call.id}",
            originator=call.client_leg,
            variables={
                **_caller_id(call.settings.platform),
                "TAXIPHONE_CALL": call.id,
                # In case this process dies meanwhile.
                "TIMEOUT(absolute)": str(call.settings.call.phone_seconds),
                "CHANNEL(language)": self._request.consultant.language,
            },
        )

    async def _ask(self, leg: Leg) -> Answer:
        call = self._call
        counted = await call.channels.rtp_count(leg)
        leg.set_packets_before_answer(counted.packets if counted else 0)
        call.record.note("consultant answered")
        question = menu.ACCEPT_RECORDED if self._request.recorded else menu.ACCEPT
        before = self._introduction()
        for _ in range(call.tries(question)):
            pressed = await call.prompter.ask(
                leg,
                (*before, *self._speech.prompt(question.name)),
                seconds=call.seconds(question),
                valid=question.valid,
                must_be_heard=question.must_be_heard,
            )
            before = ()
            if leg.gone.is_set():
                break
            if pressed.keys:
                answer = _KEYS[pressed.keys]
                if answer is Answer.PAUSED:
                    await self._pause(leg)
                return answer
        return Answer.SILENT

    def _introduction(self) -> Sounds:
        """What the consultant hears before the keys: who calls, in which mode, and whether it is recorded."""
        call, request, speech = self._call, self._request, self._speech
        return (
            *(speech.prompt("call-resumed") if request.continues else ()),
            *speech.prompt("consultant-call"),
            *speech.prompt("mode-package" if request.mode == PACKAGE else "mode-per-minute"),
            *speech.call_from(call.name_of("client", request.client.code, speech)),
            *(notice(call, speech, "talk-recorded") if request.recorded else ()),
        )

    async def _pause(self, leg: Leg) -> None:
        """The consultant takes no calls for a while."""
        call, consultant, minutes = (
            self._call,
            self._request.consultant,
            self._call.settings.call.pause_minutes,
        )
        await call.database.run(
            lambda session: consultants.pause(session, consultant.id, now() + timedelta(minutes=minutes))
        )
        call.record.note("consultant paused", f"{minutes} minutes")
        await call.prompter.say(leg, *self._speech.paused_for(minutes))


def _most_significant(answers: dict[Leg, Answer]) -> tuple[Leg, Answer]:
    """The phone whose result counts, with that result: the one that accepted, if any did."""
    return min(answers.items(), key=lambda item: item[1].value)


def _caller_id(platform: Platform) -> dict[str, str]:
    """The caller ID that the phone shows: the platform's own number, never the client's."""
    # On an outgoing channel, the connected line is the caller. Option i: don't send an update for the change.
    return {"CONNECTEDLINE(all,i)": f'"{platform.name}" <{platform.cli}>'}
