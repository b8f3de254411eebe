"""How values become words: the plain grammar that any language can begin with, and that French and English refine.

Every method answers with a tuple of clip names of speech/prompts/<language>.toml, in the order they are played.
The plain grammar says numbers as figures are written (two hundred, five thousand), has one singular (for 1) and one
plural, and puts the unit after its number. A language that speaks otherwise overrides what differs.
"""

# ruff: noqa: PLR2004 - tens, hundreds and thousands are what is told here
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
    """The plain grammar; `clips` is what the language's text file has."""

    def __init__(self, clips: Mapping[str, Clip]) -> None:
        self._clips = clips

    def filled(self, template: tuple[str, ...], **values: Names) -> Names:
        """A sentence with its gaps filled: "It costs", one euro fifty, "tax included"."""
        return tuple(
            name
            for part in template
            for name in (values[part.strip("{}")] if part.startswith("{") else (part,))
        )

    # Numbers

    def number(self, n: int, *, feminine: bool = False) -> Names:
        """A whole number: 0 to 99 as one clip, above that put together; `feminine` where the language has it."""
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
        """A number with decimals, these digit by digit: one point five five five."""
        whole, _, decimals = f"{value:f}".partition(".")
        return (*self.number(int(whole)), "word/point", *(f"n/{digit}" for digit in decimals))

    def digits(self, text: str) -> Names:
        """A code or a phone number, sign by sign; blanks, dots and hyphens are passed over.

        Raises:
            ValueError: another character than 0-9, letters, `*`, `#` and `+`.
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

    # A number with what it counts

    def is_singular(self, n: Decimal | int) -> bool:
        """Whether this many of a thing is one of it: 1, and only 1."""
        return n == 1

    def counted(self, n: int, one: str, many: str) -> Names:
        """A number and what it counts: twenty-one minutes."""
        return (*self.number(n), one if self.is_singular(n) else many)

    def per_minute(self) -> Names:
        """What follows a price that is for each minute."""
        return ("word/per-minute",)

    # Money

    def amount(self, minor_units: int, currency: str) -> Names:
        """An amount of money, given in the currency's smallest units: one euro fifty-five.

        A currency without words in [money], or with other than 100 minor units, is a number and its letters.
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
        # "one euro five" could be 1.05 or 1.50 on a bad line.
        return (*names, "word/and", *self.hundredths(hundredths, unit)) if hundredths else names

    def units(self, n: int, unit: str) -> Names:
        """So many whole units of the currency whose clips begin with `unit`."""
        return self.counted(n, f"{unit}-one", f"{unit}-many")

    def hundredths(self, n: int, unit: str) -> Names:
        """So many hundredths of it."""
        return self.counted(n, f"{unit}-cent-one", f"{unit}-cent-many")

    def price_per_minute(self, price: Decimal, currency: str) -> Names:
        """A price in whole units of the currency: one euro fifty-five a minute; 1.555 with a point and digits."""
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
        """So many hours."""
        return self.counted(n, "word/hour", "word/hours")

    def minutes(self, n: int) -> Names:
        """So many minutes."""
        return self.counted(n, "word/minute", "word/minutes")

    def seconds(self, n: int) -> Names:
        """So many seconds."""
        return self.counted(n, "word/second", "word/seconds")

    def duration(self, seconds: int) -> Names:
        """Hours, minutes and seconds, without those that are none: one hour and three minutes.

        Raises:
            ValueError: less than nothing.
        """
        if seconds < 0:
            raise ValueError("a duration is never below zero")
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
        """A date with its year, to be put after a word such as `until`."""
        return (*self.number(day.day), f"month/{day.month}", *self.number(day.year))

    # Whole sentences that change with their number

    def free_minutes(self, n: int) -> Names:
        """The first N minutes are free."""
        if self.is_singular(n):
            return ("free-first-minute",)
        return ("free-first", *self.number(n), "free-minutes")
