"""What the call says: prompts and values as the names of the sounds that Asterisk plays, in the caller's language.

A name is `taxiphone/NAME`; Asterisk finds the sound by the language of the channel. Nothing is read but the text files of
speech/prompts. Whole sentences are prompts,
such as `prompt("welcome")`; those with values in them have a method each, such as `package(...)`, whose words and order
stand in the text file's [templates]. These are put together by the application:

    The price is · one euro fifty-five a minute · tax included.
                        prompt("price-is") price_per_minute(price, currency) prompt("tax-included")
    You can receive the recording of the consultation. It costs · five euros · tax included.
    It will be kept until · the first of March twenty twenty-seven.
    To record the consultation, press 1. Otherwise, press 2, or wait.
                        prompt("recording-offer") amount(cents, currency) prompt("tax-included")
                        prompt("recording-kept-until") date(day)   (may be left out)
                        prompt("recording-choice")
    Telephone consultation · by the minute. · The call is from · NAME.
                        prompt("consultant-call") prompt("mode-per-minute") or prompt("mode-package")
                        call_from(name)

A name is what `names.spoken` gives, else `digits(code)`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from taxiphone.speech.english import English
from taxiphone.speech.french import French
from taxiphone.speech.grammar import Grammar, Names
from taxiphone.speech.prompt_texts import SHIPPED, Languages

FOLDER = "taxiphone"  # of the sounds, below Asterisk's folder of the language
_GRAMMARS: dict[str, type[Grammar]] = {"en": English, "fr": French}

Sounds = tuple[str, ...]


class UnknownPromptError(LookupError):
    """The program asked for a prompt that no text file has: a mistake in the program, never a user's."""


class Speech:
    """One language's voice: every method answers with sound names, to be played one after the other.

    Args:
        language: the code of a language that has a text file, such as `fr`.
        languages: the languages that there are; the package's own by default.

    Raises:
        UsageError: there is no such language, or its text file can't be used.
    """

    def __init__(self, language: str, languages: Languages = SHIPPED) -> None:
        texts = languages.texts(language)
        self.language = language
        self._clips = texts.clips
        self._templates = texts.templates
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

    # Whole sentences

    def credit_is(self, minor_units: int, currency: str) -> Sounds:
        """Your credit is twelve euros fifty."""
        return self._filled("credit-is", amount=self._grammar.amount(minor_units, currency))

    def credit_lasts(self, minutes: int) -> Sounds:
        """Your credit lasts for forty minutes."""
        return self._filled("credit-lasts", time=self._minutes(minutes))

    def limit_left(self, minor_units: int, currency: str) -> Sounds:
        """The limit that you have set for today leaves you thirty euros."""
        return self._filled("limit-left", amount=self._grammar.amount(minor_units, currency))

    def package(self, price_minor: int, minutes: int, then: Decimal, currency: str) -> Sounds:
        """The package costs sixty euros, tax included, for one hour; after that, one euro fifty-five a minute.

        Args:
            price_minor: of the package, in the currency's minor units.
            minutes: how long it lasts.
            then: the price per minute after it, in the currency's units.
            currency: its code of ISO 4217.
        """
        return self._filled(
            "package",
            amount=self._grammar.amount(price_minor, currency),
            time=self._minutes(minutes),
            price=self._grammar.price_per_minute(then, currency),
        )

    def consultant_is(self, name: Sounds) -> Sounds:
        """Your consultant is NAME; `name` is sounds, such as `names.spoken` or `digits` give."""
        return self._around("consultant-is", name)

    def call_from(self, name: Sounds) -> Sounds:
        """To the consultant: the call is from NAME."""
        return self._around("call-from", name)

    def paused_for(self, minutes: int) -> Sounds:
        """To the consultant: you will not be called for one hour."""
        return self._filled("paused-for", time=self._minutes(minutes))

    def pause_key(self, key: str) -> Sounds:
        """To pause the recording, and to resume it, press zero."""
        return self._filled("pause-key", key=self._grammar.digits(key))

    def time_left(self, seconds: int) -> Sounds:
        """One minute left."""
        return self._filled("time-left", time=self._grammar.duration(seconds))

    def package_ends(self, seconds: int, then: Decimal, currency: str, key: str) -> Sounds:
        """Your package ends in one minute. It then goes on at one euro ... a minute. To end with it, press nine.

        Args:
            seconds: until the package ends.
            then: the price per minute after it, in the currency's units.
            currency: its code of ISO 4217.
            key: what ends the consultation with the package.
        """
        return self._filled(
            "package-ends",
            time=self._grammar.duration(seconds),
            price=self._grammar.price_per_minute(then, currency),
            key=self._grammar.digits(key),
        )

    def client_package_ends(self, seconds: int) -> Sounds:
        """To the consultant: your client's package ends in one minute."""
        return self._filled("client-package-ends", time=self._grammar.duration(seconds))

    def talk_lasted(self, seconds: int) -> Sounds:
        """The consultation lasted twelve minutes and three seconds."""
        return self._filled("talk-lasted", time=self._grammar.duration(seconds))

    def it_costs(self, minor_units: int, currency: str) -> Sounds:
        """It costs eighteen euros sixty, tax included; "it" is the consultation."""
        return self._filled("it-costs", amount=self._grammar.amount(minor_units, currency))

    def recording_follows(self, minor_units: int, currency: str) -> Sounds:
        """The recording will be charged at five euros, tax included, as soon as it is ready."""
        return self._filled("recording-follows", amount=self._grammar.amount(minor_units, currency))

    def credit_left(self, minor_units: int, currency: str) -> Sounds:
        """You have three euros ten of credit left."""
        return self._filled("credit-left", amount=self._grammar.amount(minor_units, currency))

    def your_share(self, minor_units: int, currency: str) -> Sounds:
        """To the consultant: your share is thirteen euros two."""
        return self._filled("your-share", amount=self._grammar.amount(minor_units, currency))

    def _filled(self, template: str, **values: Names) -> Sounds:
        return _sounds(self._grammar.filled(self._templates[template], **values))

    def _around(self, template: str, name: Sounds) -> Sounds:
        """A sentence around sounds that may be another's than this language's text file's."""
        return tuple(
            sound
            for part in self._templates[template]
            for sound in (name if part == "{name}" else _sounds((part,)))
        )

    def _minutes(self, n: int) -> Names:
        """Hours and minutes, and "zero minutes" where there are none."""
        return self._grammar.duration(60 * n) if n else self._grammar.minutes(0)

    def text(self, names: Iterable[str]) -> str:
        """The words of sounds that this class has named, as they are heard one after the other.

        The sound of a person's name is told as (consultant 4271): only the directory knows the name.

        Raises:
            UnknownPromptError: one of them is not a sound of this language.
        """
        words: list[str] = []
        for name in names:
            person = name.removeprefix(f"{FOLDER}/names/")
            if person != name:  # names/fr/consultant/4271
                words.append(" " * bool(words) + "({} {})".format(*person.split("/")[1:]))
                continue
            clip = self._clips.get(name.removeprefix(f"{FOLDER}/"))
            if clip is None:
                raise UnknownPromptError(f"there is no sound {name!r} in {self.language!r}")
            words += (clip.before, " " * bool(words), clip.text)
        return "".join(words)


def _sounds(names: Iterable[str]) -> Sounds:
    return tuple(f"{FOLDER}/{name}" for name in names)
