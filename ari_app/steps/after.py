"""After the talk: who is left on the line hears what is due to them, and the client may rate."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app import database_timeout, menu
from taxiphone.ari_app.agreement import Agreement
from taxiphone.ari_app.end_reasons import ALWAYS_SAID, CLIENT_HEARS, CONSULTANT_HEARS, Ending, EndReason
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.talk_sides import TalkSides
from taxiphone.billing.summary import CallSummary, call_summary
from taxiphone.errors import AriError
from taxiphone.speech.sentences import Sounds, Speech

log = logging.getLogger(__name__)

_PRICE_SECONDS = database_timeout.SECONDS  # the meter needs some hundredths, a slow database this long
_NOTE_SECONDS = 1.0
_HASTE_SECONDS = 0.2
_LONGEST_SECONDS = 60.0  # Asterisk ends a leg that hears all this for so long

FAULT = "one-way audio"


async def after(call: LiveCall, agreement: Agreement, ending: Ending) -> None:
    """Stop the meter, have the talk priced, and tell both sides; whoever has gone hears nothing."""
    sides = TalkSides(call, agreement)
    call.services.rated_calls.expect(call.id)
    await _part(call, sides, ending)
    call.services.on_over(call.id)
    for leg in sides.legs:
        with contextlib.suppress(AriError):  # the time-out of the talk is still there
            seconds = _LONGEST_SECONDS + call.settings.call.key_seconds
            await call.channels.set_variable(leg, "TIMEOUT(absolute)", f"{seconds:.1f}")
    for told in await asyncio.gather(
        _tell_client(call, sides, ending.reason),
        _tell_consultant(call, sides, ending.reason),
        return_exceptions=True,
    ):
        if isinstance(told, AriError):
            log.warning("call %s: who was left on the line was not told all: %s", call.id, told)
        elif isinstance(told, BaseException):
            raise told


async def _part(call: LiveCall, sides: TalkSides, ending: Ending) -> None:
    """Note why the talk is over, and take both out of the bridge; a slow database holds up nobody.

    If the time is up, Asterisk's own time-out is half a second away: whoever is to hear why must be out of the bridge by
    then.
    """
    try:
        await call.note(
            _note(call, ending), seconds=_HASTE_SECONDS if ending.reason.time_is_up else _NOTE_SECONDS
        )
    finally:
        # Asterisk's log then says who left first: the one whose line is lost.
        legs = reversed(sides.legs) if ending.reason.consultants else sides.legs
        await call.channels.unbridge(call.bridge_id, *legs)


async def _note(call: LiveCall, ending: Ending) -> None:
    """Note why the talk is over. If that comes late, the meter could not know before, and reads again."""
    try:
        await call.record.over(
            ending.reason.value,
            fault=FAULT if ending.reason.one_way else None,
            heard_until=ending.heard_until,
            parted=ending.parted,
        )
    finally:
        call.services.on_over(call.id)


async def _tell_client(call: LiveCall, sides: TalkSides, reason: EndReason) -> None:
    """Why it is over, how long it was, what it costs, what is left; then a rating by key."""
    if sides.client.gone.is_set():
        return
    await call.say_sounds(*_why(call, reason, CLIENT_HEARS, sides.client_speech))
    if call.settings.call.tell_after:
        due = await _due(call)
        if due is not None:
            await call.say_sounds(*_bill(sides.client_speech, due))
        if due is None or not due.network_fault:
            await _ask_for_rating(call)
        await call.say("goodbye")
    await call.channels.hang_up(sides.client)


async def _tell_consultant(call: LiveCall, sides: TalkSides, reason: EndReason) -> None:
    """Why it is over, how long it was, and their share."""
    leg, speech = sides.consultant, sides.consultant_speech
    if leg.gone.is_set():
        return
    await call.prompter.say(leg, *_why(call, reason, CONSULTANT_HEARS, speech))
    if call.settings.call.tell_after:
        due = await _due(call)
        if due is not None:
            share = () if due.network_fault else speech.your_share(due.share, due.currency)
            await call.prompter.say(leg, *speech.talk_lasted(due.seconds), *share)
    await call.channels.hang_up(leg)


def _why(call: LiveCall, reason: EndReason, hears: dict[EndReason, str], speech: Speech) -> Sounds:
    """Why the talk is over, as one side hears it; nothing if it is not said to them."""
    said = reason in hears and (call.settings.call.tell_after or reason in ALWAYS_SAID)
    return speech.prompt(hears[reason]) if said else ()


async def _due(call: LiveCall) -> CallSummary | None:
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


async def _ask_for_rating(call: LiveCall) -> None:
    pressed = await call.ask(menu.STARS)
    if pressed.keys:
        with contextlib.suppress(SQLAlchemyError):
            await call.record.write(None, "rated by the client", pressed.keys, stars=int(pressed.keys))
        await call.say("thank-you")
