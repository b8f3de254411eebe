"""Amounts between their three forms: whole minor units (what is stored), exact decimals, words for people."""

from __future__ import annotations

from decimal import Decimal

import babel.numbers

from taxiphone.errors import UsageError


def to_minor(amount: Decimal, digits: int) -> int:
    """An amount in whole minor units: 1.55 with 2 digits is 155.

    Raises:
        UsageError: it has more decimals than the currency, or is no finite number.
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
    """An amount as an exact decimal with all of its digits: 155 with 2 digits is 1.55."""
    return Decimal(minor).scaleb(-digits)


def digits_of(currency: str) -> int:
    """Decimals of a currency: 2 for EUR, 0 for JPY, 3 for TND (ISO 4217)."""
    return int(babel.numbers.get_currency_precision(currency))


def amount_in(minor: int, currency: str) -> str:
    """An amount as every sentence and table of the command line has it: `1.55 EUR`. Papers have `format_money`."""
    return f"{from_minor(minor, digits_of(currency))} {currency}"


def format_money(minor: int, currency: str, language: str) -> str:
    """An amount as a person of that language writes it: `1,55 €` in French."""
    amount = from_minor(minor, digits_of(currency))
    return str(babel.numbers.format_currency(amount, currency, locale=language.replace("-", "_")))
