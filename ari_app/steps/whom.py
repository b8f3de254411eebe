"""Whom: the consultation that was cut goes on, the dialled number is one consultant's own, or a code is keyed in."""

from __future__ import annotations

from functools import partial

from taxiphone.ari_app import menu
from taxiphone.ari_app.conversation import Conversation
from taxiphone.billing import continuation
from taxiphone.directory import people
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Consultant
from taxiphone.store.types import now


async def offer_to_go_on(call: Conversation) -> Outcome | None:
    """Where this client's line was cut a moment ago: go on with that consultation, or begin another one."""
    cut = await call.database.look(
        lambda session: continuation.interrupted(session, call.settings, call.client)
    )
    own = call.own_consultant
    if cut is None or cut.consultant is None or (own is not None and own.id != cut.consultant_id):
        return None
    await call.record.write(None, "going on offered", cut.id)
    for _ in range(call.tries(menu.RESUME)):
        pressed = await call.ask(menu.RESUME)
        if pressed.keys:
            break
    if pressed.keys != "1":
        return None
    call.continues, call.consultant = cut, cut.consultant
    call.mode, call.recorded = cut.mode, cut.recording_asked
    await _note(call)
    await call.say("resume-costs")
    return _available(call)


async def choose(call: Conversation) -> Outcome | None:
    """The dialled number is one consultant's own, or the consultant's code is keyed in."""
    found = call.own_consultant or await _ask_code(call)
    if isinstance(found, Outcome):
        return found
    call.consultant = found
    await _note(call)
    return _available(call)


async def _note(call: Conversation) -> None:
    await call.record.write(
        None,
        "consultant",
        call.consultant.code,
        consultant_id=call.consultant.id,
        mode=call.mode,
    )


def _available(call: Conversation) -> Outcome | None:
    return None if people.takes_calls(call.consultant, now()) else Outcome.UNAVAILABLE


async def _ask_code(call: Conversation) -> Consultant | Outcome:
    """A code, or `*` for the consultant of last time."""
    outcome = Outcome.NO_CHOICE
    last = await call.database.look(lambda session: people.last_consultant(session, call.client))
    before: tuple[str, ...] = ()
    for _ in range(call.tries(menu.CODE)):
        after = call.sounds("star-for-last") if last is not None else ()
        pressed = await call.ask(menu.CODE, *before, after=after)
        if pressed.end == "*" and not pressed.keys:
            if last is not None:
                return last
            before, outcome = call.sounds("no-last-consultant"), Outcome.UNKNOWN_CODE
            continue
        if not pressed.keys:
            before = ()
            continue
        found = await call.database.look(partial(people.consultant_by_code, code=pressed.keys))
        if found is not None and pressed.end != "*":
            return found
        before, outcome = call.sounds("unknown-code"), Outcome.UNKNOWN_CODE
    return outcome
