"""What a talk costs by a tariff, and how long a talk a credit pays for. Pure: no I/O, no clock.

The rules: the talk is rounded up once, to whole seconds. A segment applies if the talk is longer than the segment's
start. It bills at least its first block, then whole steps, but never past the start of the next segment. Each line is
rounded half up to the minor unit; the total is the sum of the lines. An empty talk, or one shorter than the short-call
threshold (a network fault; the exact duration counts, not the rounded one), costs nothing and bills no seconds. Amounts are
whole minor units, prices exact decimals. docs/pricing.md has the rules with worked examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from taxiphone.billing.pricing.tariff import MINUTE, Segment, Tariff


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
        below = _ceil_div((2 * left + 1) * MINUTE * denominator, 2 * numerator * 10**tariff.digits) - 1
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
    if not isinstance(seconds, Decimal):
        if isinstance(seconds, bool) or not isinstance(seconds, int):
            raise TypeError(
                "seconds are a whole number or a Decimal: a float has lost its microseconds already"
            )
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


@lru_cache(maxsize=1024)
def _lengths(tariff: Tariff) -> tuple[tuple[Segment, int | None], ...]:
    """Return each segment with its length in seconds; the last has None."""
    ends = [segment.start for segment in tariff.segments[1:]]
    lengths = [end - segment.start for segment, end in zip(tariff.segments, ends, strict=False)]
    return tuple(zip(tariff.segments, [*lengths, None], strict=True))


def _segment_line(tariff: Tariff, segment: Segment, billed: int) -> tuple[str, int, int]:
    if not segment.price_per_minute:
        return "included", billed, 0
    numerator, denominator = segment.price_per_minute.as_integer_ratio()
    return "talk", billed, half_up(numerator * billed * 10**tariff.digits, denominator * MINUTE)
