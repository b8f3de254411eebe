"""Converts a tariff to JSON and back, as it is stored in a call. Numbers are strings, so no digit is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from taxiphone.billing.pricing.tariff import Segment, Tariff
from taxiphone.exact import BELOW, exact, shown

_KEYS = {
    "currency",
    "digits",
    "fee",
    "segments",
    "short_call_seconds",
    "commission",
    "commission_on_recording",
    "recording_fee",
    "vat",
}
_SEGMENT_KEYS = {"from", "price_per_minute", "first", "step"}

_LONGEST_NAME = 40


def to_json(tariff: Tariff) -> dict[str, Any]:
    """Return the tariff as a JSON object of strings, integers and one boolean."""
    return {
        "currency": tariff.currency,
        "digits": tariff.digits,
        "fee": format(tariff.fee, "f"),
        "segments": [
            {
                "from": segment.start,
                "price_per_minute": format(segment.price_per_minute, "f"),
                "first": segment.first,
                "step": segment.step,
            }
            for segment in tariff.segments
        ],
        "short_call_seconds": tariff.short_call_seconds,
        "commission": format(tariff.commission, "f"),
        "commission_on_recording": tariff.commission_on_recording,
        "recording_fee": format(tariff.recording_fee, "f"),
        "vat": format(tariff.vat, "f"),
    }


def from_json(data: Mapping[str, Any]) -> Tariff:
    """Return the tariff described by an object; `currency`, `digits` and `segments` are required.

    Raises:
        ValueError: a key is missing, unknown or invalid; the message begins with the key.
    """
    _closed("", data, _KEYS, ("currency", "digits", "segments"))
    segments = data["segments"]
    if not isinstance(segments, list | tuple):
        raise ValueError("segments: must be a list")  # noqa: TRY004 - malformed input, not a bug of the caller's
    currency = data["currency"]
    if not isinstance(currency, str):
        raise ValueError("currency: must be a code of ISO 4217, such as EUR")  # noqa: TRY004 - as above
    on_recording = data.get("commission_on_recording", True)
    if not isinstance(on_recording, bool):
        raise ValueError("commission_on_recording: must be true or false")  # noqa: TRY004 - as above
    return Tariff(
        currency=currency,
        digits=_whole("digits", data["digits"]),
        fee=number("fee", data.get("fee", 0)),
        segments=tuple(_segment(f"segments[{index}]", part) for index, part in enumerate(segments)),
        short_call_seconds=_whole("short_call_seconds", data.get("short_call_seconds", 0)),
        commission=number("commission", data.get("commission", 0)),
        commission_on_recording=on_recording,
        recording_fee=number("recording_fee", data.get("recording_fee", 0)),
        vat=number("vat", data.get("vat", 0)),
    )


def from_stored(data: Mapping[str, Any]) -> Tariff:
    """Return the tariff that is stored in a call (`from_json`). Most calls share theirs with many others.

    Raises:
        ValueError: as `from_json`.
    """
    return _parsed(json.dumps(data))


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Tariff:
    return from_json(json.loads(text))


def number(key: str, value: Any) -> Decimal:
    """Read an exact, non-negative number from a string of digits or an integer.

    Raises:
        ValueError: it is anything else, or too large; the message begins with the key.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f'{key}: must be a number in quotes, such as "1.55"')  # noqa: TRY004 - malformed input
    try:
        number = exact(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    if number < 0:
        written = shown(value) if isinstance(value, str) else value
        raise ValueError(f"{key}: {written} is not a number from 0 on, such as 1.55")
    return number


def _segment(key: str, data: Any) -> Segment:
    if not isinstance(data, Mapping):
        raise ValueError(f"{key}: must be an object")  # noqa: TRY004 - as above
    _closed(f"{key}.", data, _SEGMENT_KEYS, ("from", "price_per_minute"))
    return Segment(
        start=_whole(f"{key}.from", data["from"]),
        price_per_minute=number(f"{key}.price_per_minute", data["price_per_minute"]),
        first=_whole(f"{key}.first", data.get("first", 1)),
        step=_whole(f"{key}.step", data.get("step", 1)),
    )


def _closed(prefix: str, data: Mapping[str, Any], known: set[str], needed: tuple[str, ...]) -> None:
    for key in data:
        if key not in known:
            named = key if key.isascii() and key.isidentifier() and len(key) <= _LONGEST_NAME else shown(key)
            raise ValueError(f"{prefix}{named}: unknown key")
    for key in needed:
        if key not in data:
            raise ValueError(f"{prefix}{key}: is missing")


def _whole(key: str, value: Any) -> int:
    """Read a whole number; its minimum is checked with the tariff."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key}: must be a whole number, without quotes")  # noqa: TRY004 - malformed input
    if value >= BELOW:
        raise ValueError(f"{key}: is too large; it must be below {BELOW}")
    return value
