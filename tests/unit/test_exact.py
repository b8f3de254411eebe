"""A number has the same meaning everywhere: options, taxiphone.toml, tariffs in JSON, database rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiphone import settings as settings_file
from taxiphone.billing.pricing.quote_file import parse_tariff
from taxiphone.billing.pricing.tariff_json import from_json, to_json
from taxiphone.commands import options
from taxiphone.directory import validation
from taxiphone.errors import UsageError
from taxiphone.exact import exact, finer_than
from taxiphone.store.types import ExactDecimal

TOML = '[platform]\ncli = "+33199001200"\n{platform}\n[trunk]\nhost = "192.0.2.1"\n[billing]\n{billing}\n'


def load(tmp_path: Path, *, billing: str = "", platform: str = "") -> settings_file.Settings:
    file = tmp_path / "taxiphone.toml"
    file.write_text(TOML.format(billing=billing, platform=platform), encoding="utf-8")
    return settings_file.load(file)


@pytest.fixture
def doors(tmp_path: Path) -> dict[str, Callable[[str], Decimal]]:
    """Every place that reads an amount from a text, by name."""

    def toml(text: str) -> Decimal:
        return load(tmp_path, billing=f"recording_fee = {json.dumps(text)}").billing.recording_fee

    def tariff(text: str) -> Decimal:
        segments = [{"from": 0, "price_per_minute": "1"}]
        raw = json.dumps({"currency": "EUR", "segments": segments, "fee": text})
        return parse_tariff(raw.encode(), "t.json").fee

    def column(text: str) -> Decimal:
        found = ExactDecimal().process_result_value(text, None)  # type: ignore[arg-type]  # any dialect
        assert found is not None
        return found

    return {"option": options.amount, "toml": toml, "tariff": tariff, "column": column}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("-0", "0"),
        ("-0.00", "0"),
        ("-0e5", "0"),
        ("1e3", "1000"),
        ("1E+2", "100"),
        ("15e-1", "1.5"),
        (" 20 ", "20"),
        ("\t1.50\n", "1.50"),
        ("\u00a020\u3000", "20"),  # the spaces of a page that was copied from
        ("１２．５０", "12.50"),  # noqa: RUF001 - full-width
        ("007", "7"),
    ],
)
def test_a_valid_number_means_the_same_everywhere(
    doors: dict[str, Callable[[str], Decimal]], written: str, meant: str
) -> None:
    for name, read in doors.items():
        found = read(written)
        assert (name, found, found.is_signed()) == (name, Decimal(meant), False)
        assert "E" not in str(found), name


@pytest.mark.parametrize(
    "written",
    ["", " ", "1,5", "1 000", "1_000", "+1", ".5", "5.", "0x10", "NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "1e",
     "1e9999", "9e999", "1000000000000", "١٢", "\N{BENGALI DIGIT FOUR}", "²", "1.55 EUR", "one", "1" * 2000],
)  # fmt: skip
def test_an_invalid_number_is_refused_everywhere_in_one_sentence(
    doors: dict[str, Callable[[str], Decimal]], written: str
) -> None:
    for name, read in doors.items():
        with pytest.raises((click.BadParameter, UsageError, ValueError), match=r"number|large") as refused:
            read(written)
        assert len(str(refused.value)) < 300, name


def test_a_float_and_a_truth_value_are_no_exact_numbers() -> None:
    for value in (1.55, True, None, [], {}):
        with pytest.raises(ValueError, match="quotes"):
            exact(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_a_number_is_read_as_it_is_written_out(number: Decimal) -> None:
    assert exact(str(number)) == number == exact(number)
    assert exact(format(exact(number), "f")) == number


@given(
    number=st.one_of(st.decimals(allow_nan=True, allow_infinity=True), st.text(max_size=30), st.integers()),
)
def test_whatever_is_written_there_is_a_number_or_a_sentence(number: Any) -> None:
    try:
        found = exact(number)
    except ValueError:
        return
    assert found.is_finite()
    assert not (found == 0 and found.is_signed())


def test_decimals_beyond_any_context_are_still_seen() -> None:
    assert finer_than(Decimal("1." + "0" * 40 + "1"), 2)
    assert not finer_than(Decimal("1.500000"), 1)


@pytest.mark.parametrize(
    ("written", "meant"), [("10", 10), (" 10 ", 10), ("1e1", 10), ("-0", 0), ("\N{FULLWIDTH DIGIT ONE}0", 10)]
)
def test_whole_numbers_are_read_in_the_same_way(written: str, meant: int) -> None:
    assert options.whole(written) == meant


@pytest.mark.parametrize("written", ["1_0", "\N{ARABIC-INDIC DIGIT ONE}0", "1.5", "ten", "", "0x10", "+5"])
def test_a_value_that_is_not_a_whole_number_is_refused(written: str) -> None:
    with pytest.raises(click.BadParameter, match="number"):
        options.whole(written)


# -- minus zero ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [validation.price, validation.amount])
def test_a_price_of_minus_zero_is_kept_as_zero(check: Any) -> None:
    assert str(check("the price", Decimal("-0"), 2)) == "0.00"
    assert str(validation.share("the commission", Decimal("-0.0"))) == "0.00"


def test_shares_of_minus_zero_in_the_settings_are_zero(tmp_path: Path) -> None:
    found = load(tmp_path, billing='vat = "-0"\ncommission = "-0.00"\npayout_minimum = "-0"').billing
    assert [str(each) for each in (found.vat, found.commission, found.payout_minimum)] == ["0", "0.00", "0"]


def test_a_tariff_that_was_frozen_with_minus_zero_is_read_as_zero() -> None:
    frozen = {
        "currency": "EUR",
        "digits": 2,
        "segments": [{"from": 0, "price_per_minute": "-0.00"}],
        "vat": "-0",
    }
    frozen["commission"] = "-0.00"
    again = to_json(from_json(frozen))
    assert (again["segments"][0]["price_per_minute"], again["commission"], again["vat"]) == (
        "0.00",
        "0.00",
        "0",
    )


# -- finer than the currency --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["recording_fee", "payout_minimum"])
@pytest.mark.parametrize(
    ("amount", "currency", "digits"), [("4.995", "EUR", 2), ("5.5", "JPY", 0), ("1.2345", "TND", 3)]
)
def test_an_amount_finer_than_the_currency_is_refused_at_the_start(
    tmp_path: Path, key: str, amount: str, currency: str, digits: int
) -> None:
    with pytest.raises(UsageError) as refused:
        load(tmp_path, billing=f'{key} = "{amount}"', platform=f'currency = "{currency}"')
    assert str(refused.value).endswith(
        f"billing.{key}: {amount} has too many decimals; amounts in {currency} have {digits}."
    )


def test_zeros_beyond_the_currencys_decimals_are_no_decimals(tmp_path: Path) -> None:
    assert (
        load(tmp_path, billing='recording_fee = "500.000"', platform='currency = "JPY"').billing.recording_fee
        == 500
    )
    assert load(tmp_path, platform='currency = "JPY"').billing.recording_fee == 5


@pytest.mark.parametrize("key", ["recording_fee", "payout_minimum", "vat", "commission"])
@pytest.mark.parametrize("value", ['"-1"', '"1000000000000"', "1.5", "true", '"NaN"', '"1,5"', "[]"])
def test_an_amount_that_can_not_be_in_the_settings_is_refused_by_its_key(
    tmp_path: Path, key: str, value: str
) -> None:
    with pytest.raises(UsageError, match=rf"billing\.{key}(:| must be) "):
        load(tmp_path, billing=f"{key} = {value}")
