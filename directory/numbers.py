"""Phone numbers: what people write and trunks send, in E.164 (ITU-T), and which of them may be rung.

A region is a country as ISO 3166 names it ("FR"): where a number without a country code belongs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import phonenumbers
from phonenumbers import (
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    ValidationResult,
)

from taxiphone.errors import UsageError

# What people put between digits. Letters are refused: phonenumbers would read "0800-LAWYER" as keys.
_WRITTEN = re.compile(r"[+(]?[0-9][0-9 ()./\u00a0\u202f-]*", re.ASCII)
_SENT = re.compile(r"\+?[0-9]+", re.ASCII)
_SEPARATORS = re.compile(r"[\s()./-]+")

_ANONYMOUS_KEYS = "266696687"  # "ANONYMOUS" on a telephone's keys; some gateways send it for a hidden number


def e164(text: str, region: str | None = None) -> str:
    """A number that a person wrote, in E.164, such as `+33199001234`.

    Args:
        text: with a country code (`+33 1 99 00 12 34`, `0033 …`), or as it is dialled inside `region`.
        region: where a number without a country code belongs; None: it must have one.

    Raises:
        UsageError: it is not a telephone number, or has too few or too many digits for its country.
    """
    trimmed = text.strip()
    if _WRITTEN.fullmatch(trimmed):
        number = _parsed(_international(trimmed), region)
        if number is not None and _possible(number):
            return _format(number)
        if number is not None:
            raise UsageError(f"{text!r} has too few or too many digits for a number of its country.")
    raise UsageError(
        f"{text!r} is not a telephone number. Write it with its country code, such as +33199001234."
    )


def caller(text: str | None, region: str | None = None) -> str | None:
    """Who calls, in E.164, from what the trunk sent as caller ID; None where it is hidden or no number.

    Carriers send `+33…`, `0033…`, `33…` or the national `06…`, and "anonymous" or nothing for a hidden number.
    """
    if text is None:
        return None
    plain = _SEPARATORS.sub("", text)
    if not _SENT.fullmatch(plain) or plain == _ANONYMOUS_KEYS:
        return None
    if plain.startswith(("+", "00")):
        readings = [_parsed(_international(plain), None)]
    else:
        readings = [_parsed(plain, region), _parsed("+" + plain, None)]
    numbers = [number for number in readings if number is not None]
    for fits in (phonenumbers.is_valid_number, _possible):
        for number in numbers:
            if fits(number):
                return _format(number)
    return None


def dialled(text: str, region: str | None = None) -> str | None:
    """The number that a client dialled, in E.164, from what the trunk sent; None where it is no number."""
    return caller(text, region)


def region_of(number: str) -> str | None:
    """The region of a number in E.164: that of the platform's CLI is the one numbers belong to by default."""
    parsed = _parsed(number, None)
    if parsed is None:
        return None
    return phonenumbers.region_code_for_number(parsed) or phonenumbers.region_code_for_country_code(
        parsed.country_code or 0
    )


def may_dial(number: str, prefixes: Iterable[str]) -> bool:
    """Whether a number in E.164 may be rung: it begins with an allowed prefix and is no premium-rate number.

    Premium-rate numbers lie inside a country's prefix (+33 89 in +33) and pay whoever got us to ring them.
    """
    parsed = _parsed(number, None) if _SENT.fullmatch(number) and number.startswith("+") else None
    return (
        parsed is not None
        and _format(parsed) == number
        and any(number.startswith(prefix) for prefix in prefixes)
        and phonenumbers.number_type(parsed) != PhoneNumberType.PREMIUM_RATE
    )


def readable(number: str) -> str:
    """A number in E.164 with the spaces of its country: `+33 1 99 00 12 34`."""
    parsed = _parsed(number, None)
    return number if parsed is None else phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL)


def _international(text: str) -> str:
    return "+" + text[2:] if text.startswith("00") else text


def _parsed(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None


def _possible(number: PhoneNumber) -> bool:
    # IS_POSSIBLE_LOCAL_ONLY (a number without its area code) can't be dialled from anywhere else.
    return phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE


def _format(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)
