"""Whether the talk is recorded: only where the consultant allows it, and the client says yes by key."""

from __future__ import annotations

from taxiphone.ari_app import menu
from taxiphone.ari_app.conversation import Conversation
from taxiphone.billing import holds
from taxiphone.billing.pricing.tariff import minor
from taxiphone.store.calls import Outcome


async def offer_recording(call: Conversation) -> Outcome | None:
    """Tell the fee and the last day on which it is kept, then ask; only the key 1 says yes."""
    if not call.consultant.recording_allowed or not await call.database.look(
        lambda session: holds.can_afford_recording(
            session, call.settings, call.client, call.consultant, call.mode
        )
    ):
        return None
    kept_until = await call.record.recording_offered()
    speech = call.speech
    fee = minor(holds.recording_fee(call.settings), call.settings.currency_digits)
    pressed = await call.ask(
        menu.RECORDING,
        *speech.prompt("recording-offer"),
        *speech.amount(fee, call.settings.platform.currency),
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
