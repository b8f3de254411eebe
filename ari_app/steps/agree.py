"""The consultant has accepted: the tariff is frozen, what the talk can cost is held, a short tone sounds to both."""

from __future__ import annotations

import asyncio
import contextlib

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.agreement import Agreement, Reached, Request
from taxiphone.ari_app.endings import NoTalkError, may_end_with
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.steps.price import short_of
from taxiphone.billing.holds import Accepted
from taxiphone.errors import AriError, InsufficientFundsError, LimitReachedError, NoPackageError
from taxiphone.store.calls import Outcome


@may_end_with(Outcome.NO_CREDIT, Outcome.LIMIT_REACHED, Outcome.PRICE_CHANGED)
async def agree(call: LiveCall, request: Request, reached: Reached) -> Agreement:
    """Freeze and hold, and start MixMonitor if both want it; it records only what is bridged later."""
    try:
        accepted = await _accept(call, request, reached)
    except (NoTalkError, SQLAlchemyError):
        # The consultant, who has just accepted, is told that nothing comes of it while the client is told why.
        call.dismiss(reached.leg, *call.speech_to(request.consultant).prompt("not-after-all"))
        raise
    if reached.recorded:
        await call.channels.through_dialplan(reached.leg, "consultant-record")
    tone = call.speech.prompt("tone-start")
    with contextlib.suppress(AriError):  # the bridge tells whether they are there
        await asyncio.gather(*(call.prompter.say(leg, *tone) for leg in (call.client_leg, reached.leg)))
    return Agreement(request.client, request.consultant, reached.leg, reached.recorded, accepted)


async def _accept(call: LiveCall, request: Request, reached: Reached) -> Accepted:
    """Freeze the tariff and hold what the talk can cost.

    Raises:
        NoTalkError: the credit was spent, or the price raised, while the phone rang.
    """
    try:
        accepted = await call.record.accepted(
            recorded=reached.recorded,
            channel=reached.leg.id,
            continues=request.continues.id if request.continues else None,
        )
    except InsufficientFundsError as error:
        raise short_of(request.client, limit=isinstance(error, LimitReachedError)) from None
    except NoPackageError:
        raise NoTalkError(Outcome.PRICE_CHANGED) from None
    if request.continues is None and request.quote.is_exceeded_by(accepted.tariff, request.mode):
        raise NoTalkError(Outcome.PRICE_CHANGED)
    return accepted
