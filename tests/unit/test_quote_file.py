"""Tariff files: a malformed one is refused with a message that names the key, never with a traceback."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from taxiphone.billing.pricing.quote_file import parse_tariff, read_tariff
from taxiphone.billing.pricing.tariff_price import price
from taxiphone.cli import taxiphone
from taxiphone.errors import UsageError

GOOD: dict[str, Any] = {
    "currency": "EUR",
    "fee": "0.15",
    "segments": [
        {"from": 0, "price_per_minute": "0"},
        {"from": 600, "price_per_minute": "1.55", "first": 60, "step": 6},
    ],
    "short_call_seconds": 30,
    "commission": "0.30",
    "commission_on_recording": False,
    "recording_fee": "5.00",
    "vat": "0.20",
}
SEGMENT = GOOD["segments"][1]


def parse(data: Any, *, recorded: bool = False) -> Any:
    text = data if isinstance(data, str) else json.dumps(data)
    return parse_tariff(text.encode("utf-8", "surrogatepass"), "t.json", recorded=recorded)


def with_segment(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "segments": [GOOD["segments"][0], {**SEGMENT, **changes}]}


def test_every_key_but_currency_and_segments_has_its_default() -> None:
    tariff = parse({"currency": "EUR", "segments": [{"from": 0, "price_per_minute": "1.55"}]})
    assert (tariff.fee, tariff.short_call_seconds, tariff.commission, tariff.vat) == (0, 0, 0, 0)
    assert tariff.commission_on_recording
    assert (tariff.segments[0].first, tariff.segments[0].step) == (1, 1)
    assert price(tariff, 60).total == 155


def test_the_fee_of_a_recording_must_be_there_only_where_one_is_asked_for() -> None:
    without = {key: value for key, value in GOOD.items() if key != "recording_fee"}
    assert parse(without).recording_fee == 0
    with pytest.raises(UsageError, match="recording_fee: is missing"):
        parse(without, recorded=True)
    assert parse(GOOD, recorded=True).recording_fee == Decimal("5.00")


@pytest.mark.parametrize(
    "written", ["0", "1.55", "007", " 1", "1 ", "1e2", "1.5E-3", "0." + "0" * 500 + "1", "999999999999.999"]
)
def test_an_amount_may_have_any_number_of_decimals_and_stays_exact(written: str) -> None:
    assert parse({**GOOD, "fee": written}).fee == Decimal(written.strip())


def test_a_whole_number_is_an_amount_too_for_it_is_exact() -> None:
    assert parse({**GOOD, "fee": 60}).fee == 60


WRONG_AMOUNTS = [
    1.55,
    "",
    "1,55",
    "-1",
    "+1",
    "1_000",
    ".5",
    "5.",
    "NaN",
    "sNaN",
    "Infinity",
    "-Infinity",
    "1e",
    "1e9999",
    "9e999",
    "1000000000000",
    "٣",
    "one",
    "1.55 EUR",
    None,
    True,
    [],
    {},
    ["1"],
    -1,
    10**14,
    10**30,
]
WRONG_COUNTS = [-1, 1.0, 1.5, "1", "", None, True, [], {}, 10**12, 10**30]


@pytest.mark.parametrize("key", ["fee", "recording_fee", "commission", "vat"])
@pytest.mark.parametrize("value", [*WRONG_AMOUNTS])
def test_an_amount_that_cannot_be_is_refused_by_its_key(key: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^t\.json: {key}: .*\.$"):
        parse({**GOOD, key: value})


@pytest.mark.parametrize("value", [*WRONG_AMOUNTS])
def test_an_invalid_price_is_refused_with_its_position(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^t\.json: segments\[1\]\.price_per_minute: .*\.$"):
        parse(with_segment(price_per_minute=value))


@pytest.mark.parametrize("key", ["commission", "vat"])
@pytest.mark.parametrize("value", ["1.0000001", "30", 2])
def test_a_share_above_1_is_refused(key: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^t\.json: {key}: "):
        parse({**GOOD, key: value})


@pytest.mark.parametrize("value", WRONG_COUNTS)
def test_seconds_that_are_not_whole_are_refused_by_their_key(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^t\.json: short_call_seconds: "):
        parse({**GOOD, "short_call_seconds": value})
    for key in ("from", "first", "step"):
        with pytest.raises(UsageError, match=rf"^t\.json: segments\[1\]\.{key}: "):
            parse(with_segment(**{key: value}))


@pytest.mark.parametrize("key", ["first", "step"])
def test_a_block_of_no_seconds_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match=rf"segments\[1\]\.{key}: "):
        parse(with_segment(**{key: 0}))


@pytest.mark.parametrize("value", ["XYZ", "eur", "euro", "", "EUR ", "\u20ac", 978, None, ["EUR"], True, 1.5])
def test_a_currency_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^t\.json: currency: "):
        parse({**GOOD, "currency": value})


@pytest.mark.parametrize("value", [None, 0, 1, "true", [], 1.5])
def test_a_truth_value_is_true_or_false(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^t\.json: commission_on_recording: "):
        parse({**GOOD, "commission_on_recording": value})


@pytest.mark.parametrize(
    ("segments", "says"),
    [
        ([], "segments: "),
        ({}, "segments: "),
        ("1.55", "segments: "),
        (None, "segments: "),
        (1.5, "segments: "),
        (["1.55"], r"segments\[0\]: "),
        ([None], r"segments\[0\]: "),
        ([[]], r"segments\[0\]: "),
        ([{}], r"segments\[0\]\.from: is missing"),
        ([{"from": 0}], r"segments\[0\]\.price_per_minute: is missing"),
        ([{**SEGMENT, "from": 1}], r"segments\[0\]\.from: "),
        ([{**SEGMENT, "from": 0}, {**SEGMENT, "from": 0}], r"segments\[1\]\.from: "),
        (
            [{**SEGMENT, "from": 0}, {**SEGMENT, "from": 9}, {**SEGMENT, "from": 5}],
            r"segments\[2\]\.from: ",
        ),
        ([{**SEGMENT, "from": 0, "until": 60}], r"segments\[0\]\.until: unknown key"),
    ],
)
def test_invalid_segments_are_refused_with_their_position(segments: Any, says: str) -> None:
    with pytest.raises(UsageError, match=rf"^t\.json: {says}"):
        parse({**GOOD, "segments": segments})


@pytest.mark.parametrize("key", ["currency", "segments"])
def test_a_key_that_is_missing_is_named(key: str) -> None:
    with pytest.raises(UsageError, match=rf"^t\.json: {key}: is missing\.$"):
        parse({name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize("key", ["digits", "Fee", "price", "", "a key", "\n", "\ud800", "[bold]", "k" * 5000])
def test_a_key_that_is_unknown_is_refused_and_can_be_printed(key: str) -> None:
    with pytest.raises(UsageError, match=r"^t\.json: .*: unknown key\.$") as caught:
        parse({**GOOD, key: 1})
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"fee": "1", "fee": "2"}', "fee: appears twice"),
        ('{"segments": [{"from": 0, "from": 0}]}', "from: appears twice"),
        ("", "is not JSON"),
        ("fee = 1", "is not JSON"),
        ('{"fee": "1"', "is not JSON"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("1.5", "must be a JSON object"),
        ("NaN", "must be a JSON object"),
        ('{"currency": "EUR", "segments": [], "fee": NaN}', "fee: "),
        ('{"currency": "EUR", "segments": [], "fee": -Infinity}', "fee: "),
        ('{"currency": "EUR", "segments": [], "short_call_seconds": ' + "9" * 6000 + "}", "short_call_seconds: "),
        ("[" * 60_000, "nested"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_such_object_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse(text)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.json can't be read: No such file"):
        read_tariff(str(tmp_path / "nowhere.json"))
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        read_tariff(str(tmp_path))
    with pytest.raises(UsageError, match="not a valid file name"):
        read_tariff("a\0b")
    with pytest.raises(UsageError, match="longer than 65536 bytes"):
        read_tariff("/dev/zero")
    latin = tmp_path / "latin.json"
    latin.write_bytes('{"currency": "é"}'.encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8 text"):
        read_tariff(str(latin))


# -- whatever is written: an answer or one sentence ---------------------------------------------------------------

numbers = st.one_of(
    st.integers(-10, 10**15),
    st.floats(),
    st.decimals(0, 100, places=3).map(str),
    st.decimals().map(str),
    st.from_regex(r"[0-9eE+._ -]{0,8}", fullmatch=True),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
segments = st.fixed_dictionaries(
    {"from": st.integers(0, 5000) | numbers, "price_per_minute": numbers},
    optional={"first": st.integers(0, 90) | anything, "step": st.integers(0, 90) | anything, "to": anything},
)
objects = st.fixed_dictionaries(
    {"currency": st.sampled_from(["EUR", "JPY", "TND"]), "segments": st.lists(segments, max_size=3)},
    optional={
        **dict.fromkeys(("fee", "commission", "vat", "recording_fee"), numbers | anything),
        "short_call_seconds": st.integers(0, 60) | anything,
        "commission_on_recording": st.booleans() | anything,
        "surcharge": anything,
    },
)
words = st.one_of(st.text(max_size=12), st.from_regex(r"[0-9.,eE-]{1,12}", fullmatch=True))


@settings(max_examples=300)
@given(data=st.one_of(objects, anything), recorded=st.booleans())
def test_whatever_object_is_written_it_is_priced_or_refused_in_one_sentence(
    data: Any, recorded: bool
) -> None:
    arguments = ["quote", "--tariff", "-", "--seconds", "0,0.5,61,3600.000001", "--json"]
    result = CliRunner().invoke(
        taxiphone, arguments + ["--recorded"] * recorded, input=json.dumps(data).encode()
    )
    if result.exception is None:
        assert len(json.loads(result.stdout)) == 4
    else:
        assert isinstance(result.exception, UsageError), result.exc_info
        assert "\n" not in str(result.exception)


@settings(max_examples=300)
@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_whatever_bytes_the_file_holds_they_are_refused_in_one_sentence(raw: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        parse_tariff(raw, "t.json")
    assert "\n" not in str(caught.value)


@settings(max_examples=300)
@given(
    option=st.sampled_from(["--seconds", "--credit", "--tariff", "--mode"]), word=words, as_json=st.booleans()
)
def test_whatever_is_written_on_the_command_line_ends_in_an_answer_or_a_sentence(
    option: str, word: str, as_json: bool
) -> None:
    arguments = ["quote", option, word] + ["--json"] * as_json
    if option != "--tariff":
        arguments += ["--tariff", "-"]
    if option not in {"--seconds", "--credit"}:
        arguments += ["--seconds", "60"]
    result = CliRunner().invoke(taxiphone, arguments, input=json.dumps(GOOD))
    if not isinstance(result.exception, UsageError):
        assert result.exit_code in {0, 2}, result.exc_info
        assert result.exception is None or isinstance(result.exception, SystemExit)
