"""What the call says: prompts and values as the names of the sounds that Asterisk plays, in the caller's language.

A name is `taxiphone/NAME`; Asterisk finds the sound by the language of the channel. Nothing is read but the text files
of dialplan/prompts. These sentences are put together by the application from prompts and values:

    The price is · one euro fifty-five a minute · tax included.
                        prompt("price-is") price_per_minute(price, currency) prompt("tax-included")
    The first · ten · minutes are free.
                        free_minutes(n)
    Your credit is · twelve euros fifty.
                        prompt("credit-is") amount(cents, currency)
    You can receive the recording of the consultation. It costs · five euros · tax included.
    It will be kept until · the first of March twenty twenty-seven.
    To record the consultation, press 1. Otherwise, press 2, or wait.
                        prompt("recording-offer") amount(cents, currency) prompt("tax-included")
                        prompt("recording-kept-until") date(day)   (may be left out)
                        prompt("recording-choice")
    Telephone consultation · by the minute.
                        prompt("consultant-call") prompt("mode-per-minute") or prompt("mode-package")

Every other prompt is a whole sentence.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path

from taxiphone.dialplan import speech_texts
from taxiphone.dialplan.speech_en import English
from taxiphone.dialplan.speech_fr import French
from taxiphone.dialplan.speech_grammar import Grammar
from taxiphone.dialplan.speech_texts import PROMPTS

FOLDER = "taxiphone"  # of the sounds, below Asterisk's folder of the language
_GRAMMARS: dict[str, type[Grammar]] = {"en": English, "fr": French}

Sounds = tuple[str, ...]


class UnknownPromptError(LookupError):
    """The program asked for a prompt that no text file has: a mistake in the program, never a user's."""


def languages() -> tuple[str, ...]:
    """The languages that the platform speaks: ("en", "fr")."""
    return speech_texts.languages()


class Speech:
    """One language's voice: every method answers with sound names, to be played one after the other.

    Args:
        language: the code of a language that has a text file, such as `fr`.
        folder: where the text files lie.

    Raises:
        UsageError: there is no such language, or its text file can't be used.
    """

    def __init__(self, language: str, folder: Path = PROMPTS) -> None:
        texts = speech_texts.load(language, folder)
        self.language = language
        self._clips = texts.clips
        self._grammar = _GRAMMARS.get(language, Grammar)(texts.clips)

    def prompt(self, name: str) -> Sounds:
        """A prompt by its name, such as `welcome`.

        Raises:
            UnknownPromptError: there is no prompt of this name.
        """
        if name not in self._clips or not self._clips[name].is_prompt:
            raise UnknownPromptError(f"there is no prompt {name!r} in {self.language!r}")
        return _sounds((name,))

    def number(self, n: int, *, feminine: bool = False) -> Sounds:
        """A whole number; `feminine` before a feminine noun, in languages that have it."""
        return _sounds(self._grammar.number(n, feminine=feminine))

    def digits(self, text: str) -> Sounds:
        """A code or a phone number, sign by sign (0-9, letters, `*`, `#`, `+`).

        Raises:
            ValueError: it holds something that can't be spelled.
        """
        return _sounds(self._grammar.digits(text))

    def amount(self, minor_units: int, currency: str) -> Sounds:
        """An amount in the currency's minor units (cents): 155 EUR is "one euro fifty-five"."""
        return _sounds(self._grammar.amount(minor_units, currency))

    def price_per_minute(self, price: Decimal, currency: str) -> Sounds:
        """A price per minute in the currency's units: 1.55 EUR is "one euro fifty-five a minute"."""
        return _sounds(self._grammar.price_per_minute(price, currency))

    def minutes(self, n: int) -> Sounds:
        """So many minutes: "vingt et une minutes"."""
        return _sounds(self._grammar.minutes(n))

    def duration(self, seconds: int) -> Sounds:
        """Hours, minutes and seconds, without those that are none: "une heure et trois minutes"."""
        return _sounds(self._grammar.duration(seconds))

    def date(self, day: date) -> Sounds:
        """A date with its year, to be said after a word such as `until` or `jusqu'au`."""
        return _sounds(self._grammar.date(day))

    def free_minutes(self, n: int) -> Sounds:
        """The whole sentence that the first N minutes are free; N is 1 or more."""
        return _sounds(self._grammar.free_minutes(n))

    def text(self, names: Iterable[str]) -> str:
        """The words of sounds that this class has named, as they are heard one after the other.

        Raises:
            UnknownPromptError: one of them is not a sound of this language.
        """
        words = []
        for name in names:
            clip = self._clips.get(name.removeprefix(f"{FOLDER}/"))
            if clip is None:
                raise UnknownPromptError(f"there is no sound {name!r} in {self.language!r}")
            words.append(clip.text)
        return " ".join(words)


def as_text(names: Iterable[str], language: str) -> str:
    """The words of composed sounds in a language; see `Speech.text`."""
    return Speech(language).text(names)


def _sounds(names: Iterable[str]) -> Sounds:
    return tuple(f"{FOLDER}/{name}" for name in names)
