"""The consultant has accepted: copies the tariff into the call, holds the credit, and plays a short tone to both."""

from __future__ import annotations

import asyncio
import contextlib

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.agreement import Agreement, Reached, Request
from taxiphone.ari_app.endings import NoTalkError, may_end_with
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.steps.price import short_of
from taxiphone.billing.holds import Accepted
from taxiphone.errors import (
    AccountClosedError,
    AriError,
    InsufficientFundsError,
    LimitReachedError,
    NoPackageError,
)
from taxiphone.store.calls import Outcome


@may_end_with(Outcome.NO_CREDIT, Outcome.LIMIT_REACHED, Outcome.PRICE_CHANGED, Outcome.ACCOUNT_CLOSED)
async def agree(call: LiveCall, request: Request, reached: Reached) -> Agreement:
    """Copy the tariff into the call and hold the credit. If both want a recording, start MixMonitor.

    MixMonitor records nothing until the legs are bridged.
    """
    try:
        accepted = await _accept(call, request, reached)
    except (NoTalkError, SQLAlchemyError):
        # The consultant hears that the call won't take place, while the client hears why.
        call.dismiss(reached.leg, *call.speech_to(request.consultant).prompt("not-after-all"))
        raise
    if reached.recorded:
        await call.channels.through_dialplan(reached.leg, "consultant-record")
    tone = call.speech.prompt("tone-start")
    with contextlib.suppress(AriError):  # bridging fails if a leg has gone
        await asyncio.gather(*(call.prompter.say(leg, *tone) for leg in (call.client_leg, reached.leg)))
    return Agreement(request.client, request.consultant, reached.leg, reached.recorded, accepted)


async def _accept(call: LiveCall, request: Request, reached: Reached) -> Accepted:
    """Copy the tariff into the call and hold the most that the talk can cost.

    Raises:
        NoTalkError: while the phone rang, the credit was spent, the price went up, or the account was closed.
    """
    try:
        accepted = await call.record.accepted(
            recorded=reached.recorded,
            channel=reached.leg.id,
            continues=request.continues.id if request.continues else None,
        )
    except InsufficientFundsError as error:
        raise short_of(request.client, limit=isinstance(error, LimitReachedError)) from None
    except AccountClosedError:
        raise NoTalkError(Outcome.ACCOUNT_CLOSED) from None
    except NoPackageError:
        raise NoTalkError(Outcome.PRICE_CHANGED) from None
    if request.continues is None and request.quote.is_exceeded_by(accepted.tariff, request.mode):
        raise NoTalkError(Outcome.PRICE_CHANGED)
    return accepted
