"""The price, told before anything costs, and then the choice: by the minute, or the package."""

from __future__ import annotations

from taxiphone.ari_app import menu
from taxiphone.ari_app.conversation import Conversation
from taxiphone.ari_app.verbs import Sounds
from taxiphone.billing.announcement import AnnouncedQuote, quote_consultation
from taxiphone.billing.pricing.tariff import minor
from taxiphone.billing.tariffs_in_force import PACKAGE, PER_MINUTE
from taxiphone.store.calls import Outcome, Status

_MINUTE = 60
SKIP_SECONDS = 0.5  # after the price has been told, a key may still skip the wait


async def tell_price(call: Conversation) -> Outcome | None:
    """Tell all prices, tax included, what is free, and how long the credit lasts; `#` skips."""
    quote = await call.database.query(
        lambda session: quote_consultation(session, call.settings, call.client, call.consultant)
    )
    if not quote.affordable:
        return Outcome.LIMIT_REACHED if quote.limited else Outcome.NO_CREDIT
    call.quote = quote
    await call.record.write(Status.OFFERED, "price told", str(quote.price_per_minute))
    await call.restart_timeout()
    pressed = await call.lines.ask(
        call.client_leg,
        _told(call, quote),
        seconds=SKIP_SECONDS,
        valid=menu.SKIP_PRICE.valid,
        must_be_heard=menu.SKIP_PRICE.must_be_heard,
    )
    await call.record.write(None, "price heard", "skipped" if pressed.keys else "to its end")
    return None


async def choose_mode(call: Conversation) -> Outcome | None:
    """1 is by the minute, 2 the package; asked where the client can pay for the package. Silence chooses nothing."""
    affordable = call.quote.affordable if call.quote else frozenset()
    if PACKAGE in affordable:
        choices = {"1": PER_MINUTE, "2": PACKAGE}
        before: Sounds = ()
        for _ in range(call.tries(menu.MODE)):
            pressed = await call.ask(menu.MODE, *before)
            if choices.get(pressed.keys) in affordable:
                call.mode = choices[pressed.keys]
                break
            before = call.sounds("no-credit") if pressed.keys else ()
        else:
            return Outcome.NO_CHOICE
        await call.record.write(None, "mode", call.mode, mode=call.mode)
        await call.say("chosen-package" if call.mode == PACKAGE else "chosen-per-minute")
    return None


def how_long_it_lasts(call: Conversation, seconds: int | None) -> Sounds:
    """How long the credit lasts, where it ends before the longest talk."""
    longest = call.settings.call.longest_minutes * _MINUTE
    if seconds is None or not _MINUTE <= seconds < longest:
        return ()
    return call.speech.credit_lasts(seconds // _MINUTE)


def _told(call: Conversation, quote: AnnouncedQuote) -> Sounds:
    speech, currency = call.speech, quote.currency
    told: Sounds = (
        *speech.consultant_is(call.name_of("consultant", call.consultant.code, speech)),
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
