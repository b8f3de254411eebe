"""The price of a later part of a consultation that continued after a dropped line. Pure: tariff and subtotals in, a price out.

The parts of a consultation are one talk: their exact lengths add up and are rounded up once, and the talk as a whole is
priced. A part costs what the whole costs by then, less what the parts before it cost. Commission and tax go the same way,
so that the parts sum to the whole to the cent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal

from taxiphone.billing.pricing.tariff import (
    ZERO,
    Line,
    Price,
    Tariff,
    longest_talk,
    minor,
    price,
    shares,
    tax_free,
)

EARLIER = "earlier"
_MINUTE = 60
UNBILLED = Price(0, (), 0, 0, 0, 0, 0, network_fault=True)
"""The price of a part in which nothing was talked, or nothing is billed for a fault of the network."""


@dataclass(frozen=True, slots=True)
class Subtotal:
    """What some parts of a consultation come to; amounts in minor units.

    Attributes:
        parts: how many.
        seconds: of talk that is priced, exact.
        billed_seconds: as their receipts have it.
        talk: charged for the talk.
        recording: charged for recordings.
        commission: of talk and recordings.
        vat: the tax inside both.
    """

    parts: int = 0
    seconds: Decimal = ZERO
    billed_seconds: int = 0
    talk: int = 0
    recording: int = 0
    commission: int = 0
    vat: int = 0

    def plus(self, other: Subtotal) -> Subtotal:
        """Both together."""
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
    """What a part of so many seconds costs after those before it; never less than nothing.

    Its lines are those of the whole talk by then and, below them, `earlier`: what the parts before it cost, taken off.
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
    """A part's total, commission and tax with the fee of a recording, beside the other parts of its consultation."""
    recordings = others.recording + fee
    total = others.talk + talk + recordings
    commission, _ = shares(tariff, total, recordings)
    vat = total - tax_free(tariff, total)
    return talk + fee, commission - others.commission, vat - others.vat


def longest_part(tariff: Tariff, before: Subtotal, credit: int, *, recorded: bool = False) -> int | None:
    """The longest part in whole seconds that a credit pays for; None: without end, 0: not even its beginning."""
    longest = longest_talk(tariff, before.talk + credit, recorded=recorded)
    if longest is None:
        return None
    return max(0, int((longest - before.seconds).to_integral_value(ROUND_FLOOR)))


def highest_cost(tariff: Tariff, seconds: int, *, recorded: bool, earlier: Subtotal = NOTHING) -> int:
    """The most that a part of up to so many whole seconds can cost, in minor units."""
    # Never below the short-call threshold: a talk is not begun in the hope that it fails.
    cost = price_part(tariff, earlier, max(seconds, tariff.short_call_seconds))
    return cost.total + (fee_of(tariff) if recorded else 0)


def needed_to_begin(tariff: Tariff, *, recorded: bool = False, earlier: Subtotal = NOTHING) -> int:
    """The credit that a call needs to begin, in minor units: its first minute, or the package."""
    return highest_cost(tariff, _MINUTE, recorded=recorded, earlier=earlier)


def price_within(
    tariff: Tariff, earlier: Subtotal, seconds: Decimal, *, max_seconds: int | None, held: int | None
) -> tuple[Decimal, Price]:
    """The seconds of a part that are priced, and their price.

    Asterisk cuts a talk where the credit ends, and needs a moment to. The platform bears that moment: no second beyond
    `max_seconds` is priced, and no more than `held` is charged (None: without limit).
    """
    allowed = seconds if max_seconds is None else min(seconds, Decimal(max_seconds))
    cost = price_part(tariff, earlier, allowed)
    if held is None or cost.total <= held:
        return allowed, cost
    longest = Decimal(longest_talk(tariff, held + earlier.talk) or 0)
    allowed = min(allowed, max(ZERO, longest - earlier.seconds))
    return allowed, price_part(tariff, earlier, allowed)


def without_free(tariff: Tariff) -> Tariff:
    """The same tariff, its price from the first second on."""
    if not tariff.free_seconds:
        return tariff
    paid = replace(tariff.segments[1], start=0)
    return replace(tariff, segments=(paid, *tariff.segments[2:]))


def fee_of(tariff: Tariff) -> int:
    """The fee of a recording in minor units."""
    return minor(tariff.recording_fee, tariff.digits)
