"""PINs: generated, chosen and hashed; trivial ones are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiphone.directory import pins
from taxiphone.errors import TaxiphoneError, UsageError


def test_a_generated_pin_has_six_digits_and_would_be_accepted_as_a_chosen_one() -> None:
    known = ("48210377", "+33698765432")
    drawn = {pins.generate_pin(known) for _ in range(300)}
    assert len(drawn) > 290
    assert all(len(pin) == 6 and pins.checked(pin, known) == pin for pin in drawn)


@pytest.mark.parametrize("pin", ["2580", "83920", "907134", "1000", "1231", "40718253"])
def test_a_pin_of_4_to_8_digits_is_taken(pin: str) -> None:
    assert pins.checked(pin, ["48210377"]) == pin


@pytest.mark.parametrize("pin", ["", "123", "123456789", "12 34", "12a4", "١٢٣٤", "2580\n", "-2580", "²580"])
def test_an_invalid_pin_is_refused_without_being_shown(pin: str) -> None:
    with pytest.raises(UsageError, match="4 to 8 digits") as refused:
        pins.checked(pin)
    assert len(pin) < 3 or pin not in str(refused.value)
    assert not pins.well_formed(pin)


@pytest.mark.parametrize(
    "pin",
    [
        *("0000", "111111", "99999999", "1212", "121212", "12121", "123123", "12312"),
        *("1234", "0123", "23456789", "4321", "987654", "7890", "0987", "8901"),
        *("48210377", "4821", "0377", "6987"),
    ],
)
def test_the_first_pins_that_somebody_would_try_are_refused(pin: str) -> None:
    with pytest.raises(UsageError, match="too easy") as refused:
        pins.checked(pin, ["48210377", "+33698765432"])
    assert pin not in str(refused.value)


@pytest.mark.usefixtures("real_pins")
def test_a_hash_is_argon2id_with_a_salt_and_knows_its_own_pin_only() -> None:
    first, second = pins.hash_pin("907134"), pins.hash_pin("907134")
    assert first != second
    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert "907134" not in first
    assert len(first) <= 200  # what the column holds
    assert pins.verify(first, "907134")
    assert not pins.verify(first, "907135")
    assert not pins.verify(first, "")


def test_without_a_hash_no_pin_is_right() -> None:
    assert not pins.verify(None, "907134")
    assert not pins.verify(None, "")


@pytest.mark.parametrize("broken", ["$argon2id$broken", "907134", "$2b$12$abc"])
def test_an_unreadable_hash_is_reported_in_one_sentence(broken: str) -> None:
    with pytest.raises(TaxiphoneError, match="can't be verified") as told:
        pins.verify(broken, "907134")
    assert "907134" not in str(told.value)


@given(st.text(max_size=12))
def test_whatever_is_keyed_in_is_a_pin_or_refused(text: str) -> None:
    try:
        assert pins.checked(text) == text
        assert pins.well_formed(text)
    except UsageError:
        pass
