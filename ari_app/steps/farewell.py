"""The end of a call without a talk: tells the client why, and that the call cost nothing."""

from __future__ import annotations

import contextlib

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.endings import FAREWELLS, NoTalkError
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.waiting import CallerGoneError, staying
from taxiphone.errors import AriError
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Client

# How long to wait for the outcome to be written before announcing it.
_NOTE_SECONDS = 0.5


async def farewell(call: LiveCall, end: NoTalkError) -> None:
    """Say why there is no talk, and that the call cost nothing."""
    # Written first, so that others can call the consultant meanwhile. If this fails, the end of the call writes it.
    await call.note(
        call.record.write(None, "no consultation", end.outcome, outcome=end.outcome), seconds=_NOTE_SECONDS
    )
    first, *rest = FAREWELLS[end.outcome]
    balance = await _balance(call, end.client) if end.outcome is Outcome.NO_CREDIT and end.client else ()
    await call.say_sounds(*call.sounds(first), *balance, *call.sounds(*rest))


async def _balance(call: LiveCall, client: Client) -> tuple[str, ...]:
    """The client's credit, and whether another of their calls holds part of it."""
    sounds: tuple[str, ...] = ()
    with contextlib.suppress(SQLAlchemyError):
        credit = await call.record.balance(client)
        sounds += call.speech.credit_is(credit, call.settings.platform.currency)
    return sounds + (call.speech.prompt("other-call") if client.id in call.services.talks else ())


async def apologize(call: LiveCall) -> None:
    """Tell the caller that the call failed because of an error here. Answers the call first, if necessary."""
    with contextlib.suppress(CallerGoneError, AriError):
        async with staying(call.client_leg):
            await call.channels.answer(call.client_leg)
            await call.speak(call.speech.language)
            await farewell(call, NoTalkError(Outcome.FAILED))
