"""Validates names, codes, prices and minutes. Each function returns the value as it is stored.

Each raises `UsageError` if the value is not allowed.
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
# A price may be finer than the currency, because each line of a receipt is rounded once.
_PRICE_DECIMALS = 4
_HIGHEST = Decimal(100_000)
_MOST_MINUTES = 24 * 60
_SHARE_DECIMALS = 4


def name(text: str) -> str:
    """Validate a person's name: one line, not empty."""
    stripped = text.strip()
    if not stripped or len(stripped) > _LONGEST_NAME or not stripped.isprintable():
        raise UsageError(f"a name must be a single line of 1 to {_LONGEST_NAME} characters.")
    return stripped


def code(text: str, *, shortest: int) -> str:
    """Validate a code that callers enter."""
    if not (text.isascii() and text.isdigit() and shortest <= len(text) <= _LONGEST_CODE):
        raise UsageError(f"a code must have {shortest} to {_LONGEST_CODE} digits, not {text!r}.")
    return text


def generate_code(digits: int, taken: Callable[[str], bool]) -> str:
    """Generate a random unused code with the given number of digits, or more once these are nearly used up."""
    for length in range(digits, _LONGEST_CODE + 1):
        for _ in range(40):
            generated = str(secrets.randbelow(9 * 10 ** (length - 1)) + 10 ** (length - 1))
            if not taken(generated):
                return generated
    raise TaxiphoneError("all codes are in use.")


def language(text: str, languages: Languages) -> str:
    """Validate a language: prompts must exist in it."""
    known = languages.codes
    if text not in known:
        raise UsageError(
            f"there are no prompts in the language {text!r}. Available: {', '.join(sorted(known))}."
        )
    return text


def price(what: str, value: Decimal, digits: int) -> Decimal:
    """Validate a price per minute: not negative, at most four decimals, stored with at least the currency's decimals."""
    return _exact(what, value, digits, max(digits, _PRICE_DECIMALS))


def amount(what: str, value: Decimal, digits: int) -> Decimal:
    """Validate an amount: not negative, in whole minor units."""
    return _exact(what, value, digits, digits)


def share(what: str, value: Decimal) -> Decimal:
    """Validate a share from 0 to 1."""
    if not value.is_finite() or not 0 <= value <= 1:
        raise UsageError(f"{what} must be a share from 0 to 1, such as 0.30, not {value}.")
    return _exact(what, value, 2, _SHARE_DECIMALS)


def minutes(what: str, value: int, *, least: int) -> int:
    """Validate a number of minutes, at most a day."""
    if not least <= value <= _MOST_MINUTES:
        raise UsageError(f"{what} must be {least} to {_MOST_MINUTES}, not {value}.")
    return value


def _exact(what: str, value: Decimal, fewest: int, most: int) -> Decimal:
    if not value.is_finite() or not 0 <= value < _HIGHEST:
        raise UsageError(f"{what} must be at least 0 and below {_HIGHEST}, not {value}.")
    if finer_than(value, most):
        raise UsageError(f"{what} must have at most {most} decimals, not {value}.")
    trimmed = exact(value).normalize()
    exponent = trimmed.as_tuple().exponent
    decimals = max(0, -exponent) if isinstance(exponent, int) else 0
    return trimmed.quantize(Decimal(1).scaleb(-max(fewest, decimals)))
