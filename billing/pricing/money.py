"""Converts amounts between whole minor units (as stored), exact decimals, and text for people."""

from __future__ import annotations

from decimal import Decimal

import babel.numbers

from taxiphone.errors import UsageError


def to_minor(amount: Decimal, digits: int) -> int:
    """Convert an amount to whole minor units: 1.55 with 2 digits is 155.

    Raises:
        UsageError: the amount has more decimals than the currency, or is not a finite number.
    """
    if isinstance(amount, float):
        raise TypeError("a float has lost its cents already")
    if not amount.is_finite():
        raise UsageError(f"{amount} is not an amount.")
    numerator, denominator = amount.as_integer_ratio()
    unit: int = 10**digits
    minor, rest = divmod(numerator * unit, denominator)
    if rest:
        raise UsageError(f"{amount:f} has more decimals than the currency's {digits}.")
    return minor


def from_minor(minor: int, digits: int) -> Decimal:
    """Convert minor units to an exact decimal with all of the currency's digits: 155 with 2 digits is 1.55."""
    return Decimal(minor).scaleb(-digits)


def digits_of(currency: str) -> int:
    """Return the number of decimals of a currency: 2 for EUR, 0 for JPY, 3 for TND (ISO 4217)."""
    return int(babel.numbers.get_currency_precision(currency))


def amount_in(minor: int, currency: str) -> str:
    """Format an amount for messages and tables of the command line: `1.55 EUR`. For papers, see `format_money`."""
    return f"{from_minor(minor, digits_of(currency))} {currency}"


def format_money(minor: int, currency: str, language: str) -> str:
    """Format an amount as is usual in a language: `1,55 €` in French."""
    amount = from_minor(minor, digits_of(currency))
    return str(babel.numbers.format_currency(amount, currency, locale=language.replace("-", "_")))
