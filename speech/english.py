"""English grammar of numbers, money and time.

Differences from the plain grammar: `and` after hundreds (two hundred and five) and before a last part below a hundred
(one thousand and five); dates with ordinals (the twenty-second of November); years in pairs (twenty twenty-six).
"""

# ruff: noqa: PLR2004 - a grammar of numbers consists of numbers
from __future__ import annotations

from datetime import date

from taxiphone.speech.grammar import Grammar, Names

_ORDINALS = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}
_PAIRED_YEARS = range(1100, 2100)


class English(Grammar):
    """British English."""

    def _above(self, n: int, size: int, word: str) -> Names:
        rest = n % size
        if not rest:
            return (*self.number(n // size), word)
        if rest < 100:
            word = f"own/{self._clips[word].text}-and"
        return (*self.number(n // size), word, *self.number(rest))

    def date(self, day: date) -> Names:
        """Return a date with its article: the twenty-second of November twenty twenty-six."""
        ordinal = f"own/{day.day}{_ORDINALS.get(day.day, 'th')}"
        return ("own/the", ordinal, "own/of", f"month/{day.month}", *self.year(day.year))

    def year(self, year: int) -> Names:
        """Return a year in two pairs. 2000 to 2009 are numbers, and centuries hundreds: nineteen hundred."""
        century, rest = divmod(year, 100)
        if year not in _PAIRED_YEARS or year in range(2000, 2010):
            return self.number(year)
        if rest == 0:
            return (f"n/{century}", "word/hundred")
        return (f"n/{century}", f"n/{rest}" if rest >= 10 else f"own/oh-{rest}")
