"""The consultant has accepted: the tariff is frozen, what the talk can cost is held, a short tone sounds to both."""

from __future__ import annotations

import asyncio

from taxiphone.ari_app.conversation import Conversation
from taxiphone.errors import InsufficientFundsError, LimitReachedError
from taxiphone.store.calls import Outcome


async def agree(call: Conversation) -> Outcome | None:
    """Freeze, hold, and have MixMonitor ready where both want it; of what follows, only what is bridged is recorded."""
    try:
        call.accepted = await call.record.accepted(
            recorded=call.recorded,
            channel=call.consultant_leg.id,
            continues=call.continues.id if call.continues else None,
        )
    except InsufficientFundsError as error:  # spent by another call of the same client's while this one rang
        await call.lines.hang_up(call.consultant_leg)
        return Outcome.LIMIT_REACHED if isinstance(error, LimitReachedError) else Outcome.NO_CREDIT
    if call.recorded:
        await call.lines.through_dialplan(call.consultant_leg, "consultant-record")
    tone = call.speech.prompt("tone-start")
    await asyncio.gather(*(call.lines.say(leg, *tone) for leg in (call.client_leg, call.consultant_leg)))
    return None
