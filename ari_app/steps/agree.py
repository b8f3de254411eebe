"""The consultant has accepted: the tariff is frozen, what the talk can cost is held, a short tone sounds to both."""

from __future__ import annotations

import asyncio
import contextlib

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.conversation import Conversation
from taxiphone.errors import AriError, InsufficientFundsError, LimitReachedError, NoPackageError
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
        outcome = Outcome.LIMIT_REACHED if isinstance(error, LimitReachedError) else Outcome.NO_CREDIT
        return _not_after_all(call, outcome)
    except NoPackageError:  # withdrawn while the phone rang
        return _not_after_all(call, Outcome.PRICE_CHANGED)
    except SQLAlchemyError:
        # The client is told that it failed; the consultant must not wait in silence meanwhile.
        call.aside(_let_go(call))
        raise
    if call.quote is not None and call.quote.is_exceeded_by(call.accepted.tariff, call.mode):
        return _not_after_all(call, Outcome.PRICE_CHANGED)
    if call.recorded:
        await call.lines.through_dialplan(call.consultant_leg, "consultant-record")
    tone = call.speech.prompt("tone-start")
    with contextlib.suppress(AriError):  # the bridge tells whether they are there
        await asyncio.gather(*(call.lines.say(leg, *tone) for leg in (call.client_leg, call.consultant_leg)))
    return None


def _not_after_all(call: Conversation, outcome: Outcome) -> Outcome:
    """The consultant, who has just accepted, is told that nothing comes of it, while the client is told why."""
    call.aside(_let_go(call))
    return outcome


async def _let_go(call: Conversation) -> None:
    try:
        await call.lines.say(call.consultant_leg, *call.consultants_speech.prompt("not-after-all"))
    finally:
        await call.lines.hang_up(call.consultant_leg)
