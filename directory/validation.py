"""What names, codes, prices and minutes may be; each check returns the value as it is stored.

Each raises `UsageError` with one sentence that says what it may be.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from decimal import Decimal

from taxiphone.errors import TaxiphoneError, UsageError
from taxiphone.exact import exact, finer_than
from taxiphone.speech.prompt_texts import Languages

_LONGEST_NAME = 120
_LONGEST_CODE = 8
_PRICE_DECIMALS = 4  # a price may be finer than the currency; each line of a receipt is rounded once
_HIGHEST = Decimal(100_000)
_MOST_MINUTES = 24 * 60
_SHARE_DECIMALS = 4


def name(text: str) -> str:
    """A person's name: one line, not empty."""
    stripped = text.strip()
    if not stripped or len(stripped) > _LONGEST_NAME or not stripped.isprintable():
        raise UsageError(f"a name is one line of 1 to {_LONGEST_NAME} characters.")
    return stripped


def code(text: str, *, shortest: int) -> str:
    """A code that is keyed in on a telephone."""
    if not (text.isascii() and text.isdigit() and shortest <= len(text) <= _LONGEST_CODE):
        raise UsageError(f"a code is {shortest} to {_LONGEST_CODE} digits, not {text!r}.")
    return text


def draw_code(digits: int, taken: Callable[[str], bool]) -> str:
    """A free code of so many digits from the system's random source; longer ones once they are nearly used up."""
    for length in range(digits, _LONGEST_CODE + 1):
        for _ in range(40):
            drawn = str(secrets.randbelow(9 * 10 ** (length - 1)) + 10 ** (length - 1))
            if not taken(drawn):
                return drawn
    raise TaxiphoneError("there are no free codes left.")


def language(text: str, languages: Languages) -> str:
    """A language that the platform's prompts are there in."""
    known = languages.codes
    if text not in known:
        raise UsageError(f"{text!r} is not a language of the prompts; there are {', '.join(sorted(known))}.")
    return text


def price(what: str, value: Decimal, digits: int) -> Decimal:
    """A price per minute: not negative, four decimals at most, kept with at least the currency's own."""
    return _exact(what, value, digits, max(digits, _PRICE_DECIMALS))


def amount(what: str, value: Decimal, digits: int) -> Decimal:
    """A sum of money: not negative, in whole minor units."""
    return _exact(what, value, digits, digits)


def share(what: str, value: Decimal) -> Decimal:
    """A part of the whole, 0 to 1."""
    if not value.is_finite() or not 0 <= value <= 1:
        raise UsageError(f"{what} is a share from 0 to 1, such as 0.30, not {value}.")
    return _exact(what, value, 2, _SHARE_DECIMALS)


def minutes(what: str, value: int, *, least: int) -> int:
    """A number of whole minutes, a day at most."""
    if not least <= value <= _MOST_MINUTES:
        raise UsageError(f"{what} can be {least} to {_MOST_MINUTES}, not {value}.")
    return value


def _exact(what: str, value: Decimal, fewest: int, most: int) -> Decimal:
    if not value.is_finite() or not 0 <= value < _HIGHEST:
        raise UsageError(f"{what} must be at least 0 and below {_HIGHEST}, not {value}.")
    if finer_than(value, most):
        raise UsageError(f"{what} can have {most} decimals at most, not {value}.")
    trimmed = exact(value).normalize()
    exponent = trimmed.as_tuple().exponent
    decimals = max(0, -exponent) if isinstance(exponent, int) else 0
    return trimmed.quantize(Decimal(1).scaleb(-max(fewest, decimals)))
