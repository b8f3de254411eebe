"""Whom: the consultation that was cut goes on, the dialled number is one consultant's own, or a code is keyed in."""

from __future__ import annotations

from functools import partial

from taxiphone.ari_app import menu
from taxiphone.ari_app.conversation import Conversation
from taxiphone.ari_app.steps.price import how_long_it_lasts
from taxiphone.ari_app.verbs import Sounds
from taxiphone.billing import continuation
from taxiphone.billing.announcement import quote_continuation
from taxiphone.directory import people
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call, Consultant
from taxiphone.store.types import now

_PRICE_SECONDS = 3.0  # until a talk that has just been ended is priced


async def offer_to_go_on(call: Conversation) -> Outcome | None:
    """Where this client's line was cut a moment ago: go on with that consultation, or begin another one."""
    silent = call.services.talks.get(call.client.id)
    if silent is not None and silent.end_if_client_is_silent():
        await call.services.rated_calls.wait(silent.call_id, _PRICE_SECONDS)
    cut = await call.database.query(
        lambda session: continuation.interrupted(session, call.settings, call.client)
    )
    own = call.own_consultant
    if cut is None or cut.consultant is None or (own is not None and own.id != cut.consultant_id):
        return None
    await call.record.write(None, "going on offered", cut.id)
    name = call.speech.consultant_is(call.name_of("consultant", cut.consultant.code, call.speech))
    for _ in range(call.tries(menu.RESUME)):
        pressed = await call.ask(menu.RESUME, *name)
        if pressed.keys:
            break
    if pressed.keys != "1":
        return None
    call.continues, call.consultant, call.mode = cut, cut.consultant, cut.mode
    call.recorded = cut.recording_asked and cut.consultant.recording_allowed
    await _note(call)
    return _available(call) or await _tell_what_going_on_costs(call, cut)


async def _tell_what_going_on_costs(call: Conversation, cut: Call) -> Outcome | None:
    """Nothing is paid twice; what is talked more costs as before, and lasts as long as the credit."""
    quote = await call.database.query(
        lambda session: quote_continuation(session, call.settings, call.client, cut)
    )
    if not quote.affordable:
        return Outcome.LIMIT_REACHED if quote.limited else Outcome.NO_CREDIT
    speech = call.speech
    await call.record.write(Status.OFFERED, "price told", str(quote.price_per_minute))
    await call.tell(
        *speech.prompt("resume-costs"),
        *speech.prompt("price-is"),
        *speech.price_per_minute(quote.price_per_minute, quote.currency),
        *speech.prompt("tax-included"),
        *how_long_it_lasts(call, quote.lasts_seconds),
        *(_recorded(call) if call.recorded else ()),
        must_be_heard=True,
    )
    return None


def _recorded(call: Conversation) -> Sounds:
    return (*call.sounds("recording-yes"), *call.speech.pause_key(call.settings.call.pause_key))


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
    last = await call.database.query(lambda session: people.last_consultant(session, call.client))
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
        found = await call.database.query(partial(people.consultant_by_code, code=pressed.keys))
        if found is not None and pressed.end != "*":
            return found
        before, outcome = call.sounds("unknown-code"), Outcome.UNKNOWN_CODE
    return outcome
