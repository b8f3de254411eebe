"""Exact numbers as people and files write them: the one parser of every amount, price, share and length.

Options and arguments of commands, taxiphone.toml, tariffs in JSON and rows of the database all go through `exact`, so
that a text means the same number wherever it is written.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

BELOW = 10**12
"""No number here is as large as this: no price, no length, no wallet."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_LONGEST = 1000  # characters; a number that is short to write must not be long to compute with either
_SHOWN = 40

# Full-width forms are the same characters to an East Asian keyboard. Digits of other scripts are refused: some of them
# look like another digit (Bengali 4 is drawn as 8), and an amount must be what it seems to be.
_FULL_WIDTH = {0xFF10 + digit: str(digit) for digit in range(10)} | {
    ord("．"): ".",  # noqa: RUF001 - the full-width form itself
    ord("－"): "-",  # noqa: RUF001 - likewise
    ord("Ｅ"): "E",  # noqa: RUF001 - likewise
    ord("ｅ"): "e",  # noqa: RUF001 - likewise
}


def exact(value: Any) -> Decimal:
    """The number that a text, a whole number or a Decimal stands for.

    A text is digits with a point, perhaps a minus and an exponent of three digits at most. Spaces around it are ignored,
    full-width characters are read as the ordinary ones. Minus zero is zero.

    Returns:
        with the decimals that were written, never in exponent notation above zero, never minus zero.

    Raises:
        ValueError: a clause that goes after the name of what was given, such as `'1,5' is not a number such as 20 or
            1.55`.
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
    """Whether a number has more decimals than that; zeros at its end don't count."""
    numerator, denominator = number.as_integer_ratio()
    scaled: int = numerator * 10**decimals
    return scaled % denominator != 0


def shown(text: str) -> str:
    """What somebody wrote, as it may stand in a sentence: quoted, escaped, and not without end."""
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
