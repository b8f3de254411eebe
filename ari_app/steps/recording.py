"""Whether the talk is recorded: only where the consultant allows it, and the client says yes by key."""

from __future__ import annotations

from taxiphone.ari_app import menu
from taxiphone.ari_app.conversation import Conversation
from taxiphone.store.calls import Outcome


async def offer_recording(call: Conversation) -> Outcome | None:
    """Tell the fee and the last day on which it is kept, then ask; only the key 1 says yes."""
    quote = call.quote
    if quote is None or quote.recording_fee is None or not quote.pays_for_recording(call.mode):
        return None
    kept_until = await call.record.recording_offered()
    speech = call.speech
    pressed = await call.ask(
        menu.RECORDING,
        *speech.prompt("recording-offer"),
        *speech.amount(quote.recording_fee, quote.currency),
        *speech.prompt("tax-included"),
        *speech.prompt("recording-kept-until"),
        *speech.date(kept_until),
    )
    call.recorded = pressed.keys == "1"
    if call.recorded:
        await call.tell(*speech.prompt("recording-yes"), *speech.pause_key(call.settings.call.pause_key))
    else:
        await call.say("recording-no")
    await call.record.write(
        None, "recording asked", "yes" if call.recorded else "no", recording_asked=call.recorded
    )
    return None
