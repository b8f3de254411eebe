"""The shape that every tariff has. Pure: no I/O, no clock, no imports from the project.

A tariff is a fee and ordered segments. Per minute at 1.55 with ten free minutes is

    fee 0,  segments (from 0 at 0.00) (from 600 at 1.55)

and a package of 60.00 for an hour is

    fee 60, segments (from 0 at 0.00) (from 3600 at 1.55).

`tariff_price` computes what a talk costs by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)
MINUTE = 60


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the talk with one price.

    Attributes:
        start: seconds of talk after which it begins.
        price_per_minute: in whole currency units, with any number of decimals.
        first: the minimum billed once the segment applies, in seconds.
        step: seconds of every block after the first.
    """

    start: int
    price_per_minute: Decimal
    first: int = 1
    step: int = 1


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms shared by all tariffs of a platform: currency, shares and recording fee."""

    currency: str
    digits: int
    commission: Decimal = ZERO
    commission_on_recording: bool = True
    recording_fee: Decimal = ZERO
    vat: Decimal = ZERO
    first: int = 1
    step: int = 1


@dataclass(frozen=True, slots=True)
class Tariff:
    """A tariff, validated when it is created.

    Attributes:
        currency: ISO 4217.
        digits: decimals of the currency.
        fee: charged once, as soon as there is a talk.
        segments: ordered by start, the first at 0.
        short_call_seconds: a talk shorter than this costs nothing.
        commission: the platform's share of the total, 0 to 1.
        commission_on_recording: whether the commission also applies to the recording fee.
        recording_fee: charged once if the talk was recorded.
        vat: the rate of the tax included in every price, 0 to 1.

    Raises:
        ValueError: a value is invalid; the message begins with its key.
        TypeError: a value is a float.
    """

    currency: str
    digits: int
    fee: Decimal
    segments: tuple[Segment, ...]
    short_call_seconds: int = 0
    commission: Decimal = ZERO
    commission_on_recording: bool = True
    recording_fee: Decimal = ZERO
    vat: Decimal = ZERO

    def __post_init__(self) -> None:
        _whole("digits", self.digits, 0)
        _whole("short_call_seconds", self.short_call_seconds, 0)
        _amount("fee", self.fee)
        _amount("recording_fee", self.recording_fee)
        _amount("commission", self.commission, most=1)
        _amount("vat", self.vat, most=1)
        if not self.segments:
            raise ValueError("segments: there must be at least one")
        if self.segments[0].start != 0:
            raise ValueError("segments[0].from: the first segment begins at 0 seconds")
        before = -1
        for index, segment in enumerate(self.segments):
            key = f"segments[{index}]"
            _whole(f"{key}.from", segment.start, 0)
            if segment.start <= before:
                raise ValueError(f"{key}.from: must be above the one before it, {before}")
            _amount(f"{key}.price_per_minute", segment.price_per_minute)
            _whole(f"{key}.first", segment.first, 1)
            _whole(f"{key}.step", segment.step, 1)
            before = segment.start

    @property
    def free_seconds(self) -> int:
        """Return the free seconds at the start; those paid by a fee are not free."""
        if self.fee or self.segments[0].price_per_minute or len(self.segments) == 1:
            return 0
        return self.segments[1].start


# -- per minute and package ----------------------------------------------------------------------------------------


def per_minute(terms: Terms, price: Decimal, *, free_minutes: int = 0) -> Tariff:
    """Create a per-minute tariff (*consultation libre*), optionally with free minutes at the start."""
    paid = Segment(free_minutes * MINUTE, price, terms.first, terms.step)
    return _tariff(terms, ZERO, (Segment(0, ZERO), paid) if free_minutes else (paid,))


def package(
    terms: Terms, price: Decimal, minutes: int, *, then_per_minute: Decimal, short_call_seconds: int
) -> Tariff:
    """Create a package tariff (*forfait*): a price for a duration, then per minute."""
    beyond = Segment(minutes * MINUTE, then_per_minute, terms.first, terms.step)
    return _tariff(terms, price, (Segment(0, ZERO), beyond), short_call_seconds)


def _tariff(terms: Terms, fee: Decimal, segments: tuple[Segment, ...], short_call_seconds: int = 0) -> Tariff:
    return Tariff(
        currency=terms.currency,
        digits=terms.digits,
        fee=fee,
        segments=segments,
        short_call_seconds=short_call_seconds,
        commission=terms.commission,
        commission_on_recording=terms.commission_on_recording,
        recording_fee=terms.recording_fee,
        vat=terms.vat,
    )


def _whole(key: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{key}: must be a whole number from {least} on")


def _amount(key: str, value: Any, *, most: int | None = None) -> None:
    if not isinstance(value, Decimal):
        raise TypeError(f"{key}: must be a Decimal")
    if not value.is_finite() or value < 0 or (most is not None and value > most):
        raise ValueError(f"{key}: must be a number from 0 " + ("on" if most is None else f"to {most}"))
