"""Numbers as people write them and as trunks send them."""

import pytest

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
def test_what_is_no_number_is_refused_in_a_sentence(written: str) -> None:
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
        ("612345678", "+33612345678"),
        ("0639981234", "+33639981234"),  # kept free for fiction: possible, though nobody's
        ("+442071838750", "+442071838750"),
        ("442071838750", "+442071838750"),
        ("+390612345678", "+390612345678"),  # Italy keeps its zero
        ("anonymous", None),
        ("Anonymous", None),
        ("unknown", None),
        ("", None),
        (None, None),
        ("266696687", None),
        ("1001", None),
        ("+1", None),
        ("0", None),
        ("٠٦١٢٣٤٥٦٧٨", None),
        ("9" * 40, None),
    ],
)
def test_the_caller_id_of_a_trunk_is_read_or_is_nobody(sent: str | None, read: str | None) -> None:
    assert numbers.caller(sent, "FR") == read


def test_the_dialled_number_is_read_like_the_caller_id() -> None:
    assert numbers.dialled("0199001234", "FR") == "+33199001234"
    assert numbers.dialled("s", "FR") is None


def test_the_region_is_the_one_of_the_platforms_number() -> None:
    assert numbers.region_of("+33199001234") == "FR"
    assert numbers.region_of("+442071838750") == "GB"
    assert numbers.region_of("nonsense") is None


@pytest.mark.parametrize(
    ("number", "may"),
    [
        ("+33612345678", True),
        ("+33639981234", True),
        ("+33899123456", False),  # premium rate, inside +33
        ("+442071838750", False),
        ("0612345678", False),
        ("+33", False),
        ("+33612345678&PJSIP/x", False),
        ("+33 612345678", False),
    ],
)
def test_only_plain_numbers_on_the_allow_list_are_rung(number: str, may: bool) -> None:
    assert numbers.may_dial(number, ("+33",)) is may
