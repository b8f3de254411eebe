"""Sentences with values, word for word, in French and English."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiphone.speech import prompt_texts, synthesis
from taxiphone.speech.prompt_texts import SHIPPED
from taxiphone.speech.sentences import Sounds, Speech

PRICE = Decimal("1.55")
Say = Callable[[Speech], Sounds]


def said(language: str, say: Say) -> str:
    speech = Speech(language)
    return speech.text(say(speech))


@pytest.mark.parametrize(
    ("say", "french", "english"),
    [
        (
            lambda s: s.credit_is(1250, "EUR"),
            "Votre crédit s'élève à douze euros cinquante",
            "Your credit is twelve euros fifty",
        ),
        (
            lambda s: s.credit_lasts(40),
            "Votre crédit vous permet de parler quarante minutes",
            "Your credit lasts for forty minutes",
        ),
        (
            lambda s: s.credit_lasts(81),
            "Votre crédit vous permet de parler une heure et vingt et une minutes",
            "Your credit lasts for one hour and twenty-one minutes",
        ),
        (
            lambda s: s.credit_lasts(0),
            "Votre crédit vous permet de parler zéro minute",
            "Your credit lasts for zero minutes",
        ),
        (
            lambda s: s.limit_left(8100, "EUR"),
            "Avec le plafond que vous avez fixé pour aujourd'hui, il vous reste quatre-vingt-un euros",
            "The limit that you have set for today leaves you eighty-one euros",
        ),
        (
            lambda s: s.package(6000, 60, PRICE, "EUR"),
            (
                "Le forfait coûte soixante euros, taxes comprises, pour une heure ; "
                "au-delà, un euro cinquante-cinq la minute"
            ),
            "The package costs sixty euros, tax included, for one hour; after that, one euro fifty-five a minute",
        ),
        (
            lambda s: s.package(2105, 21, Decimal(2), "GBP"),
            (
                "Le forfait coûte vingt et une livres et cinq pence, taxes comprises, pour vingt et une minutes ; "
                "au-delà, deux livres la minute"
            ),
            (
                "The package costs twenty-one pounds and five pence, tax included, for twenty-one minutes; "
                "after that, two pounds a minute"
            ),
        ),
        (
            lambda s: s.consultant_is(s.digits("427")),
            "Votre consultant est quatre deux sept",
            "Your consultant is four two seven",
        ),
        (
            lambda s: s.call_from(s.digits("427")),
            "C'est quatre deux sept qui vous appelle.",
            "The call is from four two seven",
        ),
        (
            lambda s: s.paused_for(60),
            "Nous ne vous appellerons pas pendant une heure",
            "You will not be called for one hour",
        ),
        (
            lambda s: s.pause_key("0"),
            "Pour mettre l'enregistrement en pause, puis le reprendre, tapez zéro",
            "To pause the recording, and to resume it, press zero",
        ),
        (lambda s: s.time_left(60), "Il reste une minute", "one minute left."),
        (lambda s: s.time_left(30), "Il reste trente secondes", "thirty seconds left."),
        (
            lambda s: s.package_ends(60, PRICE, "EUR", "9"),
            (
                "Votre forfait se termine dans une minute. La consultation continue ensuite à un euro cinquante-cinq la "
                "minute. Pour vous arrêter à la fin du forfait, tapez neuf"
            ),
            (
                "Your package ends in one minute. The consultation then continues at one euro fifty-five a minute. "
                "To end with the package, press nine"
            ),
        ),
        (
            lambda s: s.client_package_ends(61),
            "Le forfait de votre client se termine dans une minute et une seconde",
            "Your client's package ends in one minute and one second",
        ),
        (
            lambda s: s.talk_lasted(1263),
            "La consultation a duré vingt et une minutes et trois secondes",
            "The consultation lasted twenty-one minutes and three seconds",
        ),
        (
            lambda s: s.it_costs(155, "EUR"),
            "Elle coûte un euro cinquante-cinq, taxes comprises.",
            "It costs one euro fifty-five, tax included.",
        ),
        (
            lambda s: s.recording_follows(500, "EUR"),
            "L'enregistrement vous sera facturé cinq euros, taxes comprises, dès qu'il sera prêt.",
            "The recording will be charged at five euros, tax included, as soon as it is ready.",
        ),
        (
            lambda s: s.credit_left(80, "EUR"),
            "Il vous reste quatre-vingts centimes de crédit.",
            "You have eighty cents of credit left.",
        ),
        (
            lambda s: s.your_share(1302, "EUR"),
            "Votre part s'élève à treize euros et deux centimes",
            "Your share is thirteen euros and two cents",
        ),
    ],
)
def test_a_sentence_is_said_as_a_native_speaker_says_it(say: Say, french: str, english: str) -> None:
    assert said("fr", say) == french
    assert said("en", say) == english


@given(
    st.sampled_from(SHIPPED.codes),
    st.integers(0, 10**8),
    st.integers(0, 10**5),
    st.decimals(0, 1000, places=4),
    st.sampled_from(["EUR", "GBP", "JPY", "TND"]),
    st.sampled_from("0123456789"),
)
def test_every_sentence_is_made_of_sounds_that_exist(
    language: str, amount: int, time: int, price: Decimal, currency: str, key: str
) -> None:
    speech = Speech(language)
    for sounds in (
        speech.credit_is(amount, currency),
        speech.credit_lasts(time),
        speech.limit_left(amount, currency),
        speech.package(amount, time, price, currency),
        speech.consultant_is(speech.digits(str(amount))),
        speech.call_from(speech.digits(str(amount))),
        speech.paused_for(time),
        speech.pause_key(key),
        speech.time_left(time),
        speech.package_ends(time, price, currency, key),
        speech.client_package_ends(time),
        speech.talk_lasted(time),
        speech.it_costs(amount, currency),
        speech.recording_follows(amount, currency),
        speech.credit_left(amount, currency),
        speech.your_share(amount, currency),
    ):
        for name in sounds:
            assert synthesis.sound_path(language, name.removeprefix("taxiphone/")).is_file(), name


def test_every_language_has_the_same_gaps_in_its_sentences() -> None:
    english = SHIPPED.texts("en").templates
    for language in SHIPPED.codes:
        for key, template in SHIPPED.texts(language).templates.items():
            assert gaps(template) == gaps(english[key]), f"{language}: {key}"


def gaps(template: tuple[str, ...]) -> list[str]:
    return sorted(part for part in template if part.startswith("{"))


def test_no_clip_of_a_sentence_starts_or_ends_with_silence() -> None:
    for language in SHIPPED.codes:
        for clip in SHIPPED.texts(language).clips.values():
            if clip.table == prompt_texts.TEMPLATES:
                assert clip.say[0].isalpha(), clip
                assert not clip.say.endswith((",", ";", ":")), clip
