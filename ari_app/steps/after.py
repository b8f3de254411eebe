"""After the talk: who is left on the line hears what is due to them, and the client may rate."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app import database_timeout, menu
from taxiphone.ari_app.conversation import Conversation
from taxiphone.ari_app.steps.talk import Ending, Why
from taxiphone.ari_app.verbs import Sounds
from taxiphone.billing.summary import CallSummary, call_summary
from taxiphone.errors import AriError
from taxiphone.speech.sentences import Speech

log = logging.getLogger(__name__)

_PRICE_SECONDS = database_timeout.SECONDS  # the meter needs some hundredths, a slow database this long
_NOTE_SECONDS = 1.0
_HASTE_SECONDS = 0.2
_LONGEST_SECONDS = 60.0  # Asterisk ends a leg that hears all this for so long

FAULT = "one-way audio"

CLIENT_HEARS: dict[Why, str] = {
    Why.CONSULTANT_LEFT: "consultant-hung-up",
    Why.CLIENT_ENDED: "you-ended",
    Why.PACKAGE_OVER: "package-over",
    Why.CREDIT_USED_UP: "credit-used-up",
    Why.FREE_MINUTES_OVER: "free-minutes-over",
    Why.LIMIT_REACHED: "limit-used-up",
    Why.LONGEST: "longest-reached",
    Why.CLIENT_NOT_HEARD: "not-heard",
    Why.CONSULTANT_NOT_HEARD: "other-not-heard",
    Why.CLIENT_LINE_LOST: "call-cut",
    Why.CONSULTANT_LINE_LOST: "line-lost",
    Why.CUT_BY_CLOCK: "call-cut",
}
CONSULTANT_HEARS: dict[Why, str] = {
    Why.CLIENT_LEFT: "client-hung-up",
    Why.CLIENT_ENDED: "client-hung-up",
    Why.PACKAGE_OVER: "package-over",
    Why.CREDIT_USED_UP: "client-credit-used-up",
    Why.FREE_MINUTES_OVER: "client-credit-used-up",
    Why.LIMIT_REACHED: "client-credit-used-up",
    Why.LONGEST: "longest-reached",
    Why.CLIENT_NOT_HEARD: "other-not-heard",
    Why.CONSULTANT_NOT_HEARD: "not-heard",
    Why.CLIENT_LINE_LOST: "line-lost",
    Why.CONSULTANT_LINE_LOST: "call-cut",
    Why.CUT_BY_CLOCK: "line-lost",
}

# Ends that the platform makes: said even where the settings want no words after a talk.
NEVER_SILENTLY = frozenset(CLIENT_HEARS) - {Why.CONSULTANT_LEFT, Why.CLIENT_ENDED}


async def after(call: Conversation, ending: Ending) -> None:
    """Stop the meter, have the talk priced, and tell both sides; who has gone hears nothing."""
    call.services.rated_calls.expect(call.id)
    await _part(call, ending)
    call.services.on_over(call.id)
    for leg in (call.client_leg, call.consultant_leg):
        with contextlib.suppress(AriError):  # the time-out of the talk is still there
            seconds = _LONGEST_SECONDS + call.settings.call.key_seconds
            await call.lines.set_variable(leg, "TIMEOUT(absolute)", f"{seconds:.1f}")
    for told in await asyncio.gather(
        _tell_client(call, ending.why), _tell_consultant(call, ending.why), return_exceptions=True
    ):
        if isinstance(told, AriError):
            log.warning("call %s: who was left on the line was not told all: %s", call.id, told)
        elif isinstance(told, BaseException):
            raise told


async def _part(call: Conversation, ending: Ending) -> None:
    """Note why the talk is over, and take both out of the bridge; a database that is slow now holds up nobody.

    Where the time is up, Asterisk's own cut is half a second away: whoever is to hear why must be out of the bridge by then.
    """
    try:
        await call.note(
            _noted(call, ending), seconds=_HASTE_SECONDS if ending.why.time_is_up else _NOTE_SECONDS
        )
    finally:
        legs = (call.client_leg, call.consultant_leg)
        # Asterisk's log then says who left first: the one whose line is lost.
        await call.lines.part(call.bridge, *(reversed(legs) if ending.why.consultants else legs))


async def _noted(call: Conversation, ending: Ending) -> None:
    """Note why the talk is over; where that comes late, the meter could not know before, and looks again."""
    try:
        await call.record.over(
            ending.why.value,
            fault=FAULT if ending.why.one_way else None,
            heard_until=ending.heard_until,
            parted=ending.parted,
        )
    finally:
        call.services.on_over(call.id)


async def _tell_client(call: Conversation, why: Why) -> None:
    """Why it is over, how long it was, what it costs, what is left; then a rating by key."""
    if call.client_leg.gone.is_set():
        return
    if why in CLIENT_HEARS and (call.settings.call.tell_after or why in NEVER_SILENTLY):
        await call.say(CLIENT_HEARS[why])
    if call.settings.call.tell_after:
        due = await _priced(call)
        if due is not None:
            await call.tell(*_bill(call.speech, due))
        if due is None or not due.network_fault:
            await _rate(call)
        await call.say("goodbye")
    await call.lines.hang_up(call.client_leg)


async def _tell_consultant(call: Conversation, why: Why) -> None:
    """Why it is over, how long it was, and their share."""
    leg, speech = call.consultant_leg, call.consultants_speech
    if leg.gone.is_set():
        return
    if why in CONSULTANT_HEARS and (call.settings.call.tell_after or why in NEVER_SILENTLY):
        await call.lines.say(leg, *speech.prompt(CONSULTANT_HEARS[why]))
    if call.settings.call.tell_after:
        due = await _priced(call)
        if due is not None:
            share = () if due.network_fault else speech.your_share(due.share, due.currency)
            await call.lines.say(leg, *speech.talk_lasted(due.seconds), *share)
    await call.lines.hang_up(leg)


async def _priced(call: Conversation) -> CallSummary | None:
    await call.services.rated_calls.wait(call.id, _PRICE_SECONDS)
    with contextlib.suppress(SQLAlchemyError):
        return await call.database.query(lambda session: call_summary(session, call.id))
    return None


def _bill(speech: Speech, due: CallSummary) -> Sounds:
    bill = speech.talk_lasted(due.seconds)
    bill += speech.it_costs(due.total, due.currency) if due.total else speech.prompt("nothing-charged")
    if due.recording_fee:
        bill += speech.recording_follows(due.recording_fee, due.currency)
    return bill + speech.credit_left(due.wallet, due.currency)


async def _rate(call: Conversation) -> None:
    pressed = await call.ask(menu.STARS)
    if pressed.keys:
        with contextlib.suppress(SQLAlchemyError):
            await call.record.write(None, "rated by the client", pressed.keys, stars=int(pressed.keys))
        await call.say("thank-you")
