"""Explains a price: every step of the calculation, as text and amounts. The amounts are those of `tariff_price.price`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from taxiphone.billing.pricing.tariff import Segment, Tariff
from taxiphone.billing.pricing.tariff_price import (
    Line,
    Price,
    amount_text,
    billed_segments,
    duration,
    whole_seconds,
)

_SHOWN_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the calculation.

    Attributes:
        what: `length`, `segment`, `line`, `total`, `commission`, `consultant`, `tax` or `nothing`.
        text: one sentence.
        amount: in minor units; None for a step without an amount.
    """

    what: str
    text: str
    amount: int | None = None


def explain(tariff: Tariff, seconds: Decimal | int, cost: Price) -> tuple[Step, ...]:
    """List the steps from the talk time to the shares of its price.

    Args:
        tariff: the tariff.
        seconds: the duration of the talk.
        cost: `price(tariff, seconds)`, with or without a recording fee.

    Raises:
        ValueError: the seconds are negative or not a number.
        TypeError: the seconds are a float.
    """
    seconds = duration(seconds)
    steps = talk_steps(tariff, seconds, cost.lines, network_fault=cost.network_fault)
    if not seconds or cost.network_fault:
        return tuple(steps)
    total = _money(tariff, cost.total)
    if tariff.vat:
        tax = f"{total} / (1 + {tariff.vat:f}) = {_money(tariff, cost.net)} net and {_money(tariff, cost.vat)} tax"
        steps.append(Step("tax", f"Tax of {_percent(tariff.vat)} included: {tax}."))
    fee = sum(line.amount for line in cost.lines if line.what == "recording")
    base = cost.total if tariff.commission_on_recording else cost.total - fee
    exact = _exact(tariff.commission, base, 10**tariff.digits)
    steps.append(
        Step(
            "commission",
            f"Commission: {_percent(tariff.commission)} of {_money(tariff, base)} = {exact}, "
            f"rounded half up to {_money(tariff, cost.commission)}.",
            cost.commission,
        )
    )
    rest = f"{total} - {_money(tariff, cost.commission)} = {_money(tariff, cost.consultant)}"
    steps.append(Step("consultant", f"Consultant's share: {rest}.", cost.consultant))
    return tuple(steps)


def talk_steps(tariff: Tariff, seconds: Decimal, lines: Sequence[Line], *, network_fault: bool) -> list[Step]:
    """List the steps from the duration of the talk to the total of its lines."""
    if not seconds:
        return [Step("nothing", "There was no talk, so nothing is charged.", 0)]
    talked = f"Talk time {_plain(seconds)} s"
    if network_fault:
        reason = (
            f"shorter than {tariff.short_call_seconds} s: treated as a network fault, nothing is charged."
        )
        return [Step("nothing", f"{talked}, {reason}", 0)]
    whole = whole_seconds(seconds)
    rounded = "a whole number of seconds." if seconds == whole else f"rounded up once to {whole} s."
    steps = [Step("length", f"{talked}, {rounded}")]
    segments = iter(billed_segments(tariff, whole))
    for line in lines:
        if line.what == "fee":
            steps.append(_fixed(tariff, line, "Fee", tariff.fee))
        elif line.what == "recording":
            steps.append(_fixed(tariff, line, "Recording", tariff.recording_fee))
        else:
            segment, billed = next(segments)
            steps.append(_counted(segment, whole, billed))
            steps.append(_priced(tariff, line, segment))
    amounts = " + ".join(_money(tariff, line.amount) for line in lines) or _money(tariff, 0)
    total = sum(line.amount for line in lines)
    text = f"Total: {amounts} = {_money(tariff, total)} {tariff.currency}, tax included."
    return [*steps, Step("total", text, total)]


def _fixed(tariff: Tariff, line: Line, name: str, amount: Decimal) -> Step:
    return Step(
        "line",
        f"{name}: {amount:f}, charged once, rounded half up to {_money(tariff, line.amount)}.",
        line.amount,
    )


def _counted(segment: Segment, whole: int, billed: int) -> Step:
    used = whole - segment.start
    how = f"minimum {segment.first} s, then increments of {segment.step} s"
    return Step(
        "segment",
        f"From second {segment.start} at {segment.price_per_minute:f} per minute ({how}): "
        f"{used} s of talk from there, {billed} s billed in this segment.",
    )


def _priced(tariff: Tariff, line: Line, segment: Segment) -> Step:
    if line.what == "included":
        return Step("line", f"{line.seconds} s free of charge: {_money(tariff, 0)}.", 0)
    exact = _exact(segment.price_per_minute, line.seconds, 60)
    return Step(
        "line",
        f"{line.seconds} s x {segment.price_per_minute:f} / 60 = {exact}, rounded half up to {_money(tariff, line.amount)}.",
        line.amount,
    )


def _exact(number: Decimal, times: int, divisor: int) -> str:
    """Format (number x times) / divisor, truncated to six decimals; `...` marks a truncated value."""
    top, bottom = number.as_integer_ratio()
    scaled, rest = divmod(top * times * 10**_SHOWN_DECIMALS, bottom * divisor)
    digits = amount_text(scaled, _SHOWN_DECIMALS)
    return f"{digits}..." if rest else _trimmed(digits)


def _plain(number: Decimal) -> str:
    """Format a number without trailing zeros."""
    return _trimmed(f"{number:f}")


def _trimmed(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _percent(share: Decimal) -> str:
    sign, digits, exponent = share.as_tuple()
    return f"{_plain(Decimal((sign, digits, int(exponent) + 2)))}%"


def _money(tariff: Tariff, minor: int) -> str:
    return amount_text(minor, tariff.digits)
