"""Finds out who calls: by the caller's number, or by client code and PIN."""

from __future__ import annotations

from dataclasses import dataclass

from taxiphone.ari_app import menu
from taxiphone.ari_app.agreement import Identified
from taxiphone.ari_app.call_record import Parties
from taxiphone.ari_app.endings import NoTalkError, may_end_with
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.menu import Question
from taxiphone.ari_app.prompter import Pressed
from taxiphone.directory import sign_in
from taxiphone.directory.callers import Caller
from taxiphone.directory.sign_in import SignInResult
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Client
from taxiphone.store.types import now


@may_end_with(
    Outcome.UNKNOWN_NUMBER,
    Outcome.UNKNOWN_CALLER,
    Outcome.WRONG_PIN,
    Outcome.PIN_PAUSED,
    Outcome.ACCOUNT_CLOSED,
    Outcome.BLOCKED,
    Outcome.TOO_MANY_CALLS,
)
async def identify(call: LiveCall, parties: Parties, caller: Caller) -> Identified:
    """Find out who calls, by code and PIN if their number is not known, and refuse a client who may not call."""
    await call.speak(parties.language)
    if parties.did is None:
        raise NoTalkError(Outcome.UNKNOWN_NUMBER)
    client = parties.client or await _sign_in(call, caller.number)
    if client.closed_at is not None:
        raise NoTalkError(Outcome.ACCOUNT_CLOSED)
    if client.blocked:
        raise NoTalkError(Outcome.BLOCKED)
    if parties.too_many if parties.client else await call.record.too_many(client):
        raise NoTalkError(Outcome.TOO_MANY_CALLS)
    if parties.client is not None:
        await call.say("welcome")
    return Identified(client, parties.consultant, parties.quote)


async def _sign_in(call: LiveCall, caller: str | None) -> Client:
    """Ask for a client code and PIN, and offer to add the caller's number to the account."""
    if await call.database.query(lambda session: sign_in.locked_out(session, caller, now())):
        raise NoTalkError(Outcome.PIN_PAUSED)
    before = call.sounds("welcome", "number-not-known")
    tries = _Tries(call.tries(menu.CLIENT_CODE))
    while tries.left:
        code = await _keyed_in(call, menu.CLIENT_CODE, tries, *before)
        if not code.keys:
            raise NoTalkError(Outcome.UNKNOWN_CALLER)
        pin = await _keyed_in(call, menu.PIN, tries)
        checked, client = await call.services.sign_ins.check(
            call.services.database, call.settings, code=code.keys, pin=pin.keys, caller=caller
        )
        if checked is SignInResult.LOCKED_OUT:
            raise NoTalkError(Outcome.PIN_PAUSED)
        if client is not None:
            await call.record.signed_in(client)
            await call.speak(client.language)
            if (
                caller is not None
                and sign_in.may_add(caller)
                and client.closed_at is None
                and not client.blocked
            ):
                await _offer_to_add(call, client, caller)
            return client
        call.record.note("wrong PIN")
        tries.left -= 1
        before = call.sounds("wrong-pin")
    paused = await call.database.query(lambda session: sign_in.locked_out(session, caller, now()))
    raise NoTalkError(Outcome.PIN_PAUSED if paused else Outcome.WRONG_PIN)


@dataclass
class _Tries:
    """How many more times code and PIN may be asked for; at first [call] code_tries."""

    left: int


async def _keyed_in(call: LiveCall, question: Question, tries: _Tries, *before: str) -> Pressed:
    """Ask for digits. `#` without a digit uses up a try, and the question is repeated; silence is returned as it is."""
    pressed = await call.ask(question, *before)
    while pressed.end and not pressed.keys and tries.left > 1:
        tries.left -= 1
        pressed = await call.ask(question)
    return pressed


async def _offer_to_add(call: LiveCall, client: Client, number: str) -> None:
    pressed = await call.ask(menu.ADD_NUMBER)
    if pressed.keys == "1" and await call.database.run(
        lambda session: sign_in.add_number(session, call.settings, client.id, number)
    ):
        call.record.note("number added")
        await call.say("number-added")
