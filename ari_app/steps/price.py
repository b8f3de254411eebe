"""The price, told before anything costs, and then the choice: by the minute, or the package."""

from __future__ import annotations

from taxiphone.ari_app import menu
from taxiphone.ari_app.endings import NoTalkError, may_end_with
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.billing.announcement import AnnouncedQuote, quote_consultation
from taxiphone.billing.pricing.tariff import minor
from taxiphone.billing.tariffs_in_force import PACKAGE, PER_MINUTE
from taxiphone.speech.sentences import Sounds
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Client, Consultant

_MINUTE = 60

SKIP_SECONDS = 0.5
"""How long after the price a key may still skip the wait."""


@may_end_with(Outcome.NO_CREDIT, Outcome.LIMIT_REACHED)
async def announce_price(call: LiveCall, client: Client, consultant: Consultant) -> AnnouncedQuote:
    """Tell all prices, tax included, what is free, and how long the credit lasts; `#` skips."""
    quote = await call.database.query(
        lambda session: quote_consultation(session, call.settings, client, consultant)
    )
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
    await call.record.write(None, "price heard", "skipped" if pressed.keys else "to its end")
    return quote


def check_affordable(quote: AnnouncedQuote, client: Client) -> None:
    """Check that credit and limit pay for the first minute, or the package.

    Raises:
        NoTalkError: they do not.
    """
    if not quote.affordable:
        raise short_of(client, limit=quote.limited)


def short_of(client: Client, *, limit: bool) -> NoTalkError:
    """The end of a call that the client can't pay for: by the client's own limit, or by the credit."""
    return NoTalkError(Outcome.LIMIT_REACHED if limit else Outcome.NO_CREDIT, client)


@may_end_with(Outcome.NO_CHOICE)
async def choose_mode(call: LiveCall, quote: AnnouncedQuote) -> str:
    """1 is by the minute, 2 the package; asked if the client can pay for the package. Silence chooses nothing."""
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
    await call.record.write(None, "mode", mode, mode=mode)
    await call.say("chosen-package" if mode == PACKAGE else "chosen-per-minute")
    return mode


def how_long_it_lasts(call: LiveCall, seconds: int | None) -> Sounds:
    """How long the credit lasts, if it ends before the longest talk."""
    longest = call.settings.call.longest_minutes * _MINUTE
    if seconds is None or not _MINUTE <= seconds < longest:
        return ()
    return call.speech.credit_lasts(seconds // _MINUTE)


def _announcement(call: LiveCall, consultant: Consultant, quote: AnnouncedQuote) -> Sounds:
    speech, currency = call.speech, quote.currency
    told: Sounds = (
        *speech.consultant_is(call.name_of("consultant", consultant.code, speech)),
        *speech.prompt("press-hash-to-skip"),
        *speech.prompt("price-is"),
        *speech.price_per_minute(quote.price_per_minute, currency),
        *speech.prompt("tax-included"),
    )
    if quote.free_minutes:
        told += speech.free_minutes(quote.free_minutes)
    if quote.package_price is not None and quote.package_minutes is not None:
        price = minor(quote.package_price, call.settings.currency_digits)
        told += speech.package(price, quote.package_minutes, quote.price_per_minute, currency)
        if PACKAGE not in quote.affordable:
            told += speech.prompt("package-too-dear")
    if quote.limit_left is not None and quote.limited:
        told += speech.limit_left(quote.limit_left, currency)
    if quote.lasts_seconds is not None and quote.lasts_seconds <= quote.free_minutes * _MINUTE:
        return told + speech.prompt("no-credit-after-free")  # how long they last was told already
    return told + how_long_it_lasts(call, quote.lasts_seconds)
