"""Finds out whom the client wants: by continuing a dropped consultation, by the dialled number, or by a code."""

from __future__ import annotations

from functools import partial

from taxiphone.ari_app import menu
from taxiphone.ari_app.agreement import Identified, Request
from taxiphone.ari_app.endings import NoTalkError, may_end_with
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.steps.price import check_affordable, how_long_it_lasts
from taxiphone.ari_app.steps.recording import client_notice
from taxiphone.billing import continuation, may_continue
from taxiphone.billing.announcement import AnnouncedQuote, quote_continuation
from taxiphone.billing.tariffs_in_force import PER_MINUTE
from taxiphone.directory import consultants
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Client, Consultant
from taxiphone.store.types import now

# How long to wait for the price of a talk that has just been ended.
_PRICE_SECONDS = 3.0


@may_end_with(Outcome.UNAVAILABLE, Outcome.NO_CREDIT, Outcome.LIMIT_REACHED)
async def offer_continuation(call: LiveCall, who: Identified) -> Request | None:
    """If the client's line dropped a moment ago, offer to continue that consultation; None for a new one."""
    if who.quote is not None:
        return None
    client, own = who.client, who.own_consultant
    silent = call.services.talks.get(client.id)
    if silent is not None and await silent.end_if_client_is_silent():
        await call.services.rated_calls.wait(silent.call_id, _PRICE_SECONDS)
    if not await call.database.fetch(lambda connection: may_continue.latest_dropped(connection, client.id)):
        return None
    dropped = await call.database.query(
        lambda session: continuation.interrupted(session, call.settings, client)
    )
    if dropped is None or dropped.consultant is None or (own is not None and own.id != dropped.consultant_id):
        return None
    consultant = dropped.consultant
    call.record.note("going on offered", dropped.id)
    name = call.speech.consultant_is(call.name_of("consultant", consultant.code, call.speech))
    for _ in range(call.tries(menu.RESUME)):
        pressed = await call.ask(menu.RESUME, *name)
        if pressed.keys:
            break
    if pressed.keys != "1":
        return None
    _note(call, consultant, dropped.mode)
    _check_available(consultant)
    quote = await call.database.fetch(
        lambda connection: quote_continuation(
            connection, call.settings, client, dropped, call.record.arrived_at
        )
    )
    recorded = dropped.recording_asked and consultant.recording_allowed
    await _announce_continuation(call, client, quote, recorded=recorded)
    return Request(client, consultant, dropped.mode, recorded, quote, continues=dropped)


async def _announce_continuation(
    call: LiveCall, client: Client, quote: AnnouncedQuote, *, recorded: bool
) -> None:
    """Announce that nothing is charged twice, the price per minute, and how long the credit lasts."""
    check_affordable(quote, client)
    speech = call.speech
    await call.record.write(Status.OFFERED, "price told", str(quote.price_per_minute))
    await call.say_sounds(
        *speech.prompt("resume-costs"),
        *speech.prompt("price-is"),
        *speech.price_per_minute(quote.price_per_minute, quote.currency),
        *speech.prompt("tax-included"),
        *how_long_it_lasts(call, quote.lasts_seconds),
        *(client_notice(call) if recorded else ()),
        must_be_heard=True,
    )


@may_end_with(Outcome.NO_CHOICE, Outcome.UNKNOWN_CODE, Outcome.UNAVAILABLE)
async def choose_consultant(call: LiveCall, who: Identified) -> Consultant:
    """The consultant whose own number was dialled, or whose code the client keys in."""
    consultant = who.own_consultant or await _ask_code(call, who.client)
    _note(call, consultant, PER_MINUTE)
    _check_available(consultant)
    return consultant


def _note(call: LiveCall, consultant: Consultant, mode: str) -> None:
    call.record.note("consultant", consultant.code, consultant_id=consultant.id, mode=mode)


def _check_available(consultant: Consultant) -> None:
    if not consultants.takes_calls(consultant, now()):
        raise NoTalkError(Outcome.UNAVAILABLE)


async def _ask_code(call: LiveCall, client: Client) -> Consultant:
    """Ask for a consultant's code, or `*` for the last consultant."""
    outcome = Outcome.NO_CHOICE
    last = await call.database.query(lambda session: consultants.last_consultant(session, client))
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
        consultant = await call.database.query(partial(consultants.consultant_by_code, code=pressed.keys))
        if consultant is not None and pressed.end != "*":
            return consultant
        before, outcome = call.sounds("unknown-code"), Outcome.UNKNOWN_CODE
    raise NoTalkError(outcome)
