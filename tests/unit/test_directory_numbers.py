"""Phone numbers as people write them and as carriers send them."""

from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiphone.directory import numbers
from taxiphone.errors import UsageError


@pytest.mark.parametrize(
    "written",
    [
        "+33199001234",
        "+33 1 99 00 12 34",
        "0033199001234",
        "01 99 00 12 34",
        "01.99.00.12.34",
        " 0199001234 ",
    ],
)
def test_a_number_is_understood_however_it_is_written(written: str) -> None:
    assert numbers.e164(written, "FR") == "+33199001234"


@pytest.mark.parametrize(
    "written",
    ["", "anne", "0800-LAWYER", "+33", "+3319900", "0199001234567890", "1;2", "+33199001234\nx", "tel:+33"],
)
def test_an_invalid_number_is_refused_in_one_sentence(written: str) -> None:
    with pytest.raises(UsageError, match=r"\.$"):
        numbers.e164(written, "FR")


def test_a_number_without_country_code_needs_a_region() -> None:
    with pytest.raises(UsageError, match="country code"):
        numbers.e164("0199001234")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("+33612345678", "+33612345678"),
        ("0033612345678", "+33612345678"),
        ("33612345678", "+33612345678"),
        ("0612345678", "+33612345678"),
        ("0639981234", "+33639981234"),  # kept free for fiction: possible, though nobody's
        ("+442071838750", "+442071838750"),
        ("442071838750", "+442071838750"),
        ("+390612345678", "+390612345678"),  # Italy keeps its zero
        ("anonymous", None),
        ("Anonymous", None),
        ("unknown", None),
        ("", None),
        ("266696687", None),
        ("1001", None),
        ("+1", None),
        ("0", None),
        ("٠٦١٢٣٤٥٦٧٨", None),
        ("9" * 40, None),
    ],
)
def test_the_caller_id_of_a_trunk_is_read_or_unknown(sent: str, read: str | None) -> None:
    assert numbers.caller(sent, "FR") == read


def test_the_dialled_number_is_read_like_the_caller_id() -> None:
    assert numbers.dialled("0199001234", "FR") == ["+33199001234"]
    assert numbers.dialled("s", "FR") == []


def test_a_dialled_number_is_never_hidden_and_ambiguous_digits_give_every_reading() -> None:
    assert numbers.dialled("266696687", "FR") == ["+33266696687"]
    assert numbers.dialled("687123456", "FR") == ["+33687123456", "+687123456"]


def test_the_region_is_the_one_of_the_platforms_number() -> None:
    assert numbers.region_of("+33199001234") == "FR"
    assert numbers.region_of("+442071838750") == "GB"
    assert numbers.region_of("nonsense") is None


# -- digits that can be read in two ways ------------------------------------------------------------------------------

# New Caledonia, the Faroe Islands, Greenland and Andorra, without the + that the carrier left out.
FOREIGN = ("687123456", "298123456", "299123456", "376612345")


@pytest.mark.parametrize("sent", FOREIGN)
def test_a_foreign_number_without_plus_matches_no_national_number(sent: str) -> None:
    assert numbers.caller(sent, "FR") is None
    assert numbers.caller("+" + sent, "FR") == "+" + sent
    assert numbers.caller("00" + sent, "FR") == "+" + sent
    assert numbers.caller("0" + sent, "FR") == "+33" + sent


def test_a_national_number_needs_its_leading_digit_where_the_country_has_one() -> None:
    assert numbers.caller("612345678", "FR") is None
    assert numbers.caller("2079460123", "GB") is None
    assert numbers.caller("02079460123", "GB") == "+442079460123"
    # None there: Spain and Italy; and the 1 of North America may be left out.
    assert numbers.caller("912345678", "ES") == "+34912345678"
    assert numbers.caller("0612345678", "IT") == "+390612345678"
    assert numbers.caller("2125550123", "US") == numbers.caller("12125550123", "US") == "+12125550123"


@pytest.mark.parametrize(
    ("sent", "region", "either"),
    [
        ("4345550123", "US", {"+14345550123", "+4345550123"}),  # Virginia, or Austria
        ("84951234567", "RU", {"+74951234567", "+84951234567"}),  # Moscow after an 8, or Vietnam
        ("612345678", "ES", {"+34612345678", "+612345678"}),
        ("33612345678", "DE", {"+4933612345678", "+33612345678"}),
        ("3912345678", "IT", {"+393912345678", "+3912345678"}),
    ],
)
def test_ambiguous_digits_match_no_client_in_any_country(sent: str, region: str, either: set[str]) -> None:
    assert numbers.caller(sent, region) is None
    assert set(numbers.dialled(sent, region)) == either


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("auto", {"687123456": None, "0612345678": "+33612345678", "33612345678": "+33612345678"}),
        ("e164", {"687123456": "+687123456", "0612345678": None, "33612345678": "+33612345678"}),
        ("national", {"687123456": "+33687123456", "0612345678": "+33612345678", "442071838750": None}),
    ],
)
def test_the_carriers_own_format_ends_the_doubt(written: Any, read: dict[str, str | None]) -> None:
    assert {sent: numbers.caller(sent, "FR", written) for sent in read} == read
    for prefix in ("+", "00"):  # these are never in doubt
        assert numbers.caller(prefix + "442071838750", "FR", written) == "+442071838750"


@given(
    digits=st.from_regex(r"[0-9]{1,15}", fullmatch=True),
    region=st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)),
)
def test_a_caller_is_known_only_by_the_one_number_that_the_digits_can_be(digits: str, region: str) -> None:
    found = numbers.caller(digits, region)
    readings = numbers.dialled(digits, region)
    assert found is None or found in readings
    if found is not None and len(readings) > 1:
        # The other reading is a national number without its leading digit, and in no use.
        other = next(each for each in readings if each != found)
        assert found == "+" + digits
        assert not phonenumbers.is_valid_number(phonenumbers.parse(other))


@pytest.mark.parametrize("written", [*FOREIGN, "612 34 56 78"])
def test_what_an_operator_writes_in_two_ways_is_refused_with_both(written: str) -> None:
    plain = written.replace(" ", "")
    with pytest.raises(UsageError, match=rf"\+33{plain} or \+{plain}.*country code"):
        numbers.e164(written, "FR")


def test_what_an_operator_writes_without_the_leading_zero_is_refused_with_what_it_may_be() -> None:
    with pytest.raises(UsageError, match=r"leading digit.*\+447400123456"):
        numbers.e164("7400123456", "GB")
    assert numbers.e164("442071838750", "FR") == "+442071838750"


# -- withheld numbers -------------------------------------------------------------------------------------------------

WORDS = ("86282452253", "266696687", "7378742833", "8656696", "8566696", "2562533", "7748283")


@pytest.mark.parametrize("word", WORDS)
def test_the_keys_of_a_word_are_hidden_in_every_region_and_format(word: str) -> None:
    for region in phonenumbers.SUPPORTED_REGIONS:
        for written in ("auto", "e164", "national"):
            for sent in (word, "+" + word):
                assert numbers.caller(sent, region, written) is None, (region, written)


def test_a_national_number_with_the_same_digits_is_somebodys() -> None:
    assert numbers.caller("+33266696687", "FR") == "+33266696687"
    assert numbers.caller("0266696687", "FR") == "+33266696687"
    assert numbers.caller("+17378742833", "US") == "+17378742833"


@pytest.mark.parametrize(
    ("number", "is_assigned"),
    [
        ("+33612345678", True),
        ("+33639981234", True),  # kept free for fiction
        ("+447700900123", True),
        ("+33639971234", False),
        ("+11111111111", False),
        ("+19999999999", False),
        ("+86282452253", False),
        ("+3363998", False),
        ("nonsense", False),
    ],
)
def test_a_placeholder_is_not_an_assigned_number(number: str, is_assigned: bool) -> None:
    assert numbers.assigned(number) is is_assigned
