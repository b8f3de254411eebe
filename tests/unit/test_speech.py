"""What is said for each kind of value, in French and English, in the words of the sounds played."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from num2words import num2words

from taxiphone.errors import UsageError
from taxiphone.speech import synthesis
from taxiphone.speech.english import English
from taxiphone.speech.french import French
from taxiphone.speech.prompt_texts import SHIPPED
from taxiphone.speech.sentences import Speech, UnknownPromptError

CURRENCIES = ("EUR", "USD", "GBP", "CHF", "CAD", "JPY", "TND")
LANGUAGES = st.sampled_from(SHIPPED.codes)


def test_french_and_english_are_there() -> None:
    assert {"en", "fr"} <= set(SHIPPED.codes)


@pytest.mark.parametrize(
    ("cents", "currency", "french", "english"),
    [
        (0, "EUR", "zéro euro", "zero euros"),
        (1, "EUR", "un centime", "one cent"),
        (50, "EUR", "cinquante centimes", "fifty cents"),
        (100, "EUR", "un euro", "one euro"),
        (105, "EUR", "un euro et cinq centimes", "one euro and five cents"),
        (155, "EUR", "un euro cinquante-cinq", "one euro fifty-five"),
        (500, "EUR", "cinq euros", "five euros"),
        (8000, "EUR", "quatre-vingts euros", "eighty euros"),
        (2150, "EUR", "vingt et un euros cinquante", "twenty-one euros fifty"),
        (20000, "EUR", "deux cents euros", "two hundred euros"),
        (20100, "EUR", "deux cent un euros", "two hundred and one euros"),
        (100_000_000, "EUR", "un million d'euros", "one million euros"),
        (-155, "EUR", "moins un euro cinquante-cinq", "minus one euro fifty-five"),
        (101, "GBP", "une livre et un penny", "one pound and one penny"),
        (2150, "GBP", "vingt et une livres cinquante", "twenty-one pounds fifty"),
        (200_000_000, "USD", "deux millions de dollars", "two million dollars"),
        (120, "CHF", "un franc vingt", "one franc twenty"),
        (99, "CAD", "quatre-vingt-dix-neuf cents", "ninety-nine cents"),
        (1500, "JPY", "mille cinq cents J P Y", "one thousand five hundred J P Y"),
        (1550, "TND", "un virgule cinq cinq zéro T N D", "one point five five zero T N D"),
    ],
)
def test_an_amount_is_said_as_a_native_says_it(cents: int, currency: str, french: str, english: str) -> None:
    assert Speech("fr").text(Speech("fr").amount(cents, currency)) == french
    assert Speech("en").text(Speech("en").amount(cents, currency)) == english


@pytest.mark.parametrize(
    ("price", "french", "english"),
    [
        ("1.55", "un euro cinquante-cinq la minute", "one euro fifty-five a minute"),
        ("1.550", "un euro cinquante-cinq la minute", "one euro fifty-five a minute"),
        ("2", "deux euros la minute", "two euros a minute"),
        ("0.80", "quatre-vingts centimes la minute", "eighty cents a minute"),
        ("0", "zéro euro la minute", "zero euros a minute"),
        ("1.555", "un virgule cinq cinq cinq euro la minute", "one point five five five euros a minute"),
        ("2.005", "deux virgule zéro zéro cinq euros la minute", "two point zero zero five euros a minute"),
    ],
)
def test_a_price_per_minute_keeps_every_decimal(price: str, french: str, english: str) -> None:
    assert Speech("fr").text(Speech("fr").price_per_minute(Decimal(price), "EUR")) == french
    assert Speech("en").text(Speech("en").price_per_minute(Decimal(price), "EUR")) == english


@pytest.mark.parametrize(
    ("seconds", "french", "english"),
    [
        (0, "zéro seconde", "zero seconds"),
        (1, "une seconde", "one second"),
        (42, "quarante-deux secondes", "forty-two seconds"),
        (61, "une minute et une seconde", "one minute and one second"),
        (1260, "vingt et une minutes", "twenty-one minutes"),
        (3780, "une heure et trois minutes", "one hour and three minutes"),
        (7385, "deux heures trois minutes et cinq secondes", "two hours three minutes and five seconds"),
        (32400, "neuf heures", "nine hours"),
    ],
)
def test_a_duration_leaves_out_what_is_zero(seconds: int, french: str, english: str) -> None:
    assert Speech("fr").text(Speech("fr").duration(seconds)) == french
    assert Speech("en").text(Speech("en").duration(seconds)) == english


@pytest.mark.parametrize(
    ("day", "french", "english"),
    [
        (
            date(2026, 11, 22),
            "vingt-deux novembre deux mille vingt-six",
            "the twenty-second of November twenty twenty-six",
        ),
        (date(2005, 3, 1), "premier mars deux mille cinq", "the first of March two thousand and five"),
        (date(2110, 1, 31), "trente et un janvier deux mille cent dix", None),
        (date(1905, 8, 3), None, "the third of August nineteen oh five"),
    ],
)
def test_a_date_is_said_with_its_year(day: date, french: str | None, english: str | None) -> None:
    assert french is None or Speech("fr").text(Speech("fr").date(day)) == french
    assert english is None or Speech("en").text(Speech("en").date(day)) == english


def test_free_minutes_are_a_whole_sentence_for_one_and_for_many() -> None:
    assert Speech("fr").text(Speech("fr").free_minutes(1)) == "La première minute est gratuite."
    assert (
        Speech("fr").text(Speech("fr").free_minutes(21))
        == "Les vingt et une premières minutes sont gratuites."
    )
    assert Speech("en").text(Speech("en").free_minutes(10)) == "The first ten minutes are free."


def test_the_price_announcement_is_put_together_from_prompts_and_a_price() -> None:
    speech = Speech("fr")
    told = (
        *speech.prompt("price-is"),
        *speech.price_per_minute(Decimal("1.55"), "EUR"),
        *speech.prompt("tax-included"),
    )
    assert speech.text(told) == "La consultation coûte un euro cinquante-cinq la minute taxes comprises."


@pytest.mark.parametrize(
    ("amount", "sounds"),
    [
        (100, ("n/1", "own/eur-one-n")),  # un n'euro
        (200, ("n/2", "own/eur-many-z")),  # deux z'euros
        (500, ("n/5", "money/eur-many")),
        (600, ("own/6-short", "own/eur-many-z")),  # si z'euros
        (1100, ("n/11", "money/eur-many")),
        (2000, ("n/20", "own/eur-many-t")),  # vingt t'euros
        (7100, ("n/71", "money/eur-many")),
        (8000, ("n/80", "own/eur-many-z")),
        (9000, ("own/90-short", "own/eur-many-z")),
        (10000, ("word/hundred", "own/eur-many-t")),
        (30000, ("n/3", "own/hundreds", "own/eur-many-z")),
        (600000, ("own/6-short", "word/thousand", "money/eur-many")),
    ],
)
def test_french_makes_its_liaisons(amount: int, sounds: tuple[str, ...]) -> None:
    assert Speech("fr").amount(amount, "EUR") == tuple(f"taxiphone/{name}" for name in sounds)


def test_digits_are_said_one_by_one_with_signs_and_letters() -> None:
    assert Speech("en").text(Speech("en").digits("+33 1-2*#k")) == "plus three three one two star hash K"
    with pytest.raises(ValueError, match="spelled"):
        Speech("en").digits("1/2")


@given(st.sampled_from(["en", "fr"]), st.one_of(st.integers(0, 2000), st.integers(0, 999_999)))
def test_numbers_are_those_of_num2words(language: str, n: int) -> None:
    expected = num2words(n, lang=language).replace(",", "").replace("-", " ")
    assert Speech(language).text(_number(language, n)).replace("-", " ") == expected


@given(LANGUAGES, st.integers(0, 10**11), st.sampled_from(CURRENCIES))
def test_every_amount_is_made_of_sounds_that_exist(language: str, amount: int, currency: str) -> None:
    _all_there(language, Speech(language).amount(amount, currency))


@given(LANGUAGES, st.decimals(0, 10_000, places=4), st.sampled_from(CURRENCIES))
def test_every_price_is_made_of_sounds_that_exist(language: str, price: Decimal, currency: str) -> None:
    _all_there(language, Speech(language).price_per_minute(price, currency))


@given(LANGUAGES, st.integers(0, 400_000), st.dates(), st.integers(-(10**9), 10**9), st.booleans())
def test_every_time_and_number_is_made_of_sounds_that_exist(
    language: str, seconds: int, day: date, n: int, feminine: bool
) -> None:
    speech = Speech(language)
    _all_there(language, speech.duration(seconds))
    _all_there(language, speech.paused_for(seconds))
    _all_there(language, speech.date(day))
    _all_there(language, _number(language, n, feminine=feminine))
    _all_there(language, speech.free_minutes(abs(n) + 1))


def _number(language: str, n: int, *, feminine: bool = False) -> tuple[str, ...]:
    grammar = {"en": English, "fr": French}[language](SHIPPED.texts(language).clips)
    return grammar.number(n, feminine=feminine)


def _all_there(language: str, names: tuple[str, ...]) -> None:
    assert Speech(language).text(names)
    for name in names:
        assert synthesis.sound_path(language, name.removeprefix("taxiphone/")).is_file(), name


def test_an_unknown_prompt_is_a_mistake_of_the_program() -> None:
    with pytest.raises(UnknownPromptError, match="no-such"):
        Speech("fr").prompt("no-such")
    with pytest.raises(UnknownPromptError):
        Speech("fr").prompt("n/1")
    with pytest.raises(UnknownPromptError):
        Speech("fr").text(["taxiphone/no-such"])


def test_an_unknown_language_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(UsageError, match="en, fr"):
        Speech("xx")


def test_a_duration_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Speech("fr").duration(-1)
