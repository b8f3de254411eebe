"""Phone numbers: what people write and carriers send, in E.164 (ITU-T).

A region is a country by its ISO 3166 code ("FR"): where a number without a country code belongs.

Bare digits (neither `+` nor `00` before them) can often be read in two ways: 687123456 is a mobile number in France
without its leading 0, and a number in New Caledonia (+687) without its `+`. A reading decides whose wallet pays, so
digits that can be read in two ways are nobody's number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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

# What people put between digits. Letters are refused: phonenumbers would read "0800-LAWYER" as keys.
_WRITTEN = re.compile(r"[+(]?[0-9][0-9 ()./\u00a0\u202f-]*", re.ASCII)
_SENT = re.compile(r"\+?[0-9]+", re.ASCII)
_SEPARATORS = re.compile(r"[\s()./-]+")

# Gateways to older networks put a word's keys in the place of a number that is withheld or was never known.
_KEYS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
_WORDS = ("ANONYMOUS", "BLOCKED", "PRIVATE", "RESTRICTED", "UNAVAILABLE", "UNKNOWN")
_MISTYPED = "8566696"  # UNKNOWN
KEYPAD_WORDS = frozenset({*(word.translate(_KEYS) for word in _WORDS), _MISTYPED})

# Ranges that regulators keep free for fiction (ARCEP, Ofcom) and that phonenumbers does not know. Nobody is ever
# assigned one, so documentation, demo and tests can use them like any other number.
_FICTION = {
    "+3363998": ("FR", PhoneNumberType.MOBILE),
    "+447700900": ("GB", PhoneNumberType.MOBILE),
}


@dataclass(frozen=True)
class _Readings:
    """How digits can be read.

    Attributes:
        national: as a number of the region, in E.164; None: they can't be.
        prefixed: the national number is written as that region writes it, a leading 0 where there is one.
        plausible: phonenumbers knows the national number to be in use.
        international: as a country code and a number, in E.164; None: they can't be.
    """

    national: str | None = None
    prefixed: bool = False
    plausible: bool = False
    international: str | None = None

    def one(self) -> str | None:
        """The only number that the digits can be; None where there is none, or a doubt."""
        if self.national is None or self.national == self.international:
            return self.international
        if self.international is None:
            return self.national if self.prefixed else None
        # Written like a foreign number, and a national one only without its leading 0.
        return None if self.prefixed or self.plausible else self.international

    def all(self) -> list[str]:
        """Every number that the digits can be, the national one first."""
        return list(dict.fromkeys(each for each in (self.national, self.international) if each is not None))


def e164(text: str, region: str | None = None) -> str:
    """A number that a person wrote, in E.164, such as `+33199001234`.

    Args:
        text: with a country code (`+33 1 99 00 12 34`, `0033 …`), or as it is dialled inside `region`.
        region: where a number without a country code belongs; None: it must have one.

    Raises:
        UsageError: it is not a telephone number, has too few or too many digits for its country, or can be read as
            two different numbers.
    """
    trimmed = text.strip()
    plain = _SEPARATORS.sub("", trimmed)
    if _WRITTEN.fullmatch(trimmed) and (region is not None or _has_country_code(plain)):
        found = _readings(plain, region)
        number = found.one()
        if number is not None:
            return number
        if len(found.all()) > 1:
            raise UsageError(
                f"{text!r} can be {' or '.join(found.all())}. Write the number with + and its country code."
            )
        if found.national is not None:
            raise UsageError(
                f"{text!r} has neither a country code nor the leading digit of a national number. "
                f"If you mean {found.national}, write it like that."
            )
        if _parsed(_international(plain), region) is not None:
            raise UsageError(f"{text!r} has too few or too many digits for a number of its country.")
    raise UsageError(
        f"{text!r} is not a telephone number. Write it with its country code, such as +33199001234."
    )


def caller(text: str, region: str | None = None, written: NumberFormat = "auto") -> str | None:
    """Who calls, in E.164, from what the carrier sent as caller ID; None where it is withheld, no number or ambiguous.

    Args:
        text: `+33…`, `0033…`, `33…` or `06…`; "anonymous", the keys of a word, or nothing for a withheld number.
        region: where a national number belongs.
        written: what bare digits are (`[trunk] number_format`).
    """
    return None if withheld(text) else _readings(_SEPARATORS.sub("", text), region, written).one()


def dialled(text: str, region: str | None = None, written: NumberFormat = "auto") -> list[str]:
    """The numbers in E.164 that a client may have dialled, from what the carrier sent; the likeliest first.

    Several, where the digits are ambiguous: the one that is the platform's is meant, since no other comes here.
    """
    return _readings(_SEPARATORS.sub("", text), region, written).all()


def as_national(digits: str, region: str | None) -> str | None:
    """Digits read as a number of the region, with its leading 0 or without, in E.164; None where they can't be one."""
    return _readings(digits, region, "national").national


def withheld(text: str) -> bool:
    """Whether a caller ID stands for a withheld number: nothing, no digits, or the keys of a word."""
    return _SENT.fullmatch(_SEPARATORS.sub("", text)) is None or keypad_word(text)


def keypad_word(text: str) -> bool:
    """Whether a number is the keys of a word that carriers send for a withheld number, such as UNAVAILABLE.

    They count exactly as they are, or after a `+`, which some carriers put before everything. A national number that
    happens to have the same digits, such as +33 2 66 69 66 87, is somebody's.
    """
    return _SEPARATORS.sub("", text).removeprefix("+") in KEYPAD_WORDS


def assigned(number: str) -> bool:
    """Whether a number in E.164 lies in a range that is in use, as far as phonenumbers knows, or kept for fiction.

    Carriers' placeholders, such as +11111111111, have the right length and are nobody's.
    """
    return kind(number) != PhoneNumberType.UNKNOWN


def is_e164(number: str) -> bool:
    """Whether this is a number in E.164, digit by digit as it is written, of a length that its country has."""
    parsed = _parsed(number, None) if number.startswith("+") and _SENT.fullmatch(number) else None
    return parsed is not None and _format(parsed) == number


def kind(number: str) -> int:
    """What a number in E.164 is: one of phonenumbers' `PhoneNumberType`, UNKNOWN where it is not in use."""
    parsed = _parsed(number, None)
    if parsed is None or not _possible(parsed):
        return PhoneNumberType.UNKNOWN
    fiction = _fiction(number)
    return int(phonenumbers.number_type(parsed)) if fiction is None else fiction[1]


def home_region(settings: Settings) -> str | None:
    """The region where a number without a country code belongs: the one of the platform's own number."""
    return region_of(settings.platform.cli)


def region_of(number: str) -> str | None:
    """The region of a number in E.164; the main one of its country code where the number itself does not tell.

    That of the platform's CLI is the one where numbers belong by default.
    """
    parsed = _parsed(number, None)
    if parsed is None:
        return None
    fiction = _fiction(number)
    if fiction is not None:
        return fiction[0]
    return phonenumbers.region_code_for_number(parsed) or phonenumbers.region_code_for_country_code(
        parsed.country_code or 0
    )


def readable(number: str) -> str:
    """A number in E.164 with the spaces of its country: `+33 1 99 00 12 34`."""
    parsed = _parsed(number, None)
    return number if parsed is None else phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL)


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
    """Whether national numbers are written with a digit before them that does not belong to them, mostly a 0.

    The 1 of North America is its country code too, and left out as often as not.
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
    # IS_POSSIBLE_LOCAL_ONLY (a number without its area code) can't be dialled from anywhere else.
    return phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE


def _format(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)
