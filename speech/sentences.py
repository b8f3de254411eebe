"""Composes what a call says from prompts and values, as names of sounds in the caller's language.

A name is `taxiphone/NAME`; Asterisk finds the sound by the language of the channel. Whole sentences are prompts, such as
`prompt("welcome")`. Sentences with values have a method each, such as `package(...)`, with the words in [templates] of the
text file. The application combines some others:

    The price is · one euro fifty-five a minute · tax included.
                        prompt("price-is") price_per_minute(price, currency) prompt("tax-included")
    You can receive the recording of the consultation. It costs · five euros · tax included.
    It will be kept until · the first of March twenty twenty-seven.
    To record the consultation, press 1. Otherwise, press 2, or wait.
                        prompt("recording-offer") amount(cents, currency) prompt("tax-included")
                        prompt("recording-kept-until") date(day)   (optional)
                        prompt("recording-choice")
    Telephone consultation · by the minute. · The call is from · NAME.
                        prompt("consultant-call") prompt("mode-per-minute") or prompt("mode-package")
                        call_from(name)

The name of a person is `names.spoken(...)`, or `digits(code)` if there is no sound.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from taxiphone.speech.english import English
from taxiphone.speech.french import French
from taxiphone.speech.grammar import Grammar, Names
from taxiphone.speech.prompt_texts import SHIPPED, Languages

# The folder of the sounds, in Asterisk's folder of the language.
FOLDER = "taxiphone"
_GRAMMARS: dict[str, type[Grammar]] = {"en": English, "fr": French}

Sounds = tuple[str, ...]


class UnknownPromptError(LookupError):
    """The program used a prompt that does not exist, which is a bug."""


class Speech:
    """Composes sentences in one language. Every method returns the names of sounds in the order in which they are played.

    Args:
        language: the code of a language that has a text file, such as `fr`.
        languages: the available languages; by default those of the package.

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
        """Return a prompt by its name, such as `welcome`.

        Raises:
            UnknownPromptError: there is no prompt of this name.
        """
        if name not in self._clips or not self._clips[name].is_prompt:
            raise UnknownPromptError(f"there is no prompt {name!r} in {self.language!r}")
        return _sounds((name,))

    def digits(self, text: str) -> Sounds:
        """Return a code or phone number character by character (0-9, letters, `*`, `#`, `+`).

        Raises:
            ValueError: it contains another character.
        """
        return _sounds(self._grammar.digits(text))

    def amount(self, minor_units: int, currency: str) -> Sounds:
        """Return an amount given in minor units: 155 EUR is "one euro fifty-five"."""
        return _sounds(self._grammar.amount(minor_units, currency))

    def price_per_minute(self, price: Decimal, currency: str) -> Sounds:
        """Return a price per minute: 1.55 EUR is "one euro fifty-five a minute"."""
        return _sounds(self._grammar.price_per_minute(price, currency))

    def duration(self, seconds: int) -> Sounds:
        """Return hours, minutes and seconds without those that are zero: "une heure et trois minutes"."""
        return _sounds(self._grammar.duration(seconds))

    def date(self, day: date) -> Sounds:
        """Return a date with its year, for use after a word such as `until` or `jusqu'au`."""
        return _sounds(self._grammar.date(day))

    def free_minutes(self, n: int) -> Sounds:
        """Return the sentence that the first N minutes are free, with N of at least 1."""
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
            price_minor: the price of the package in minor units.
            minutes: its duration.
            then: the price per minute after it.
            currency: the ISO 4217 code.
        """
        return self._filled(
            "package",
            amount=self._grammar.amount(price_minor, currency),
            time=self._minutes(minutes),
            price=self._grammar.price_per_minute(then, currency),
        )

    def consultant_is(self, name: Sounds) -> Sounds:
        """Your consultant is NAME; `name` is the result of `names.spoken` or `digits`."""
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
            seconds: the time until the package ends.
            then: the price per minute after it.
            currency: the ISO 4217 code.
            key: the key that ends the consultation with the package.
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
        """Return a sentence around the sounds of a name."""
        return tuple(
            sound
            for part in self._templates[template]
            for sound in (name if part == "{name}" else _sounds((part,)))
        )

    def _minutes(self, n: int) -> Names:
        """Return hours and minutes, or "zero minutes"."""
        return self._grammar.duration(60 * n) if n else self._grammar.minutes(0)

    def text(self, names: Iterable[str]) -> str:
        """Return the words of sounds composed by this class.

        The sound of a person's name is shown as (consultant 4271), because only the directory has the name.

        Raises:
            UnknownPromptError: a sound does not exist in this language.
        """
        words: list[str] = []
        for name in names:
            person = name.removeprefix(f"{FOLDER}/names/")
            # For example names/fr/consultant/4271.
            if person != name:
                words.append(" " * bool(words) + "({} {})".format(*person.split("/")[1:]))
                continue
            clip = self._clips.get(name.removeprefix(f"{FOLDER}/"))
            if clip is None:
                raise UnknownPromptError(f"there is no sound {name!r} in {self.language!r}")
            words += (clip.before, " " * bool(words), clip.text)
        return "".join(words)


def _sounds(names: Iterable[str]) -> Sounds:
    return tuple(f"{FOLDER}/{name}" for name in names)
