"""The plain grammar of values, which any language can use and which French and English refine.

Every method returns the names of clips in speech/prompts/<language>.toml, in the order in which they are played. The plain
grammar says numbers as they are written (two hundred, five thousand), has one singular (for 1) and one plural, and puts the
unit after the number. Languages override what differs.
"""

# ruff: noqa: PLR2004 - a grammar of numbers consists of numbers
from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import babel.numbers

from taxiphone.speech.prompt_texts import Clip

Names = tuple[str, ...]

_MILLION = 1_000_000
_SIGNS = {"*": "letter/star", "#": "letter/hash", "+": "letter/plus"}


class Grammar:
    """The plain grammar.

    Args:
        clips: the clips of the language's text file.
    """

    def __init__(self, clips: Mapping[str, Clip]) -> None:
        self._clips = clips

    def filled(self, template: tuple[str, ...], **values: Names) -> Names:
        """Return a sentence with its gaps filled: "It costs", one euro fifty, "tax included"."""
        return tuple(
            name
            for part in template
            for name in (values[part.strip("{}")] if part.startswith("{") else (part,))
        )

    # Numbers

    def number(self, n: int, *, feminine: bool = False) -> Names:
        """Return a whole number. 0 to 99 are one clip each. `feminine` has an effect only in some languages."""
        if n < 0:
            return ("word/minus", *self.number(-n, feminine=feminine))
        if n >= _MILLION:
            return self._above(n, _MILLION, "word/millions" if n >= 2 * _MILLION else "word/million")
        if n >= 1000:
            return self._above(n, 1000, "word/thousand")
        if n >= 100:
            return self._above(n, 100, "word/hundred")
        return (f"n/{n}",)

    def _above(self, n: int, size: int, word: str) -> Names:
        rest = self.number(n % size) if n % size else ()
        return (*self.number(n // size), word, *rest)

    def decimal(self, value: Decimal) -> Names:
        """Return a number with its decimals digit by digit: one point five five five."""
        whole, _, decimals = f"{value:f}".partition(".")
        return (*self.number(int(whole)), "word/point", *(f"n/{digit}" for digit in decimals))

    def digits(self, text: str) -> Names:
        """Return a code or phone number character by character; spaces, dots and hyphens are skipped.

        Raises:
            ValueError: a character other than 0-9, letters, `*`, `#` and `+`.
        """
        names = []
        for sign in text.lower():
            if sign in " .-":
                continue
            if sign in _SIGNS:
                names.append(_SIGNS[sign])
            elif sign.isascii() and sign.isalnum():
                names.append(f"n/{sign}" if sign.isdigit() else f"letter/{sign}")
            else:
                raise ValueError(f"{sign!r} can't be spelled")
        return tuple(names)

    # A number with its noun

    def is_singular(self, n: Decimal | int) -> bool:
        """Tell whether a number takes the singular: only 1 does."""
        return n == 1

    def counted(self, n: int, one: str, many: str) -> Names:
        """Return a number and its noun: twenty-one minutes."""
        return (*self.number(n), one if self.is_singular(n) else many)

    def per_minute(self) -> Names:
        """Return the words after a price per minute."""
        return ("word/per-minute",)

    # Money

    def amount(self, minor_units: int, currency: str) -> Names:
        """Return an amount, given in minor units: one euro fifty-five.

        A currency without words in [money], or without 100 minor units, is said as a number and the letters of its code.
        """
        precision = int(babel.numbers.get_currency_precision(currency))
        unit = f"money/{currency.lower()}"
        if precision != 2 or f"{unit}-one" not in self._clips:
            value = Decimal(minor_units).scaleb(-precision)
            whole = value == value.to_integral_value()
            return (*(self.number(int(value)) if whole else self.decimal(value)), *self._code(currency))
        if minor_units < 0:
            return ("word/minus", *self.amount(-minor_units, currency))
        units, hundredths = divmod(minor_units, 100)
        if not units and hundredths:
            return self.hundredths(hundredths, unit)
        names = self.units(units, unit)
        if hundredths >= 10:
            return (*names, *self.number(hundredths))
        # On a bad line, "one euro five" could be understood as 1.50.
        return (*names, "word/and", *self.hundredths(hundredths, unit)) if hundredths else names

    def units(self, n: int, unit: str) -> Names:
        """Return a number of units of the currency whose clips start with `unit`."""
        return self.counted(n, f"{unit}-one", f"{unit}-many")

    def hundredths(self, n: int, unit: str) -> Names:
        """Return a number of hundredths of the currency whose clips start with `unit`."""
        return self.counted(n, f"{unit}-cent-one", f"{unit}-cent-many")

    def price_per_minute(self, price: Decimal, currency: str) -> Names:
        """Return a price per minute: one euro fifty-five a minute. 1.555 is said with a point and digits."""
        minor_units = price.scaleb(int(babel.numbers.get_currency_precision(currency)))
        if minor_units == minor_units.to_integral_value():
            return (*self.amount(int(minor_units), currency), *self.per_minute())
        exact = price.normalize()
        unit = f"money/{currency.lower()}"
        if f"{unit}-one" not in self._clips:
            return (*self.decimal(exact), *self._code(currency), *self.per_minute())
        name = f"{unit}-one" if self.is_singular(exact) else f"{unit}-many"
        return (*self.decimal(exact), name, *self.per_minute())

    def _code(self, currency: str) -> Names:
        return tuple(f"letter/{letter}" for letter in currency.lower())

    # Time

    def hours(self, n: int) -> Names:
        """Return a number of hours."""
        return self.counted(n, "word/hour", "word/hours")

    def minutes(self, n: int) -> Names:
        """Return a number of minutes."""
        return self.counted(n, "word/minute", "word/minutes")

    def seconds(self, n: int) -> Names:
        """Return a number of seconds."""
        return self.counted(n, "word/second", "word/seconds")

    def duration(self, seconds: int) -> Names:
        """Return hours, minutes and seconds without those that are zero: one hour and three minutes.

        Raises:
            ValueError: the duration is negative.
        """
        if seconds < 0:
            raise ValueError("a duration can't be negative")
        whole_minutes, rest = divmod(seconds, 60)
        of_hours, of_minutes = divmod(whole_minutes, 60)
        pieces = [
            say(n)
            for n, say in ((of_hours, self.hours), (of_minutes, self.minutes), (rest, self.seconds))
            if n
        ] or [self.seconds(0)]
        *first, last = pieces
        return (*(name for piece in first for name in piece), *(("word/and",) if first else ()), *last)

    def date(self, day: date) -> Names:
        """Return a date with its year, for use after a word such as `until`."""
        return (*self.number(day.day), f"month/{day.month}", *self.number(day.year))

    # Whole sentences that change with their number

    def free_minutes(self, n: int) -> Names:
        """The first N minutes are free."""
        if self.is_singular(n):
            return ("free-first-minute",)
        return ("free-first", *self.number(n), "free-minutes")
