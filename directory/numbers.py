"""Converts phone numbers as people write them and carriers send them to E.164 (ITU-T).

A region is an ISO 3166 country code ("FR"). Numbers without a country code belong to it.

Bare digits, without `+` or `00`, are often ambiguous: 687123456 is a French mobile number without its leading 0, and a
number in New Caledonia (+687) without its `+`. The number decides whose wallet is charged, so ambiguous digits are not
treated as anybody's number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import (
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    ValidationResult,
)

from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.settings_types import NumberFormat

# Characters that people put between digits. Letters are rejected, because phonenumbers would convert "0800-LAWYER".
_WRITTEN = re.compile(r"[+(]?[0-9][0-9 ()./\u00a0\u202f-]*", re.ASCII)
_SENT = re.compile(r"\+?[0-9]+", re.ASCII)
_SEPARATORS = re.compile(r"[\s()./-]+")

# phonenumbers takes 50 to 100 µs for a question, and each call asks several about the same few numbers.
_REMEMBERED = 1_000

# Gateways to older networks send the keypad digits of a word instead of a withheld or unknown number.
_KEYS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_WORDS = ("ANONYMOUS", "BLOCKED", "PRIVATE", "RESTRICTED", "UNAVAILABLE", "UNKNOWN")
# A common misspelling of UNKNOWN.
_MISTYPED = "8566696"
KEYPAD_WORDS = frozenset({*(word.translate(_KEYS) for word in _WORDS), _MISTYPED})

# Ranges reserved by regulators for fiction (ARCEP, Ofcom) that phonenumbers does not know. They are never assigned, so
# documentation, demo and tests can use them.
_FICTION = {
    "+3363998": ("FR", PhoneNumberType.MOBILE),
    "+447700900": ("GB", PhoneNumberType.MOBILE),
}


@dataclass(frozen=True)
class _Readings:
    """The possible readings of digits.

    Attributes:
        national: as a number of the region, in E.164; None if impossible.
        prefixed: whether the national number is written as usual in the region, with a leading 0 if there is one.
        plausible: whether the national number is in use according to phonenumbers.
        international: as a country code and a number, in E.164; None if impossible.
    """

    national: str | None = None
    prefixed: bool = False
    plausible: bool = False
    international: str | None = None

    def one(self) -> str | None:
        """Return the number if there is exactly one reading, otherwise None."""
        if self.national is None or self.national == self.international:
            return self.international
        if self.international is None:
            return self.national if self.prefixed else None
        # The digits form a foreign number, and a national one only without its leading 0.
        return None if self.prefixed or self.plausible else self.international

    def all(self) -> list[str]:
        """Return all readings, the national one first."""
        return list(dict.fromkeys(filter(None, (self.national, self.international))))


def e164(text: str, region: str | None = None) -> str:
    """Convert a number written by a person to E.164, such as `+33199001234`.

    Args:
        text: the number with a country code (`+33 1 99 00 12 34`, `0033 …`), or as dialled inside `region`.
        region: the region of numbers without a country code; None: a country code is required.

    Raises:
        UsageError: it is not a phone number, has too few or too many digits for its country, or is ambiguous.
    """
    trimmed = text.strip()
    plain = _SEPARATORS.sub("", trimmed)
    if _WRITTEN.fullmatch(trimmed) and (region is not None or _has_country_code(plain)):
        readings = _readings(plain, region)
        number = readings.one()
        if number is not None:
            return number
        if len(readings.all()) > 1:
            raise UsageError(
                f"{text!r} is ambiguous: it can be {' or '.join(readings.all())}. Write it with + and the country code."
            )
        if readings.national is not None:
            raise UsageError(
                f"{text!r} has neither a country code nor the leading digit of a national number. "
                f"If you mean {readings.national}, write it in this form."
            )
        if _parsed(_international(plain), region) is not None:
            raise UsageError(f"{text!r} has too few or too many digits for a number of its country.")
    raise UsageError(f"{text!r} is not a phone number. Write it with its country code, such as +33199001234.")


def caller(text: str, region: str | None = None, written: NumberFormat = "auto") -> str | None:
    """Convert a caller ID to E.164; None if it is withheld, not a number, or ambiguous.

    Args:
        text: `+33…`, `0033…`, `33…` or `06…`. Withheld: "anonymous", the keypad digits of a word, or empty.
        region: the region of national numbers.
        written: the format of bare digits (`[trunk] number_format`).
    """
    return None if withheld(text) else _readings(_SEPARATORS.sub("", text), region, written).one()


def dialled(text: str, region: str | None = None, written: NumberFormat = "auto") -> list[str]:
    """Return the numbers in E.164 that a dialled number can mean, in order of likelihood.

    If the digits are ambiguous, the one that belongs to the platform is meant, because only those reach it.
    """
    return _readings(_SEPARATORS.sub("", text), region, written).all()


def as_national(digits: str, region: str | None) -> str | None:
    """Convert digits to E.164 as a number of the region, with or without its leading 0; None if impossible."""
    return _readings(digits, region, "national").national


def withheld(text: str) -> bool:
    """Tell whether a caller ID means a withheld number: empty, not digits, or the keypad digits of a word."""
    return _SENT.fullmatch(_SEPARATORS.sub("", text)) is None or keypad_word(text)


def keypad_word(text: str) -> bool:
    """Tell whether a number is the keypad digits of a word sent for a withheld number, such as UNAVAILABLE.

    Only an exact match counts, optionally after a `+`, which some carriers add to everything. A national number with the
    same digits, such as +33 2 66 69 66 87, is a real number.
    """
    return _SEPARATORS.sub("", text).removeprefix("+") in KEYPAD_WORDS


def assigned(number: str) -> bool:
    """Tell whether an E.164 number is in a range that is in use according to phonenumbers, or reserved for fiction.

    Carriers' placeholders, such as +11111111111, have a valid length but belong to nobody.
    """
    return kind(number) != PhoneNumberType.UNKNOWN


@lru_cache(_REMEMBERED)
def is_e164(number: str) -> bool:
    """Tell whether a text is exactly an E.164 number of a length that its country has."""
    parsed = _parsed(number, None) if number.startswith("+") and _SENT.fullmatch(number) else None
    return parsed is not None and _format(parsed) == number


@lru_cache(_REMEMBERED)
def kind(number: str) -> int:
    """Return the type of an E.164 number (phonenumbers' `PhoneNumberType`), UNKNOWN if it is not in use."""
    parsed = _parsed(number, None)
    if parsed is None or not _possible(parsed):
        return PhoneNumberType.UNKNOWN
    fiction = _fiction(number)
    return int(phonenumbers.number_type(parsed)) if fiction is None else fiction[1]


@lru_cache(_REMEMBERED)
def region_of(number: str) -> str | None:
    """Return the region of an E.164 number; the main one of its country code if the number is in no region."""
    parsed = _parsed(number, None)
    if parsed is None:
        return None
    fiction = _fiction(number)
    if fiction is not None:
        return fiction[0]
    return phonenumbers.region_code_for_number(parsed) or phonenumbers.region_code_for_country_code(
        parsed.country_code or 0
    )


def home_region(settings: Settings) -> str | None:
    """Return the region of the platform's own number, to which numbers without a country code belong."""
    return region_of(settings.platform.cli)


def readable(number: str) -> str:
    """Format an E.164 number with spaces as usual in its country: `+33 1 99 00 12 34`."""
    parsed = _parsed(number, None)
    return number if parsed is None else phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL)


@lru_cache(_REMEMBERED)
def _readings(plain: str, region: str | None, written: NumberFormat = "auto") -> _Readings:
    if not _SENT.fullmatch(plain):
        return _Readings()
    if _has_country_code(plain):
        return _Readings(international=_e164_if_possible(_international(plain), None))
    international = None if written == "national" else _e164_if_possible("+" + plain, None)
    parsed = None if written == "e164" else _parsed(plain, region)
    if parsed is None or not _possible(parsed):
        return _Readings(international=international)
    bare = phonenumbers.national_significant_number(parsed) == plain
    return _Readings(
        national=_format(parsed),
        prefixed=written == "national" or not bare or not _needs_prefix(region),
        plausible=phonenumbers.is_valid_number(parsed) or _fiction(_format(parsed)) is not None,
        international=international,
    )


def _needs_prefix(region: str | None) -> bool:
    """Tell whether national numbers are written with a prefix, usually 0.

    North America's 1 is also its country code and often omitted, so it does not count.
    """
    prefix = phonenumbers.ndd_prefix_for_region(region or "", True)
    return bool(prefix) and prefix != str(phonenumbers.country_code_for_region(region or ""))


def _has_country_code(plain: str) -> bool:
    return plain.startswith(("+", "00"))


def _international(text: str) -> str:
    return "+" + text[2:] if text.startswith("00") else text


def _fiction(number: str) -> tuple[str, int] | None:
    return next((known for prefix, known in _FICTION.items() if number.startswith(prefix)), None)


def _parsed(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None


def _e164_if_possible(text: str, region: str | None) -> str | None:
    parsed = _parsed(text, region)
    return None if parsed is None or not _possible(parsed) else _format(parsed)


def _possible(number: PhoneNumber) -> bool:
    # A number without its area code (IS_POSSIBLE_LOCAL_ONLY) can't be dialled from outside the area.
    return phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE


def _format(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)
