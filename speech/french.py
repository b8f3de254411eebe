"""How French says numbers, money and time.

What differs from the plain grammar: nothing is plural below two; `un` has a feminine; `cent` and `quatre-vingts` lose
their s before another number; six, huit and dix lose their last sound before a consonant; and a word that begins with
a vowel takes over the last consonant of the number before it (deux-z-euros, vingt-t-heures), which is recorded as a
clip of the following word.
"""

# ruff: noqa: PLR2004 - tens, hundreds and thousands are what is told here
from __future__ import annotations

from datetime import date
from decimal import Decimal

from taxiphone.speech.grammar import Grammar, Names

_THOUSAND = 1000
_MILLION = 1_000_000
# Tens whose numbers go on to nineteen: onze, soixante et onze, quatre-vingt-onze. They lend no sound but dix.
_BARE_TENS = (1, 7, 9)


class French(Grammar):
    """French, as it is spoken in France."""

    def number(self, n: int, *, feminine: bool = False) -> Names:
        """A whole number; `feminine` before a feminine noun: vingt et une."""
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
        """Mille is a number, so no s before it: deux cent mille, quatre-vingt mille."""
        *first, last = self._short(self.number(n))
        bare = {"own/hundreds": "word/hundred", "n/80": "own/80-bare"}
        return (*first, bare.get(last, last))

    def _short(self, names: Names) -> Names:
        """The number as it sounds before a consonant: si(x) minutes."""
        *first, last = names
        short = f"own/{last.removeprefix('n/')}-short"
        return (*first, short if short in self._clips else last)

    def is_singular(self, n: Decimal | int) -> bool:
        """Nothing is plural below two: zéro euro, un virgule cinq euro."""
        return -2 < n < 2

    def counted(self, n: int, one: str, many: str, *, feminine: bool = False) -> Names:
        """A number and what it counts, with the liaison where that begins with a vowel; millions take `de`."""
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
        """So many whole units of a currency; the pound is feminine: une livre."""
        return self.counted(n, f"{unit}-one", f"{unit}-many", feminine=unit == "money/gbp")

    def hours(self, n: int) -> Names:
        """So many hours; the f of neuf is a v before them."""
        if f"own/{n}-hours" in self._clips:
            return (f"own/{n}-hours",)
        return self.counted(n, "word/hour", "word/hours", feminine=True)

    def minutes(self, n: int) -> Names:
        """So many minutes."""
        return self.counted(n, "word/minute", "word/minutes", feminine=True)

    def seconds(self, n: int) -> Names:
        """So many seconds."""
        return self.counted(n, "word/second", "word/seconds", feminine=True)

    def date(self, day: date) -> Names:
        """A date without its article, which the words before it bring: (jusqu'au) premier novembre."""
        of_day = ("own/premier",) if day.day == 1 else self.number(day.day)
        return (*of_day, f"month/{day.month}", *self.number(day.year))

    def free_minutes(self, n: int) -> Names:
        """Les N premières minutes sont gratuites."""
        if self.is_singular(n):
            return ("free-first-minute",)
        return ("free-first", *self._short(self.number(n, feminine=True)), "free-minutes")


def _liaison(n: int) -> str:
    """The consonant that a number lends to a vowel after it: n, t or z; empty where it keeps its own.

    It follows from how the number's last word is written: un; vingt, cent; deux, trois, six, dix, cents, quatre-vingts.
    """
    tens, ones = divmod(n % 100, 10)
    if n % 100 in (0, 20, 80):
        if n % _THOUSAND == 0:
            return ""
        return "t" if n % _THOUSAND == 100 or n % 100 == 20 else "z"
    if tens in _BARE_TENS:
        return "z" if ones == 0 else ""
    return {1: "n", 2: "z", 3: "z", 6: "z"}.get(ones, "")
