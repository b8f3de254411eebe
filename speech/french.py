"""French grammar of numbers, money and time.

Differences from the plain grammar: numbers below two are singular; `un` has a feminine; `cent` and `quatre-vingts` lose
their s before another number; six, huit and dix lose their last sound before a consonant; and a word that starts with a
vowel takes over the last consonant of the preceding number (deux-z-euros, vingt-t-heures), which is recorded as a clip of
the following word.
"""

# ruff: noqa: PLR2004 - a grammar of numbers consists of numbers
from __future__ import annotations

from datetime import date
from decimal import Decimal

from taxiphone.speech.grammar import Grammar, Names

_THOUSAND = 1000
_MILLION = 1_000_000
# Tens whose numbers run to nineteen: onze, soixante et onze, quatre-vingt-onze. Only their dix has a liaison.
_BARE_TENS = (1, 7, 9)


class French(Grammar):
    """French as spoken in France."""

    def number(self, n: int, *, feminine: bool = False) -> Names:
        """Return a whole number; `feminine` before a feminine noun: vingt et une."""
        if n < 0:
            return ("word/minus", *self.number(-n, feminine=feminine))
        if n >= _MILLION:
            millions, rest = divmod(n, _MILLION)
            word = "word/million" if millions == 1 else "word/millions"
            return (*self._short(self.number(millions)), word, *self._rest(rest, feminine=feminine))
        if n >= _THOUSAND:
            thousands, rest = divmod(n, _THOUSAND)
            before = () if thousands == 1 else self._before_thousand(thousands)
            return (*before, "word/thousand", *self._rest(rest, feminine=feminine))
        if n >= 100:
            hundreds, rest = divmod(n, 100)
            before = () if hundreds == 1 else self._short((f"n/{hundreds}",))
            word = "word/hundred" if hundreds == 1 or rest else "own/hundreds"
            return (*before, word, *self._rest(rest, feminine=feminine))
        if feminine and f"own/{n}-f" in self._clips:
            return (f"own/{n}-f",)
        return (f"n/{n}",)

    def _rest(self, n: int, *, feminine: bool) -> Names:
        return self.number(n, feminine=feminine) if n else ()

    def _before_thousand(self, n: int) -> Names:
        """Return the number before mille, without an s: deux cent mille, quatre-vingt mille."""
        *first, last = self._short(self.number(n))
        bare = {"own/hundreds": "word/hundred", "n/80": "own/80-bare"}
        return (*first, bare.get(last, last))

    def _short(self, names: Names) -> Names:
        """Return the number as pronounced before a consonant: si(x) minutes."""
        *first, last = names
        short = f"own/{last.removeprefix('n/')}-short"
        return (*first, short if short in self._clips else last)

    def is_singular(self, n: Decimal | int) -> bool:
        """Tell whether a number takes the singular: zéro euro, un virgule cinq euro."""
        return -2 < n < 2

    def counted(self, n: int, one: str, many: str, *, feminine: bool = False) -> Names:
        """Return a number and its noun, with the liaison if the noun starts with a vowel; millions take `de`."""
        noun = one if self.is_singular(n) else many
        key = noun.partition("/")[2]
        number = self.number(n, feminine=feminine)
        if n and n % _MILLION == 0:
            return (*number, f"own/{key}-de") if f"own/{key}-de" in self._clips else (*number, "own/de", noun)
        if not self._begins_with_vowel(noun):
            return (*self._short(number), noun)
        liaison = _liaison(n)
        if f"own/{key}-{liaison}" in self._clips:
            return (*(self._short(number) if liaison == "z" else number), f"own/{key}-{liaison}")
        return (*number, noun)

    def _begins_with_vowel(self, name: str) -> bool:
        return self._clips[name].text[0] in "aeiouhé"

    def units(self, n: int, unit: str) -> Names:
        """Return a number of units of a currency; the pound is feminine: une livre."""
        return self.counted(n, f"{unit}-one", f"{unit}-many", feminine=unit == "money/gbp")

    def hours(self, n: int) -> Names:
        """Return a number of hours; before them, the f of neuf is pronounced v."""
        if f"own/{n}-hours" in self._clips:
            return (f"own/{n}-hours",)
        return self.counted(n, "word/hour", "word/hours", feminine=True)

    def minutes(self, n: int) -> Names:
        """Return a number of minutes."""
        return self.counted(n, "word/minute", "word/minutes", feminine=True)

    def seconds(self, n: int) -> Names:
        """Return a number of seconds."""
        return self.counted(n, "word/second", "word/seconds", feminine=True)

    def date(self, day: date) -> Names:
        """Return a date without its article, which the preceding words contain: (jusqu'au) premier novembre."""
        of_day = ("own/premier",) if day.day == 1 else self.number(day.day)
        return (*of_day, f"month/{day.month}", *self.number(day.year))

    def free_minutes(self, n: int) -> Names:
        """Les N premières minutes sont gratuites."""
        if self.is_singular(n):
            return ("free-first-minute",)
        return ("free-first", *self._short(self.number(n, feminine=True)), "free-minutes")


def _liaison(n: int) -> str:
    """Return the consonant of the liaison between a number and a vowel: n, t or z; empty if there is none.

    It depends on the last word of the number: un; vingt, cent; deux, trois, six, dix, cents, quatre-vingts.
    """
    tens, ones = divmod(n % 100, 10)
    if n % 100 in (0, 20, 80):
        if n % _THOUSAND == 0:
            return ""
        return "t" if n % _THOUSAND == 100 or n % 100 == 20 else "z"
    if tens in _BARE_TENS:
        return "z" if ones == 0 else ""
    return {1: "n", 2: "z", 3: "z", 6: "z"}.get(ones, "")
