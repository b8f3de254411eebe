"""The end of a call without a talk: the client is told why, and that it cost nothing."""

from __future__ import annotations

import contextlib

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.endings import FAREWELLS, NoTalkError
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.waiting import CallerGoneError, staying
from taxiphone.errors import AriError
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Client

# How long the writing of an outcome is waited for before it is said.
_NOTE_SECONDS = 0.5


async def farewell(call: LiveCall, end: NoTalkError) -> None:
    """Say why there is no talk, and that it cost nothing."""
    # The consultant is free for others while this is said. What is not noted now is noted when the call ends.
    await call.note(
        call.record.write(None, "no consultation", end.outcome, outcome=end.outcome), seconds=_NOTE_SECONDS
    )
    first, *rest = FAREWELLS[end.outcome]
    balance = await _balance(call, end.client) if end.outcome is Outcome.NO_CREDIT and end.client else ()
    await call.say_sounds(*call.sounds(first), *balance, *call.sounds(*rest))


async def _balance(call: LiveCall, client: Client) -> tuple[str, ...]:
    """What the client has, and that another talk holds the rest."""
    sounds: tuple[str, ...] = ()
    with contextlib.suppress(SQLAlchemyError):
        credit = await call.record.balance(client)
        sounds += call.speech.credit_is(credit, call.settings.platform.currency)
    return sounds + (call.speech.prompt("other-call") if client.id in call.services.talks else ())


async def apologize(call: LiveCall) -> None:
    """Say that the call failed through our fault, to a caller who may not have been answered yet."""
    with contextlib.suppress(CallerGoneError, AriError):
        async with staying(call.client_leg):
            await call.channels.answer(call.client_leg)
            await call.speak(call.speech.language)
            await farewell(call, NoTalkError(Outcome.FAILED))
