"""After the talk: tells whoever is still on the line what was billed or earned, and asks the client for a rating."""

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

# The meter usually takes a few hundredths of a second; this allows for a slow database.
_PRICE_SECONDS = database_timeout.SECONDS
_NOTE_SECONDS = 1.0
_SHORT_NOTE_SECONDS = 0.2
# Asterisk hangs up a consultant's phone that is still connected this long after the talk.
_LONGEST_SECONDS = 60.0

FAULT = "one-way audio"


async def after(call: LiveCall, agreement: Agreement, ending: Ending) -> None:
    """End the talk, have it priced, and tell each side that is still connected."""
    sides = TalkSides(call, agreement)
    call.services.rated_calls.expect(call.id)
    await _unbridge(call, sides, ending)
    call.services.on_over(call.id)
    call.forget_timeout()
    with contextlib.suppress(AriError):  # the talk's time-out still applies
        await call.restart_timeout()
    with contextlib.suppress(AriError):
        await call.channels.set_variables(sides.consultant, {"TIMEOUT(absolute)": f"{_LONGEST_SECONDS:g}"})
    for result in await asyncio.gather(
        _tell_client(call, sides, ending.reason),
        _tell_consultant(call, sides, ending.reason),
        return_exceptions=True,
    ):
        if isinstance(result, AriError):
            log.warning("call %s: an announcement after the talk was cut short: %s", call.id, result)
        elif isinstance(result, BaseException):
            raise result


async def _unbridge(call: LiveCall, sides: TalkSides, ending: Ending) -> None:
    """Record why the talk is over, and take both legs out of the bridge without waiting long for a slow database.

    When the time is up, Asterisk's own time-out follows half a second later. A side that is to hear why must be out of the
    bridge by then.
    """
    try:
        await call.note(
            _record_end(call, ending),
            seconds=_SHORT_NOTE_SECONDS if ending.reason.time_is_up else _NOTE_SECONDS,
        )
    finally:
        # The side whose line is lost leaves first, so that Asterisk's log shows it.
        legs = reversed(sides.legs) if ending.reason.consultants else sides.legs
        await call.channels.unbridge(call.bridge_id, *legs)


async def _record_end(call: LiveCall, ending: Ending) -> None:
    """Record why the talk is over, then have the meter read its log again: it may have read it before this was written."""
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
    """Tell the client why the talk is over, its duration, its price and the remaining credit; then ask for a rating."""
    if sides.client.gone.is_set():
        return
    await call.say_sounds(*_why(call, reason, CLIENT_HEARS, sides.client_speech))
    if call.settings.call.tell_after:
        summary = await _summary(call)
        if summary is not None:
            await call.say_sounds(*_bill(sides.client_speech, summary))
        if summary is None or not summary.network_fault:
            await _ask_for_rating(call)
        await call.say("goodbye")
    await call.channels.hang_up(sides.client)


async def _tell_consultant(call: LiveCall, sides: TalkSides, reason: EndReason) -> None:
    """Tell the consultant why the talk is over, its duration, and their share."""
    leg, speech = sides.consultant, sides.consultant_speech
    if leg.gone.is_set():
        return
    await call.prompter.say(leg, *_why(call, reason, CONSULTANT_HEARS, speech))
    if call.settings.call.tell_after:
        summary = await _summary(call)
        if summary is not None:
            share = () if summary.network_fault else speech.your_share(summary.share, summary.currency)
            await call.prompter.say(leg, *speech.talk_lasted(summary.seconds), *share)
    await call.channels.hang_up(leg)


def _why(call: LiveCall, reason: EndReason, prompts: dict[EndReason, str], speech: Speech) -> Sounds:
    """The prompt that tells one side why the talk is over; empty if that side isn't told."""
    announced = reason in prompts and (call.settings.call.tell_after or reason in ALWAYS_SAID)
    return speech.prompt(prompts[reason]) if announced else ()


async def _summary(call: LiveCall) -> CallSummary | None:
    """The priced call; None if the price isn't known in time."""
    await call.services.rated_calls.wait(call.id, _PRICE_SECONDS)
    with contextlib.suppress(SQLAlchemyError):
        return await call.database.fetch(lambda connection: call_summary(connection, call.id))
    return None


def _bill(speech: Speech, summary: CallSummary) -> Sounds:
    currency = summary.currency
    bill = speech.talk_lasted(summary.seconds)
    bill += speech.it_costs(summary.total, currency) if summary.total else speech.prompt("nothing-charged")
    if summary.recording_fee:
        bill += speech.recording_follows(summary.recording_fee, currency)
    return bill + speech.credit_left(summary.wallet, currency)


async def _ask_for_rating(call: LiveCall) -> None:
    pressed = await call.ask(menu.STARS)
    if pressed.keys:
        try:
            await call.record.write(None, "rated by the client", pressed.keys, stars=int(pressed.keys))
        except SQLAlchemyError as error:
            log.warning("call %s: the rating could not be stored: %s", call.id, error)
            return
        await call.say("thank-you")
