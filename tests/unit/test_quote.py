"""`taxiphone quote`: a price without a call, from a tariff file or a consultant's prices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from taxiphone.billing.metering.meter import Meter
from taxiphone.cli import taxiphone
from taxiphone.commands.console import App
from taxiphone.commands.quote import quote
from taxiphone.errors import TaxiphoneError, UsageError

# The tariff of a package: 60.00 for an hour, then 1.55 a minute.
FORFAIT: dict[str, Any] = {
    "currency": "EUR",
    "fee": "60.00",
    "segments": [
        {"from": 0, "price_per_minute": "0"},
        {"from": 3600, "price_per_minute": "1.55", "first": 1, "step": 1},
    ],
    "short_call_seconds": 30,
    "commission": "0.30",
    "commission_on_recording": True,
    "recording_fee": "5.00",
    "vat": "0.20",
}
LIBRE: dict[str, Any] = {"currency": "EUR", "segments": [{"from": 0, "price_per_minute": "1.55"}]}


def run(*arguments: str, app: App | None = None, stdin: str | None = None) -> Result:
    command, words = (taxiphone, ("quote", *arguments)) if app is None else (quote, arguments)
    result = CliRunner().invoke(command, words, obj=app, input=stdin)
    if isinstance(result.exception, TaxiphoneError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(tariff: Any) -> str:
        path = tmp_path / "tariff.json"
        path.write_text(tariff if isinstance(tariff, str) else json.dumps(tariff), encoding="utf-8")
        return str(path)

    return write


def test_a_quote_has_for_each_length_exactly_the_promised_keys(file: Any) -> None:
    result = run("--tariff", file(FORFAIT), "--seconds", "29,3661", "--recorded", "--json")
    assert json.loads(result.stdout) == [
        {
            "seconds": 29,
            "billed_seconds": 0,
            "lines": [],
            "total": "0.00",
            "commission": "0.00",
            "consultant": "0.00",
            "net": "0.00",
            "vat": "0.00",
        },
        {
            "seconds": 3661,
            "billed_seconds": 3661,
            "lines": [
                {"what": "fee", "seconds": 0, "amount": "60.00"},
                {"what": "included", "seconds": 3600, "amount": "0.00"},
                {"what": "talk", "seconds": 61, "amount": "1.58"},  # 61 x 1.55 / 60 = 1.5758
                {"what": "recording", "seconds": 0, "amount": "5.00"},
            ],
            "total": "66.58",
            "commission": "19.97",  # 19.974
            "consultant": "46.61",
            "net": "55.48",  # 66.58 / 1.2 = 55.4833
            "vat": "11.10",
        },
    ]


def test_a_length_keeps_its_digits_and_a_whole_one_is_a_whole_number(file: Any) -> None:
    shown = run("--tariff", file(LIBRE), "--seconds", "83.400001, 60,60.0,0.50,1E-7", "--json").stdout
    rows = json.loads(shown, parse_float=Decimal)
    assert [row["seconds"] for row in rows] == [
        Decimal("83.400001"),
        60,
        60,
        Decimal("0.50"),
        Decimal("0.0000001"),
    ]
    assert [type(row["seconds"]) for row in rows] == [Decimal, int, int, Decimal, Decimal]
    assert [row["billed_seconds"] for row in rows] == [84, 60, 60, 1, 1]


@pytest.mark.parametrize(
    ("currency", "total", "nothing"), [("EUR", "1.58", "0.00"), ("JPY", "2", "0"), ("TND", "1.576", "0.000")]
)
def test_amounts_have_the_currencys_decimals(file: Any, currency: str, total: str, nothing: str) -> None:
    rows = json.loads(
        run("--tariff", file({**LIBRE, "currency": currency}), "--seconds", "61,0", "--json").stdout
    )
    assert [row["total"] for row in rows] == [total, nothing]
    assert rows[0]["vat"] == nothing


@pytest.mark.parametrize(
    ("tariff", "credit", "seconds"),
    [
        (LIBRE, "1.55", 60),
        (LIBRE, "1.550", 60),
        (LIBRE, "1.54", 59),
        (LIBRE, "0.02", 0),
        (LIBRE, "0", 0),
        (FORFAIT, "59.99", 0),
        (FORFAIT, "60", 3600),
        (FORFAIT, "60.02", 3600),
        (FORFAIT, "60.03", 3601),
        ({**LIBRE, "segments": [{"from": 0, "price_per_minute": "0"}]}, "0", None),
    ],
)
def test_a_credit_is_answered_with_the_longest_talk_it_pays_for(
    file: Any, tariff: dict[str, Any], credit: str, seconds: int | None
) -> None:
    shown = json.loads(run("--tariff", file(tariff), "--credit", credit, "--json").stdout)
    assert shown == {"max_seconds": seconds}


def test_a_recording_takes_its_fee_from_the_credit_first(file: Any) -> None:
    assert json.loads(
        run("--tariff", file(FORFAIT), "--credit", "65", "--recorded", "--json").stdout
    ) == {"max_seconds": 3600}  # fmt: skip
    assert (
        "Not enough for any talk" in run("--tariff", file(FORFAIT), "--credit", "64.99", "--recorded").stdout
    )


def test_the_output_for_people_is_a_table_and_for_one_duration_every_step(file: Any) -> None:
    one = run("--tariff", file(FORFAIT), "--seconds", "3661").stdout
    assert "fee 60.00 + 3600 s included 0.00 + 61 s talk 1.58" in one
    assert "61 s x 1.55 / 60 = 1.575833..., rounded half up to 1.58" in one
    many = run("--tariff", file(FORFAIT), "--seconds", "10,3600").stdout
    assert "nothing is charged" in many
    assert "x 1.55" not in many
    assert "Enough for a talk of 774 s (12 min 54 s)" in run("--tariff", file(LIBRE), "--credit", "20").stdout
    free = {**LIBRE, "segments": [{"from": 0, "price_per_minute": "0"}]}
    assert "without limit" in run("--tariff", file(free), "--credit", "20").stdout


def test_the_file_may_come_from_standard_input_and_may_begin_with_a_byte_order_mark(file: Any) -> None:
    assert (
        '"total": "1.55"' in run("--tariff", "-", "--seconds", "60", "--json", stdin=json.dumps(LIBRE)).stdout
    )
    assert (
        '"total": "1.55"'
        in run("--tariff", file("\ufeff" + json.dumps(LIBRE)), "--seconds", "60", "--json").stdout
    )


def test_neither_settings_nor_a_database_are_needed_or_created(tmp_path: Path) -> None:
    (tmp_path / "tariff.json").write_text(json.dumps(FORFAIT))
    environment = {key: value for key, value in os.environ.items() if key != "TAXIPHONE_CONFIG"}
    words = [
        sys.executable,
        "-m",
        "taxiphone",
        "--config",
        "nowhere.toml",
        "quote",
        "--tariff",
        "tariff.json",
    ]
    done = subprocess.run(
        [*words, "--seconds", "3600", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)[0]["total"] == "60.00"
    assert [path.name for path in tmp_path.iterdir()] == ["tariff.json"]


def test_malformed_input_gives_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "tariff.json").write_text(json.dumps({**FORFAIT, "fee": "-1"}))
    words = [sys.executable, "-m", "taxiphone", "quote", "--tariff", "tariff.json", "--seconds", "3600"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == "taxiphone: tariff.json: fee: '-1' is not a number from 0 on, such as 1.55."


# -- what can't be asked ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seconds",
    ["", ",", "60,", "-1", "1e3000", "1_0", "NaN", "Infinity", "١٢", "a minute", "60;70", "0x10", "1" * 13, "9e999"],
)  # fmt: skip
def test_seconds_that_are_no_numbers_from_0_on_are_refused_by_name(file: Any, seconds: str) -> None:
    with pytest.raises(UsageError, match=r"^--seconds: .*\.$"):
        run("--tariff", file(LIBRE), "--seconds", seconds)


@pytest.mark.parametrize("credit", ["", "-1", "1.555", "twenty", "NaN", "1,55", "1e400", "1" * 13])
def test_a_credit_that_is_no_amount_of_the_currency_is_refused_by_name(file: Any, credit: str) -> None:
    with pytest.raises(UsageError, match=r"^--credit: .*\.$"):
        run("--tariff", file(LIBRE), "--credit", credit)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--tariff", "FILE"),
        ("--seconds", "60"),
        ("--tariff", "FILE", "--consultant", "101", "--seconds", "60"),
        ("--tariff", "FILE", "--seconds", "60", "--credit", "20"),
        ("--tariff", "FILE", "--seconds", "60", "--mode", "package"),
        ("--tariff", "FILE", "--seconds", "60", "--client", "7001"),
    ],
)
def test_contradictory_settings_are_refused(file: Any, arguments: tuple[str, ...]) -> None:
    path = file(LIBRE)
    with pytest.raises(UsageError):
        run(*(path if word == "FILE" else word for word in arguments))


# -- by a consultant's prices ---------------------------------------------------------------------------------------


@pytest.fixture
def app(house: Any) -> App:
    return house.app


def total(app: App, *arguments: str) -> str:
    rows = json.loads(run("--consultant", "101", *arguments, "--json", app=app).stdout)
    found: str = rows[0]["total"]
    return found


def test_a_consultants_price_is_quoted_by_the_minute_and_as_a_package(app: App, house: Any) -> None:
    house.consultant(package_price=Decimal(60), package_minutes=60, recording_allowed=True)
    assert total(app, "--seconds", "61") == "1.58"
    assert total(app, "--seconds", "61", "--mode", "per_minute") == "1.58"
    assert total(app, "--seconds", "3660", "--mode", "package", "--recorded") == "66.55"
    longest = run("--consultant", "101", "--credit", "20", "--json", app=app).stdout
    assert json.loads(longest) == {"max_seconds": 774}


def test_free_minutes_are_quoted_to_a_new_client_and_not_to_one_who_had_them(app: App, house: Any) -> None:
    client, consultant = house.client(), house.consultant(free_minutes=1)
    assert total(app, "--seconds", "120") == "1.55"
    assert total(app, "--seconds", "120", "--client", "7001") == "1.55"
    call_id = house.call(client, consultant)
    house.write(*house.talk(call_id, "40"))
    Meter(house.settings, house.database).read_once()
    assert total(app, "--seconds", "120", "--client", "7001") == "3.10"
    assert total(app, "--seconds", "120") == "1.55"


def test_a_consultant_or_client_who_is_not_there_and_what_is_not_offered_are_refused(
    app: App, house: Any
) -> None:
    house.consultant()
    for arguments, says in (
        (("--consultant", "999"), "no consultant"),
        (("--consultant", "101", "--client", "+33600000000"), "no client"),
        (("--consultant", "101", "--mode", "package"), "no package"),
        (("--consultant", "101", "--recorded"), "does not allow recordings"),
    ):
        with pytest.raises(UsageError, match=says):
            run(*arguments, "--seconds", "60", app=app)
    assert run("--consultant", "101", "--mode", "free", "--seconds", "60", app=app).exit_code == 2
