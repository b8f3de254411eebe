"""Prices a later part of a consultation that continued after a dropped line. Pure functions of the tariff and subtotals.

The parts of a consultation are priced as one talk: their exact durations are added and rounded up once. A part costs the
price of the talk so far, less what the parts before it cost. Commission and tax are split in the same way, so the parts sum
to the whole to the cent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache

from taxiphone.billing.pricing.tariff import ZERO, Tariff
from taxiphone.billing.pricing.tariff_price import Line, Price, longest_talk, minor, price, shares, tax_free

EARLIER = "earlier"
_MINUTE = 60
UNBILLED = Price(0, (), 0, 0, 0, 0, 0, network_fault=True)
"""The price of a part without a talk, or of one that isn't billed because of a network fault."""


@dataclass(frozen=True, slots=True)
class Subtotal:
    """The sums of some parts of a consultation; amounts in minor units.

    Attributes:
        parts: number of parts.
        seconds: exact seconds of talk that are priced.
        billed_seconds: billed seconds on their receipts.
        talk: charged for the talk.
        recording: charged for recordings.
        commission: the commission on talk and recordings.
        vat: the tax included in both.
    """

    parts: int = 0
    seconds: Decimal = ZERO
    billed_seconds: int = 0
    talk: int = 0
    recording: int = 0
    commission: int = 0
    vat: int = 0

    def plus(self, other: Subtotal) -> Subtotal:
        """Return the sum of both."""
        return Subtotal(
            self.parts + other.parts,
            self.seconds + other.seconds,
            self.billed_seconds + other.billed_seconds,
            self.talk + other.talk,
            self.recording + other.recording,
            self.commission + other.commission,
            self.vat + other.vat,
        )


NOTHING = Subtotal()


def price_part(tariff: Tariff, before: Subtotal, seconds: Decimal | int) -> Price:
    """Price a part of `seconds`, given the parts before it. The price is never negative.

    Its lines are those of the whole talk so far, followed by the line `earlier`, which deducts the earlier parts.
    """
    seconds = Decimal(seconds)
    if not before.parts:
        return price(tariff, seconds)
    whole = price(tariff, before.seconds + seconds)
    if whole.network_fault or not seconds:
        return UNBILLED
    total = max(0, whole.total - before.talk)
    _, commission, vat = with_fee(tariff, before, total, 0)
    return Price(
        billed_seconds=max(0, whole.billed_seconds - before.billed_seconds),
        lines=(*whole.lines, Line(EARLIER, 0, total - whole.total)),
        total=total,
        commission=commission,
        consultant=total - commission,
        net=total - vat,
        vat=vat,
    )


def with_fee(tariff: Tariff, others: Subtotal, talk: int, fee: int) -> tuple[int, int, int]:
    """Return a part's total, commission and tax including a recording fee, given the other parts of the consultation."""
    recordings = others.recording + fee
    total = others.talk + talk + recordings
    commission, _ = shares(tariff, total, recordings)
    vat = total - tax_free(tariff, total)
    return talk + fee, commission - others.commission, vat - others.vat


def longest_part(tariff: Tariff, before: Subtotal, credit: int, *, recorded: bool = False) -> int | None:
    """Return the longest part, in whole seconds, that a credit pays for; None if the credit never runs out."""
    longest = longest_talk(tariff, before.talk + credit, recorded=recorded)
    if longest is None:
        return None
    return max(0, int((longest - before.seconds).to_integral_value(ROUND_FLOOR)))


@lru_cache(maxsize=4096)
def highest_cost(tariff: Tariff, seconds: int, *, recorded: bool, earlier: Subtotal = NOTHING) -> int:
    """Return the most that a part of up to `seconds` whole seconds can cost, in minor units.

    Results are cached: most calls share their tariff and their longest duration with many others.
    """
    # At least the short-call threshold, below which a talk costs nothing.
    cost = price_part(tariff, earlier, max(seconds, tariff.short_call_seconds))
    return cost.total + (fee_of(tariff) if recorded else 0)


def needed_to_begin(tariff: Tariff, *, recorded: bool = False, earlier: Subtotal = NOTHING) -> int:
    """Return the credit needed to begin a call, in minor units: the price of the first minute, or of the package."""
    return highest_cost(tariff, _MINUTE, recorded=recorded, earlier=earlier)


def price_within(
    tariff: Tariff, earlier: Subtotal, seconds: Decimal, *, max_seconds: int | None, held: int | None
) -> tuple[Decimal, Price]:
    """Return the seconds of a part that are priced, and their price.

    Asterisk ends a talk a moment after the credit does. The platform bears the difference: no second beyond `max_seconds`
    is priced, and no more than `held` is charged (None: no limit).
    """
    allowed = seconds if max_seconds is None else min(seconds, Decimal(max_seconds))
    cost = price_part(tariff, earlier, allowed)
    if held is None or cost.total <= held:
        return allowed, cost
    longest = Decimal(longest_talk(tariff, held + earlier.talk) or 0)
    allowed = min(allowed, max(ZERO, longest - earlier.seconds))
    return allowed, price_part(tariff, earlier, allowed)


def without_free(tariff: Tariff) -> Tariff:
    """Return the tariff without its free seconds."""
    if not tariff.free_seconds:
        return tariff
    paid = replace(tariff.segments[1], start=0)
    return replace(tariff, segments=(paid, *tariff.segments[2:]))


def fee_of(tariff: Tariff) -> int:
    """Return the recording fee in minor units."""
    return minor(tariff.recording_fee, tariff.digits)
