"""One call from beginning to end: who calls, whom, at what price, recorded or not, the talk, the bill.

Each step (ari_app/steps) takes and returns values. A step that ends the call raises `NoTalkError`. The status is written
before the command to Asterisk that it announces (store.calls). Before the talk, every wait is interrupted if the caller
hangs up (`staying`). The talk itself ends when either side leaves. All legs are hung up at the end, whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.agreement import Agreement, Identified, Request
from taxiphone.ari_app.call_record import Parties
from taxiphone.ari_app.endings import NoTalkError
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.steps.after import after
from taxiphone.ari_app.steps.agree import agree
from taxiphone.ari_app.steps.bridge import bridge
from taxiphone.ari_app.steps.farewell import apologize, farewell
from taxiphone.ari_app.steps.price import announce_price, choose_mode
from taxiphone.ari_app.steps.reach import reach
from taxiphone.ari_app.steps.recording import offer_recording
from taxiphone.ari_app.steps.talk import talk
from taxiphone.ari_app.steps.who import identify
from taxiphone.ari_app.steps.whom import choose_consultant, offer_continuation
from taxiphone.ari_app.taken_over import TakenOver, talk_in_progress
from taxiphone.ari_app.waiting import CallerGoneError, first_of, staying, to_the_end
from taxiphone.directory.callers import Caller
from taxiphone.errors import LedgerError, TaxiphoneError
from taxiphone.store.calls import Outcome

log = logging.getLogger(__name__)


async def run(call: LiveCall, dialled: str, caller: Caller) -> Outcome:
    """Run a call until it has ended.

    Args:
        call: the call, which has just arrived.
        dialled: the number dialled, as the trunk sent it.
        caller: the caller, according to the carrier.
    """
    async with _ending(call) as ended:
        parties = await call.record.received(call.client_leg.id, dialled, caller)
        ended.outcome = await _from_answer_to_bill(call, parties, caller)
    return ended.outcome


async def _from_answer_to_bill(call: LiveCall, parties: Parties, caller: Caller) -> Outcome:
    try:
        async with staying(call.client_leg):
            try:
                agreement = await _agreement(call, parties, caller)
            except NoTalkError as end:
                await farewell(call, end)
                return end.outcome
        bridged = await bridge(call, agreement)
    except CallerGoneError:
        return Outcome.CALLER_GONE
    except NoTalkError as end:
        with contextlib.suppress(CallerGoneError):
            async with staying(call.client_leg):
                await farewell(call, end)
        return end.outcome
    await after(call, agreement, await talk(call, agreement, bridged))
    return Outcome.TALKED


async def _agreement(call: LiveCall, parties: Parties, caller: Caller) -> Agreement:
    """All steps before the legs are bridged."""
    await call.channels.answer(call.client_leg)
    who = await identify(call, parties, caller)
    request = await offer_continuation(call, who) or await _new_request(call, who)
    reached = await reach(call, request)
    return await agree(call, request, reached)


async def _new_request(call: LiveCall, who: Identified) -> Request:
    consultant = await choose_consultant(call, who)
    quote = await announce_price(call, who.client, consultant, who.quote)
    mode = await choose_mode(call, quote)
    recorded = await offer_recording(call, quote, mode)
    return Request(who.client, consultant, mode, recorded, quote)


async def resume(call: LiveCall, consultant_leg: Leg) -> Outcome:
    """Take over a talk that is already in progress, and run it until it has ended."""
    call.bridged = True
    async with _ending(call) as ended:
        ended.outcome = Outcome.TALKED
        taken_over = await _take_over(call)
        if taken_over is None:  # what to announce is unknown; the talk ends when either side leaves
            await first_of(call.client_leg.gone.wait(), consultant_leg.gone.wait())
        else:
            call.speech = call.services.speech(taken_over.language)
            agreement = taken_over.agreement(consultant_leg)
            await after(call, agreement, await talk(call, agreement, None, taken_over))
    return ended.outcome


async def _take_over(call: LiveCall) -> TakenOver | None:
    try:
        return await talk_in_progress(call.settings, call.database, call.id)
    except (LedgerError, SQLAlchemyError) as error:
        log.error("call %s: %s The talk continues until somebody hangs up.", call.id, error)
        return None


class _Ended:
    """How a call ended; FAILED until it is known."""

    outcome = Outcome.FAILED


@contextlib.asynccontextmanager
async def _ending(call: LiveCall) -> AsyncIterator[_Ended]:
    """Clean up when the block is left: hang up all legs, remove the bridge, and write the outcome to the call's row."""
    ended = _Ended()
    try:
        yield ended
    except (TaxiphoneError, SQLAlchemyError) as error:
        log.error("call %s: %s The call is ended; a talk is priced from Asterisk's log.", call.id, error)
        if not call.bridged:
            await apologize(call)
    except asyncio.CancelledError:
        call.stopped = True
        raise
    finally:
        ended.outcome = await to_the_end(call.end(ended.outcome))
