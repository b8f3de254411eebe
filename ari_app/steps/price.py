"""Announces the price before anything is charged, then lets the client choose: per minute, or the package."""

from __future__ import annotations

from taxiphone.ari_app import menu
from taxiphone.ari_app.endings import NoTalkError, may_end_with
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.billing.announcement import AnnouncedQuote, quote_consultation
from taxiphone.billing.pricing.tariff_price import minor
from taxiphone.billing.tariffs_in_force import PACKAGE, PER_MINUTE
from taxiphone.speech.sentences import Sounds
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Client, Consultant

_MINUTE = 60

SKIP_SECONDS = 0.5
"""How long after the announcement a key still counts as skipping it."""


@may_end_with(Outcome.NO_CREDIT, Outcome.LIMIT_REACHED)
async def announce_price(
    call: LiveCall, client: Client, consultant: Consultant, known: AnnouncedQuote | None
) -> AnnouncedQuote:
    """Announce all prices including tax, the free minutes, and how long the credit lasts; `#` skips the rest.

    Args:
        call: the call.
        client: who calls.
        consultant: the consultant.
        known: the quote, if it was read when the call arrived.
    """
    quote = known or await _quote(call, client, consultant)
    check_affordable(quote, client)
    await call.record.write(Status.OFFERED, "price told", str(quote.price_per_minute))
    await call.restart_timeout()
    pressed = await call.prompter.ask(
        call.client_leg,
        _announcement(call, consultant, quote),
        seconds=SKIP_SECONDS,
        valid=menu.SKIP_PRICE.valid,
        must_be_heard=menu.SKIP_PRICE.must_be_heard,
    )
    call.record.note("price heard", "skipped" if pressed.keys else "to its end")
    return quote


async def _quote(call: LiveCall, client: Client, consultant: Consultant) -> AnnouncedQuote:
    arrived_at = call.record.arrived_at
    return await call.database.fetch(
        lambda connection: quote_consultation(connection, call.settings, client, consultant, arrived_at)
    )


def check_affordable(quote: AnnouncedQuote, client: Client) -> None:
    """Check that the client's credit and limit cover the first minute, or the package.

    Raises:
        NoTalkError: they don't.
    """
    if not quote.affordable:
        raise short_of(client, limit=quote.limited)


def short_of(client: Client, *, limit: bool) -> NoTalkError:
    """The error that ends a call for lack of money: the client's own limit is reached, or the credit is too low."""
    return NoTalkError(Outcome.LIMIT_REACHED if limit else Outcome.NO_CREDIT, client)


@may_end_with(Outcome.NO_CHOICE)
async def choose_mode(call: LiveCall, quote: AnnouncedQuote) -> str:
    """Ask for the mode, if the client can pay for the package: 1 per minute, 2 the package. Silence chooses neither."""
    if PACKAGE not in quote.affordable:
        return PER_MINUTE
    choices = {"1": PER_MINUTE, "2": PACKAGE}
    before: Sounds = ()
    for _ in range(call.tries(menu.MODE)):
        pressed = await call.ask(menu.MODE, *before)
        mode = choices.get(pressed.keys, "")
        if mode in quote.affordable:
            break
        before = call.sounds("no-credit") if pressed.keys else ()
    else:
        raise NoTalkError(Outcome.NO_CHOICE)
    call.record.note("mode", mode, mode=mode)
    await call.say("chosen-package" if mode == PACKAGE else "chosen-per-minute")
    return mode


def how_long_it_lasts(call: LiveCall, seconds: int | None) -> Sounds:
    """An announcement of how long the credit lasts, if it runs out before the longest talk allowed."""
    longest = call.settings.call.longest_minutes * _MINUTE
    if seconds is None or not _MINUTE <= seconds < longest:
        return ()
    return call.speech.credit_lasts(seconds // _MINUTE)


def _announcement(call: LiveCall, consultant: Consultant, quote: AnnouncedQuote) -> Sounds:
    speech, currency = call.speech, quote.currency
    sounds: Sounds = (
        *speech.consultant_is(call.name_of("consultant", consultant.code, speech)),
        *speech.prompt("press-hash-to-skip"),
        *speech.prompt("price-is"),
        *speech.price_per_minute(quote.price_per_minute, currency),
        *speech.prompt("tax-included"),
    )
    if quote.free_minutes:
        sounds += speech.free_minutes(quote.free_minutes)
    if quote.package_price is not None and quote.package_minutes is not None:
        price = minor(quote.package_price, call.settings.currency_digits)
        sounds += speech.package(price, quote.package_minutes, quote.price_per_minute, currency)
        if PACKAGE not in quote.affordable:
            sounds += speech.prompt("package-too-dear")
    if quote.limit_left is not None and quote.limited:
        sounds += speech.limit_left(quote.limit_left, currency)
    if quote.lasts_seconds is not None and quote.lasts_seconds <= quote.free_minutes * _MINUTE:
        # The number of free minutes has been announced above.
        return sounds + speech.prompt("no-credit-after-free")
    return sounds + how_long_it_lasts(call, quote.lasts_seconds)
