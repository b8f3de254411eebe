"""The consultant's phones ring from the platform's number; only the key 1 accepts, and the first phone that does wins."""

from __future__ import annotations

import asyncio
import enum
import logging
from datetime import timedelta

from taxiphone.ari_app import menu
from taxiphone.ari_app.conversation import Conversation
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.verbs import Rang, Sounds
from taxiphone.billing.tariffs_in_force import PACKAGE
from taxiphone.directory import dialling, people
from taxiphone.errors import AriError
from taxiphone.settings_sections import Platform
from taxiphone.store.calls import Outcome
from taxiphone.store.types import now

log = logging.getLogger(__name__)

_WORDS_SECONDS = 60  # for what the client is told before the ringing and after it


class Answer(enum.Enum):
    """What became of one phone, the most telling first: where no phone accepts, the client is told of that."""

    NOT_RECORDED = enum.auto()  # accepted, but not the recording
    ACCEPTED = enum.auto()
    REFUSED = enum.auto()
    PAUSED = enum.auto()
    DECLINED = enum.auto()  # by the phone itself, or by the carrier: another phone may be answered
    SILENT = enum.auto()  # answered, but nobody pressed 1: a voicemail
    BUSY = enum.auto()
    NO_ANSWER = enum.auto()
    UNREACHABLE = enum.auto()

    @property
    def accepts(self) -> bool:
        """Whether the two will talk."""
        return self in {Answer.ACCEPTED, Answer.NOT_RECORDED}

    @property
    def final(self) -> bool:
        """Whether the consultant has spoken: no other phone is asked any more."""
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


async def reach(call: Conversation) -> Outcome | None:
    """Ring while the client hears ringing, one phone after the other or all at once, until one accepts."""
    phones = await _phones(call)
    if not phones:
        return Outcome.UNREACHABLE
    refused = await call.record.rings()
    if refused is not None:
        return refused
    longest = call.settings.call.phone_seconds * (1 if call.consultant.ring_at_once else len(phones))
    await call.lines.set_variable(call.client_leg, "TIMEOUT(absolute)", str(longest + _WORDS_SECONDS))
    await call.say("connecting")
    await call.record.write(None, "ringing")  # just before the INVITE
    await call.lines.ringing(call.client_leg)
    ringing = [(call.phone(place), phone) for place, phone in enumerate(phones, 1)]
    if call.consultant.ring_at_once:
        answer = await _all_at_once(call, ringing)
    else:
        answer = await _one_after_the_other(call, ringing)
    await call.lines.quiet(call.client_leg)
    if answer.accepts:
        if answer is Answer.NOT_RECORDED:
            call.recorded = False
            await call.record.write(None, "recording refused")
            await call.say("consultant-refused-recording")
        return None
    return _OUTCOMES[answer]


async def _phones(call: Conversation) -> list[str]:
    """Those that may be rung: the directory has checked them, but the settings may have changed since."""
    found = await call.database.query(lambda session: people.phones(session, call.consultant))
    refused = {phone: dialling.refusal(phone, call.settings.platform) for phone in found}
    for place, phone in enumerate(found, 1):
        if refused[phone] is not None:
            log.error(
                "call %s: phone %d of the consultant %s is not rung: it %s. Change the settings, or the phone: "
                "taxiphone consultant set %s --help",
                *(call.id, place, call.consultant.code, refused[phone], call.consultant.code),
            )
    return [phone for phone in found if refused[phone] is None]


async def _one_after_the_other(call: Conversation, ringing: list[tuple[Leg, str]]) -> Answer:
    answers: dict[Leg, Answer] = {}
    for leg, phone in ringing:
        answers[leg] = await _ring(call, leg, phone)
        if answers[leg].final:
            break
    return _most_telling(call, answers)


async def _all_at_once(call: Conversation, ringing: list[tuple[Leg, str]]) -> Answer:
    legs = {asyncio.create_task(_ring(call, leg, phone)): leg for leg, phone in ringing}
    asked, answers = set(legs), dict[Leg, Answer]()
    try:
        while asked and not any(answer.final for answer in answers.values()):
            done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            answers |= {legs[task]: task.result() for task in done}
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    answer = _most_telling(call, answers)
    for leg in legs.values():
        if not answer.accepts or leg is not call.consultant_leg:
            call.aside(_let_go(call, leg, taken=answer.accepts))
    return answer


def _most_telling(call: Conversation, answers: dict[Leg, Answer]) -> Answer:
    """What the client is told; the leg that accepts is the consultant's from now on."""
    leg = min(answers, key=lambda each: answers[each].value)
    if answers[leg].accepts:
        call.consultant_leg = leg
    return answers[leg]


async def _let_go(call: Conversation, leg: Leg, *, taken: bool) -> None:
    """Stop another phone's ringing; who has picked it up is told why."""
    try:
        if taken and leg.answered.is_set():
            await call.lines.say(leg, *call.consultants_speech.prompt("taken-elsewhere"))
    except AriError as error:
        log.warning("%s could not be told that another phone has the call: %s", leg.id, error)
    finally:
        await call.lines.hang_up(leg)


async def _ring(call: Conversation, leg: Leg, phone: str) -> Answer:
    """Ring one phone, and ask whoever answers; a leg that does not accept is hung up."""
    try:
        answer = await _rung(call, leg, phone)
    except AriError as error:
        log.warning("%s: %s This phone counts as not reached.", leg.id, error)
        answer = Answer.UNREACHABLE
    if not answer.accepts:
        await call.lines.hang_up(leg)
    return answer


async def _rung(call: Conversation, leg: Leg, phone: str) -> Answer:
    rang = await call.lines.ring(
        leg,
        f"PJSIP/{phone}@trunk",
        seconds=call.settings.call.ring_seconds,
        arguments=f"consultant,{call.id}",
        originator=call.client_leg,
        variables={
            **_shown(call.settings.platform),
            "TAXIPHONE_CALL": call.id,
            "TIMEOUT(absolute)": str(call.settings.call.phone_seconds),  # where this program dies meanwhile
            "CHANNEL(language)": call.consultant.language,
        },
    )
    return _RANG.get(rang) or await _asked(call, leg)


def _shown(platform: Platform) -> dict[str, str]:
    """What the phone's display shows: the platform's own number, never the client's."""
    # Of a channel that is dialled, the connected line is who calls; option i: no update is sent for the change.
    return {"CONNECTEDLINE(all,i)": f'"{platform.name}" <{platform.cli}>'}


async def _asked(call: Conversation, leg: Leg) -> Answer:
    counted = await call.lines.packets(leg)
    leg.packets_before_answer = counted.packets if counted else 0
    await call.record.write(None, "consultant answered")
    question = menu.ACCEPT_RECORDED if call.recorded else menu.ACCEPT
    told = _told(call)
    for _ in range(call.tries(question)):
        sounds = (*told, *call.consultants_speech.prompt(question.name))
        pressed = await call.lines.ask(
            leg,
            sounds,
            seconds=call.seconds(question),
            valid=question.valid,
            must_be_heard=question.must_be_heard,
        )
        told = ()
        if leg.gone.is_set():
            break
        if pressed.keys:
            answer = _KEYS[pressed.keys]
            if answer is Answer.PAUSED:
                await _pause(call, leg)
            return answer
    return Answer.SILENT


def _told(call: Conversation) -> Sounds:
    """What the consultant hears before the keys: who, in which mode, and whether it is recorded."""
    speech = call.consultants_speech
    return (
        *(speech.prompt("call-resumed") if call.continues else ()),
        *speech.prompt("consultant-call"),
        *speech.prompt("mode-package" if call.mode == PACKAGE else "mode-per-minute"),
        *speech.call_from(call.name_of("client", call.client.code, speech)),
        *(_recorded(call) if call.recorded else ()),
    )


def _recorded(call: Conversation) -> Sounds:
    speech = call.consultants_speech
    return (*speech.prompt("talk-recorded"), *speech.pause_key(call.settings.call.pause_key))


async def _pause(call: Conversation, leg: Leg) -> None:
    minutes = call.settings.call.pause_minutes
    await call.database.run(
        lambda session: people.pause(session, call.consultant.id, now() + timedelta(minutes=minutes))
    )
    await call.record.write(None, "consultant paused", f"{minutes} minutes")
    await call.lines.say(leg, *call.consultants_speech.paused_for(minutes))
