"""Prices a talk. Every tariff has the same shape. Pure: no I/O, no clock, no imports from the project.

A tariff is a fee and ordered segments. Per minute at 1.55 with ten free minutes is

    fee 0,  segments (from 0 at 0.00) (from 600 at 1.55)

and a package of 60.00 for an hour is

    fee 60, segments (from 0 at 0.00) (from 3600 at 1.55).

The rules: the talk is rounded up once, to whole seconds. A segment applies if the talk is longer than the segment's
start. It bills at least its first block, then whole steps, but never past the start of the next segment. Each line is
rounded half up to the minor unit; the total is the sum of the lines. An empty talk, or one shorter than the short-call
threshold (a network fault; the exact duration counts, not the rounded one), costs nothing and bills no seconds. Amounts are
whole minor units, prices exact decimals. docs/pricing.md has the rules with worked examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

ZERO = Decimal(0)
_MINUTE = 60


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


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a price.

    Attributes:
        what: `fee`, `included` (seconds at no price), `talk` or `recording`; in a continued consultation
            also `earlier` (`billing.parts`).
        seconds: billed seconds; 0 for a fee.
        amount: in minor units; negative for `earlier`.
    """

    what: str
    seconds: int
    amount: int


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a talk and its shares, in minor units.

    Attributes:
        billed_seconds: billed seconds of all segments; 0 if nothing is charged because of a network fault.
        lines: the lines, whose amounts sum to `total`.
        total: what the client pays, tax included.
        commission: the platform's share of the total.
        consultant: the consultant's share: the total less the commission.
        net: the total without tax.
        vat: the tax; net + vat = total.
        network_fault: the talk was shorter than the short-call threshold.
    """

    billed_seconds: int
    lines: tuple[Line, ...]
    total: int
    commission: int
    consultant: int
    net: int
    vat: int
    network_fault: bool = False


# -- per minute and package ----------------------------------------------------------------------------------------


def per_minute(terms: Terms, price: Decimal, *, free_minutes: int = 0) -> Tariff:
    """Create a per-minute tariff (*consultation libre*), optionally with free minutes at the start."""
    paid = Segment(free_minutes * _MINUTE, price, terms.first, terms.step)
    return _tariff(terms, ZERO, (Segment(0, ZERO), paid) if free_minutes else (paid,))


def package(
    terms: Terms, price: Decimal, minutes: int, *, then_per_minute: Decimal, short_call_seconds: int
) -> Tariff:
    """Create a package tariff (*forfait*): a price for a duration, then per minute."""
    beyond = Segment(minutes * _MINUTE, then_per_minute, terms.first, terms.step)
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


# -- prices and limits --------------------------------------------------------------------------------------------


def price(tariff: Tariff, seconds: Decimal | int, *, recorded: bool = False) -> Price:
    """Return the price of a talk of `seconds`, in time independent of its length.

    Raises:
        ValueError: the seconds are negative or not a number.
        TypeError: the seconds are a float.
    """
    seconds = duration(seconds)
    if seconds == 0:
        return Price(0, (), 0, 0, 0, 0, 0)
    if seconds < tariff.short_call_seconds:
        return Price(0, (), 0, 0, 0, 0, 0, network_fault=True)
    lines = []
    if tariff.fee:
        lines.append(Line("fee", 0, minor(tariff.fee, tariff.digits)))
    for segment, billed in billed_segments(tariff, whole_seconds(seconds)):
        lines.append(Line(*_segment_line(tariff, segment, billed)))
    fee = minor(tariff.recording_fee, tariff.digits) if recorded else 0
    if fee:
        lines.append(Line("recording", 0, fee))
    total = sum(line.amount for line in lines)
    commission, consultant = shares(tariff, total, fee)
    net = tax_free(tariff, total)
    return Price(
        billed_seconds=sum(line.seconds for line in lines),
        lines=tuple(lines),
        total=total,
        commission=commission,
        consultant=consultant,
        net=net,
        vat=total - net,
    )


def longest_talk(tariff: Tariff, credit: int, *, recorded: bool = False) -> int | None:
    """Return the longest talk, in whole seconds, that a credit pays for.

    The short-call threshold is ignored: it only covers talks that fail.

    Returns:
        None if the credit never runs out; 0 if it does not pay for the fee or the first block.
    """
    left = credit - minor(tariff.fee, tariff.digits)
    if recorded:
        left -= minor(tariff.recording_fee, tariff.digits)
    if left < 0:
        return 0
    for segment, length in _lengths(tariff):
        if not segment.price_per_minute:
            continue
        if length is not None:
            whole = _segment_line(tariff, segment, length)[2]
            if whole <= left:
                left -= whole
                continue
        # half up of (price x seconds / 60) is at most `left` for every second below (left + 1/2) x 60 / price
        numerator, denominator = segment.price_per_minute.as_integer_ratio()
        below = _ceil_div((2 * left + 1) * _MINUTE * denominator, 2 * numerator * 10**tariff.digits) - 1
        first = segment.first if length is None else min(segment.first, length)
        if below < first:
            return segment.start
        return segment.start + segment.first + (below - segment.first) // segment.step * segment.step
    return None


def shares(tariff: Tariff, total: int, recording: int) -> tuple[int, int]:
    """Split a total, which includes the fee of a recording, into the platform's commission and the consultant's share."""
    base = total if tariff.commission_on_recording else total - recording
    numerator, denominator = tariff.commission.as_integer_ratio()
    commission = half_up(base * numerator, denominator)
    return commission, total - commission


def tax_free(tariff: Tariff, total: int) -> int:
    """Return the total without its tax, rounded half up."""
    numerator, denominator = (
        tariff.vat.as_integer_ratio()
    )  # exact; the Decimal 1 + vat would be rounded to 28 digits
    return half_up(total * denominator, numerator + denominator)


# -- the arithmetic -----------------------------------------------------------------------------------------------


def duration(seconds: Decimal | int) -> Decimal:
    """Validate seconds of talk.

    Raises:
        ValueError: they are negative or not a number.
        TypeError: they are a float.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, Decimal | int):
        raise TypeError("seconds are a whole number or a Decimal: a float has lost its microseconds already")
    seconds = Decimal(seconds)
    if not seconds.is_finite() or seconds < 0:
        raise ValueError("seconds: must be a number from 0 on")
    return seconds


def whole_seconds(seconds: Decimal) -> int:
    """Round up to the next whole second."""
    return int(seconds.to_integral_value(ROUND_CEILING))


def billed_segments(tariff: Tariff, seconds: int) -> list[tuple[Segment, int]]:
    """Return the segments that apply to a talk of `seconds`, each with its billed seconds."""
    entered = []
    for segment, length in _lengths(tariff):
        used = seconds - segment.start
        if used <= 0:
            break
        billed = segment.first + max(0, _ceil_div(used - segment.first, segment.step)) * segment.step
        entered.append((segment, billed if length is None else min(billed, length)))
    return entered


def minor(amount: Decimal, digits: int) -> int:
    """Convert an amount to minor units, rounded half up."""
    numerator, denominator = amount.as_integer_ratio()
    return half_up(numerator * 10**digits, denominator)


def amount_text(minor: int, digits: int) -> str:
    """Format minor units as an amount with all of the currency's decimals: 155 with 2 digits is "1.55"."""
    whole, rest = divmod(abs(minor), 10**digits)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"


def half_up(numerator: int, denominator: int) -> int:
    """Round a non-negative fraction to the nearest whole number; halves round up."""
    return (2 * numerator + denominator) // (2 * denominator)


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def _lengths(tariff: Tariff) -> list[tuple[Segment, int | None]]:
    """Return each segment with its length in seconds; the last has None."""
    ends = [segment.start for segment in tariff.segments[1:]]
    lengths = [end - segment.start for segment, end in zip(tariff.segments, ends, strict=False)]
    return list(zip(tariff.segments, [*lengths, None], strict=True))


def _segment_line(tariff: Tariff, segment: Segment, billed: int) -> tuple[str, int, int]:
    if not segment.price_per_minute:
        return "included", billed, 0
    numerator, denominator = segment.price_per_minute.as_integer_ratio()
    return "talk", billed, half_up(numerator * billed * 10**tariff.digits, denominator * _MINUTE)


def _whole(key: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{key}: must be a whole number from {least} on")


def _amount(key: str, value: Any, *, most: int | None = None) -> None:
    if not isinstance(value, Decimal):
        raise TypeError(f"{key}: must be a Decimal")
    if not value.is_finite() or value < 0 or (most is not None and value > most):
        raise ValueError(f"{key}: must be a number from 0 " + ("on" if most is None else f"to {most}"))
