"""The parser of exact numbers: amounts, prices, shares and durations.

Options and arguments of commands, taxiphone.toml, tariffs in JSON and rows of the database are all parsed by `exact`, so
that a text means the same number everywhere.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

BELOW = 10**12
"""Exclusive upper limit of the absolute value of any price, duration or balance."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
# Maximum numbers of characters: of a text that is parsed, and of one quoted in an error message.
_LONGEST = 1000
_SHOWN = 40

# East Asian keyboards produce full-width forms of these characters. Digits of other scripts are rejected, because some
# look like other digits: the Bengali 4 looks like 8.
_FULL_WIDTH = {0xFF10 + digit: str(digit) for digit in range(10)} | {
    ord("．"): ".",  # noqa: RUF001 - the full-width form itself
    ord("－"): "-",  # noqa: RUF001 - likewise
    ord("Ｅ"): "E",  # noqa: RUF001 - likewise
    ord("ｅ"): "e",  # noqa: RUF001 - likewise
}


def exact(value: Any) -> Decimal:
    """Convert a text, a whole number or a Decimal to an exact number.

    A text consists of digits with an optional minus, decimal point and exponent of up to three digits. Surrounding spaces
    are ignored and full-width characters are converted.

    Returns:
        the number with the decimals as written; never with a positive exponent, never negative zero.

    Raises:
        ValueError: the message completes a sentence that starts with the name of the value, such as `'1,5' is not a
            number such as 20 or 1.55`.
    """
    if isinstance(value, bool | float):
        raise ValueError(f'write it in quotes, "{value}", so that it stays exact')  # noqa: TRY004 - malformed input
    if isinstance(value, str):
        number = _read(value)
    elif isinstance(value, int | Decimal):
        number = Decimal(value)
    else:
        raise ValueError('must be a number in quotes, such as "1.55"')  # noqa: TRY004 - malformed input
    if not number.is_finite():
        raise ValueError(f"{value} is not a number such as 20 or 1.55")
    if abs(number) >= BELOW:
        raise ValueError(f"is too large; it must be below {BELOW}")
    return _plain(number)


def finer_than(number: Decimal, decimals: int) -> bool:
    """Tell whether a number has more than the given number of decimals. Trailing zeros don't count."""
    numerator, denominator = number.as_integer_ratio()
    scaled: int = numerator * 10**decimals
    return scaled % denominator != 0


def shown(text: str) -> str:
    """Format a text from outside for an error message: quoted, escaped and truncated."""
    return ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def _read(text: str) -> Decimal:
    plain = text.translate(_FULL_WIDTH).strip() if len(text) <= _LONGEST else ""
    if not _NUMBER.fullmatch(plain):
        hint = "; write it with the digits 0 to 9" if re.search(r"[^\x00-\x7f]", plain) else ""
        raise ValueError(f"{shown(text)} is not a number such as 20 or 1.55{hint}")
    return Decimal(plain)


def _plain(number: Decimal) -> Decimal:
    if not number:
        number = number.copy_abs()
    exponent = number.as_tuple().exponent
    return Decimal(int(number)) if isinstance(exponent, int) and exponent > 0 else number
