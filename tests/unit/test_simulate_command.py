"""`taxiphone call simulate` runs a whole call on a copy of the directory and changes nothing real."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from taxiphone.cli import taxiphone
from taxiphone.errors import TaxiphoneError, UsageError
from taxiphone.store.database import Database
from taxiphone.store.models import Account, Call, Receipt

TALK = """
client hears mode-choice: press 1
client hears recording-choice: press 2
consultant rings: answer
consultant hears accept-menu: press 1
talk 75: client hangs up
"""
OWN = "+33199001234"


@pytest.fixture(params=["sqlite", "postgresql"])
def platform(request, tmp_path, monkeypatch):
    """A platform with settings and a database: `platform(*words, script=...)` runs the command."""
    url = f"sqlite:///{tmp_path}/var/taxiphone.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    config = tmp_path / "taxiphone.toml"
    config.write_text(
        '[platform]\ncli = "+33199000000"\nlanguage = "en"\n[trunk]\nhost = "127.0.0.1"\n'
        f'[database]\nurl = "{url}"\n'
    )
    config.chmod(0o600)
    monkeypatch.setenv("TAXIPHONE_CONFIG", str(config))
    return url


def run(*words, script=None):
    result = CliRunner().invoke(taxiphone, words, input=script)
    if isinstance(result.exception, TaxiphoneError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def simulated(script, *words):
    result = run("call", "simulate", "--script", "-", "--json", *words, script=script)
    return json.loads(result.output), result.exit_code


def test_a_call_runs_on_a_copy_and_leaves_the_platforms_database_unchanged(platform):
    run("consultant", "add", "Anne", "--phone", "0612345678", "--price", "2.00", "--code", "101")
    run("number", "add", OWN, "--consultant", "101")
    client = json.loads(run("client", "add", "Paul", "--number", "0698765432", "--json").output)["code"]
    run("client", "top-up", client, "50")
    found, code = simulated(TALK, "--client", client, "--number", OWN)
    (call,) = found["calls"]
    assert (call["outcome"], call["receipt"]["total"], call["receipt"]["billed_seconds"]) == (
        "talked",
        "2.50",
        75,
    )
    assert code == 1
    assert [missed["prompt"] for missed in found["never_due"]] == ["mode-choice", "recording-choice"]
    database = Database(platform)
    counted = [
        database.read(lambda session, table=table: session.scalar(select(func.count()).select_from(table)))
        for table in (Call, Receipt)
    ]
    wallet = database.read(
        lambda session: session.scalar(select(Account.balance).where(Account.kind == "wallet"))
    )
    database.close()
    assert (counted, wallet) == ([0, 0], 5000)


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without settings and without a database."""
    monkeypatch.delenv("TAXIPHONE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nowhere")
def test_without_a_database_a_made_up_cast_plays_and_the_receipt_is_shown():
    result = run("call", "simulate", "--number", OWN, "--script", "-", script=TALK)
    assert result.exit_code == 0, result.output
    assert "“To pay by the minute, press 1." in result.output
    assert "Outcome: talked" in result.output
    assert "€1.94" in result.output


@pytest.mark.usefixtures("nowhere")
def test_a_hidden_caller_without_a_pin_is_refused_and_charged_nothing():
    found, code = simulated("", "--hidden")
    assert (found["calls"][0]["outcome"], found["calls"][0]["receipt"], code) == ("unknown_caller", None, 0)


@pytest.mark.usefixtures("nowhere")
def test_the_language_can_be_chosen():
    found, _ = simulated("", "--language", "fr")
    assert found["events"][1]["text"].startswith("Bonjour")


@pytest.mark.usefixtures("nowhere")
def test_a_dropped_consultation_is_continued_by_the_next_call():
    cut = TALK.replace("client hangs up", "client's line drops")
    again = "client calls again after 60\nclient hears resume-offer: press 1\n"
    rest = "consultant rings: answer\nconsultant hears accept-menu: press 1\ntalk 45: consultant hangs up\n"
    found, code = simulated(cut + again + rest, "--number", OWN)
    first, second = found["calls"]
    assert [call["outcome"] for call in (first, second)] == ["talked", "talked"]
    assert first["receipt"]["total"] == "1.94"
    assert second["receipt"]["total"] == "1.16", "120 s cost 3.10, of which 1.94 are paid"
    assert code == 0


@pytest.mark.usefixtures("nowhere")
def test_two_ways_of_saying_who_calls_are_refused():
    with pytest.raises(UsageError, match="only one of"):
        run("call", "simulate", "--hidden", "--caller", "0612345678", "--script", "-", script="")


@pytest.mark.usefixtures("nowhere")
def test_without_a_terminal_a_script_is_asked_for():
    with pytest.raises(UsageError, match="no terminal to ask for keys"):
        run("call", "simulate")


@pytest.mark.usefixtures("nowhere")
def test_a_line_that_can_not_be_parsed_is_named():
    with pytest.raises(UsageError, match="line 2 of the script"):
        run("call", "simulate", "--script", "-", script="\nclient sings\n")
