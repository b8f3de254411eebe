"""Offers to record the talk. It is recorded only if the consultant allows it and the client presses 1."""

from __future__ import annotations

from taxiphone.ari_app import menu
from taxiphone.ari_app.endings import may_end_with
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.billing.announcement import AnnouncedQuote
from taxiphone.speech.sentences import Sounds, Speech


@may_end_with()
async def offer_recording(call: LiveCall, quote: AnnouncedQuote, mode: str) -> bool:
    """Announce the fee and how long the recording is kept, then ask. Only the key 1 means yes."""
    if quote.recording_fee is None or not quote.pays_for_recording(mode):
        return False
    kept_until = call.record.recording_offered()
    speech = call.speech
    pressed = await call.ask(
        menu.RECORDING,
        *speech.prompt("recording-offer"),
        *speech.amount(quote.recording_fee, quote.currency),
        *speech.prompt("tax-included"),
        *speech.prompt("recording-kept-until"),
        *speech.date(kept_until),
    )
    recorded = pressed.keys == "1"
    if recorded:
        await call.say_sounds(*client_notice(call))
    else:
        await call.say("recording-no")
    call.record.note("recording asked", "yes" if recorded else "no", recording_asked=recorded)
    return recorded


def client_notice(call: LiveCall) -> Sounds:
    """Tell the client that the talk is recorded, and which key pauses the recording."""
    return notice(call, call.speech, "recording-yes")


def notice(call: LiveCall, speech: Speech, prompt: str) -> Sounds:
    """A prompt saying that the talk is recorded, followed by the key that pauses the recording."""
    return (*speech.prompt(prompt), *speech.pause_key(call.settings.call.pause_key))
