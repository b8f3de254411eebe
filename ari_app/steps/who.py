"""Who calls: the caller's number is a client's, or a client code and PIN are keyed in."""

from __future__ import annotations

from dataclasses import dataclass

from taxiphone.ari_app import menu
from taxiphone.ari_app.conversation import Conversation
from taxiphone.ari_app.menu import Question
from taxiphone.ari_app.verbs import Pressed
from taxiphone.directory import sign_in
from taxiphone.directory.sign_in import Checked
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Client
from taxiphone.store.types import now


async def identify(call: Conversation) -> Outcome | None:
    """Which number was dialled, and who calls; a blocked client, or one whose account is closed, is told so."""
    parties = await call.record.identified()
    await call.speak(parties.language)
    if parties.did is None:
        return Outcome.UNKNOWN_NUMBER
    call.own_consultant = parties.consultant
    client = parties.client or await _sign_in(call)
    if isinstance(client, Outcome):
        return client
    if client.closed_at is not None:
        return Outcome.ACCOUNT_CLOSED
    if client.blocked:
        return Outcome.BLOCKED
    if await call.record.too_many(client):
        return Outcome.TOO_MANY_CALLS
    call.client = client
    if parties.client is not None:
        await call.say("welcome")
    return None


async def _sign_in(call: Conversation) -> Client | Outcome:
    """Ask for a client code and PIN, and offer to know the caller by this number from now on."""
    caller = call.caller.number
    if await call.database.query(lambda session: sign_in.paused(session, caller, now())):
        return Outcome.PAUSED
    before = call.sounds("welcome", "number-not-known")
    tries = _Tries(call.tries(menu.CLIENT_CODE))
    while tries.left:
        code = await _keyed_in(call, menu.CLIENT_CODE, tries, *before)
        if not code.keys:
            return Outcome.UNKNOWN_CALLER
        pin = await _keyed_in(call, menu.PIN, tries)
        checked, client = await call.services.sign_ins.check(
            call.services.database, call.settings, code=code.keys, pin=pin.keys, caller=caller
        )
        if checked is Checked.PAUSED:
            return Outcome.PAUSED
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
        await call.record.write(None, "wrong PIN")
        tries.left -= 1
        before = call.sounds("wrong-pin")
    paused = await call.database.query(lambda session: sign_in.paused(session, caller, now()))
    return Outcome.PAUSED if paused else Outcome.WRONG_PIN


@dataclass
class _Tries:
    """How often code and PIN may still be asked for together: each question is asked no more than [call] code_tries times."""

    left: int


async def _keyed_in(call: Conversation, question: Question, tries: _Tries, *before: str) -> Pressed:
    """The digits of an answer. Ended before the first digit, it costs a try and is asked again; silence is not."""
    pressed = await call.ask(question, *before)
    while pressed.end and not pressed.keys and tries.left > 1:
        tries.left -= 1
        pressed = await call.ask(question)
    return pressed


async def _offer_to_add(call: Conversation, client: Client, number: str) -> None:
    pressed = await call.ask(menu.ADD_NUMBER)
    if pressed.keys == "1" and await call.database.run(
        lambda session: sign_in.add_number(session, call.settings, client.id, number)
    ):
        await call.record.write(None, "number added")
        await call.say("number-added")
