"""The commands consultant, client and number: output for people and for programs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from taxiphone.cli import taxiphone
from taxiphone.errors import TaxiphoneError, UsageError

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command with separate settings and a separate database. A known failure is raised, as in `main`."""
    config = tmp_path / "taxiphone.toml"
    config.write_text('[platform]\ncli = "+33199000000"\n[trunk]\nhost = "127.0.0.1"\n')

    def run(*words: str) -> Result:
        result = CliRunner().invoke(taxiphone, ["--config", str(config), *words])
        if isinstance(result.exception, TaxiphoneError):
            raise result.exception
        return result

    return run


def printed(run: Run, *words: str) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def anne(run: Run) -> dict[str, Any]:
    words = ["consultant", "add", "Anne", "--phone", "0612345678", "--price", "1.55", "--code", "101"]
    made: dict[str, Any] = printed(
        run, *words, "--free-minutes", "10", "--package-price", "60", "--package-minutes", "60", "--recording"
    )
    return made


@pytest.fixture
def paul(run: Run) -> str:
    code: str = printed(run, "client", "add", "Paul", "--number", "0698765432", "--number", "0144556677")[
        "code"
    ]
    return code


def test_a_consultant_is_added_shown_and_listed(run: Run, anne: dict[str, Any]) -> None:
    assert anne == {
        "code": "101",
        "name": "Anne",
        "phone": "+33612345678",
        "phones": ["+33612345678"],
        "ring": "in-turn",
        "language": "fr",
        "currency": "EUR",
        "price_per_minute": "1.55",
        "free_minutes": 10,
        "package_price": "60.00",
        "package_minutes": 60,
        "recording": True,
        "commission": "0.30",
        "available": True,
        "paused_until": None,
        "numbers": [],
        "called_from": "+33199000000",
    }
    assert printed(run, "consultant", "show", "101") == anne
    assert printed(run, "consultant", "list") == [anne]
    assert "60.00 for 60 min" in run("consultant", "list").output


@pytest.mark.usefixtures("anne")
def test_show_says_first_which_number_calls(run: Run) -> None:
    first = run("consultant", "show", "101").output.splitlines()[0]
    assert "+33 1 99 00 00 00" in first
    assert "Save this number in the phone" in first


@pytest.mark.usefixtures("anne")
def test_set_changes_what_is_given(run: Run) -> None:
    changed = printed(run, "consultant", "set", "101", "--unavailable", "--no-package", "--no-recording")
    assert (changed["available"], changed["package_price"], changed["recording"]) == (False, None, False)
    assert changed["price_per_minute"] == "1.55"
    changed = printed(run, "consultant", "set", "101", "--commission", "0")
    assert changed["commission"] == "0.00"
    assert printed(run, "consultant", "set", "101", "--default-commission")["commission"] == "0.30"
    for words in ([], ["--no-package", "--package-price", "3"], ["--package-price", "3"]):
        with pytest.raises(UsageError):
            run("consultant", "set", "101", *words)


def test_a_top_up_without_a_key_prints_one_with_which_it_can_be_repeated(run: Run, paul: str) -> None:
    first = run("client", "top-up", paul, "20", "--json")
    made = json.loads(first.stdout)
    assert f"add: --key {made['key']}" in first.stderr
    assert printed(run, "client", "top-up", paul, "20", "--key", made["key"]) == made


def test_a_top_up_is_exact_and_happens_once_for_each_key(run: Run, paul: str) -> None:
    assert printed(run, "client", "top-up", paul, "20", "--key", "a")["balance"] == "20.00"
    assert printed(run, "client", "top-up", paul, "20.00", "--key", "a")["balance"] == "20.00"
    assert printed(run, "client", "top-up", "06 98 76 54 32", "0.1")["balance"] == "20.10"
    assert printed(run, "client", "top-up", paul, "0.1")["balance"] == "20.20"
    with pytest.raises(TaxiphoneError):
        run("client", "top-up", paul, "21", "--key", "a")
    assert printed(run, "client", "show", "+33144556677")["balance"] == "20.20"
    assert "20.20" in run("client", "list").output


@pytest.mark.parametrize("amount", ["20.005", "-5", "0"])
def test_an_invalid_amount_is_refused(run: Run, paul: str, amount: str) -> None:
    with pytest.raises(UsageError):
        run("client", "top-up", paul, amount)
    assert printed(run, "client", "show", paul)["balance"] == "0.00"


@pytest.mark.parametrize("amount", ["twenty", "1e9999", "NaN", "1,5", ""])
def test_an_invalid_amount_is_a_usage_error(run: Run, paul: str, amount: str) -> None:
    result = run("client", "top-up", paul, amount)
    assert result.exit_code == 2
    assert "is not a number such as" in result.output


def test_a_client_is_blocked_and_listed(run: Run, paul: str) -> None:
    assert printed(run, "client", "set", paul, "--block")["blocked"] is True
    changed = printed(
        run, "client", "set", paul, "--add-number", "0611111111", "--remove-number", "0698765432"
    )
    assert changed["numbers"] == ["+33144556677", "+33611111111"]
    assert [each["code"] for each in printed(run, "client", "list")] == [paul]


@pytest.mark.usefixtures("anne")
def test_numbers_are_added_assigned_and_listed(run: Run) -> None:
    made = printed(run, "number", "add", "+33199001234", "--consultant", "101")
    assert made == {"number": "+33199001234", "consultant": "101", "name": "Anne", "language": "fr"}
    assert printed(run, "number", "set", "0199001234", "--everybody")["consultant"] is None
    assert printed(run, "number", "set", "0199001234", "--consultant", "101", "--language", "en") == {
        **made,
        "language": "en",
    }
    assert len(printed(run, "number", "list")) == 1
    assert printed(run, "consultant", "show", "101")["numbers"] == ["+33199001234"]


def test_empty_lists_say_how_to_begin(run: Run) -> None:
    for group in ("consultant", "client", "number"):
        assert f"taxiphone {group} add" in run(group, "list").output
        assert printed(run, group, "list") == []


def test_every_help_text_is_understandable_alone(run: Run) -> None:
    assert "taxiphone consultant add" in run("consultant", "add", "--help").output
    assert "AMOUNT" in run("client", "top-up", "--help").output
    assert "enter a consultant's code" in run("number", "add", "--help").output
