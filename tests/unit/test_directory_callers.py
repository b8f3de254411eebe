"""Identifying the caller from the carrier's headers: what withholds a number and what doesn't."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from taxiphone.ari_app.call_record import CallRecord
from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.cli import taxiphone
from taxiphone.directory import callers, clients
from taxiphone.directory.callers import CallerHeaders
from taxiphone.settings import Settings
from taxiphone.settings_sections import Platform, Trunk
from taxiphone.store.database import Database

NUMBER = "+33612345678"
SETTINGS = Settings(platform=Platform(cli="+33199001200"), trunk=Trunk(host="127.0.0.1"))

# The headers as they come, and as the dialplan's filter leaves them.
FROM = f"Alex <sip:{NUMBER}@carrier.example>;tag=1"
ASSERTED = f"<sip:{NUMBER}@carrier.example>"


def number(sent: str = NUMBER, **said: str) -> str | None:
    found = callers.identify(
        SETTINGS, sent, CallerHeaders(**{name: value.lower() for name, value in said.items()})
    )
    assert (found.number is None) == (found.hidden is not None)
    return found.number


@pytest.mark.parametrize(
    "privacy",
    [
        "id",
        "ID",
        "user",
        "header",
        "id;critical",
        "critical; id",
        "header;user;session",
        "none;id",
        "full",
        "x",
    ],
)
def test_a_privacy_header_withholds_the_number(privacy: str) -> None:
    for headers in ({"sender": FROM, "asserted": ASSERTED}, {"sender": FROM}, {}):
        assert number(privacy=privacy, presentation="prohib_not_screened", **headers) is None
        assert number(privacy=privacy, presentation="allowed_not_screened", **headers) is None


@pytest.mark.parametrize(
    "privacy", ["", "none", "None", "off", "session", "critical", "history", "none;critical"]
)
def test_one_that_says_nothing_of_the_number_leaves_it_alone(privacy: str) -> None:
    # Asterisk prohibits all but "none".
    presentation = "prohib_not_screened" if privacy else "allowed_not_screened"
    assert number(privacy=privacy, presentation=presentation, sender=FROM, asserted=ASSERTED) == NUMBER


@pytest.mark.parametrize(
    "sender",
    [
        f"Anonymous <sip:{NUMBER}@carrier.example>;tag=1",
        "<sip:anonymous@anonymous.invalid>;tag=1",
        "Anonymous <sip:anonymous@anonymous.invalid>;tag=1",
        "sip:anonymous@carrier.example;tag=1",
        "<sip:%61nonymous@carrier.example>",
        "<sip:Anonymous@carrier.example:5060;user=phone>",
        "<sips:c8oqz84zk7z@anonymous.invalid>",
        "<sip:restricted@carrier.example>",
        "<sip:unavailable@carrier.example>",
        "<tel:anonymous>",
        "Restricted <sip:carrier.example>",
        "unavailable <sip:10@carrier.example>",
        "<sip:86282452253@carrier.example>",
        "<sip:+266696687@carrier.example>",
    ],
)
def test_an_anonymous_from_withholds_the_asserted_number(sender: str) -> None:
    said = CallerHeaders.from_arguments(["allowed", "", sender, ASSERTED, ""])
    assert callers.identify(SETTINGS, NUMBER, said).number is None


@pytest.mark.parametrize(
    "sender",
    [FROM, f"<sip:{NUMBER};cpc=ordinary@carrier.example>;tag=1", "Anna Nyms <sip:a@b>", "<tel:+33612345678>"],
)
def test_one_that_names_somebody_does_not(sender: str) -> None:
    assert number(sender=sender, asserted=ASSERTED) == NUMBER


@pytest.mark.parametrize(
    ("verstat", "known"),
    [
        ("TN-Validation-Passed", True),
        ("TN-Validation-Passed-A", True),
        ("No-TN-Validation", True),
        ("TN-Validation-Failed", False),
        ("tn-validation-failed-B", False),
        ("Failed", False),
        ("", False),
    ],
)
def test_a_number_that_the_carrier_could_not_verify_is_not_taken_for_a_clients(
    verstat: str, known: bool
) -> None:
    marked = f"<sip:{NUMBER};verstat={verstat}@carrier.example>"
    telephone = f"<tel:{NUMBER};verstat={verstat}>"
    wanted = NUMBER if known else None
    assert number(sender=FROM, asserted=marked) == wanted
    assert number(sender=FROM, asserted=telephone) == wanted
    assert number(sender=marked) == wanted
    assert number(sender=FROM, asserted=f"{ASSERTED} {marked}") == wanted


@pytest.mark.parametrize(
    ("header", "known"),
    [("full", False), ("uri", False), ("off", True), ("name", True)],
)
def test_a_remote_party_id_may_withhold_it_too(header: str, known: bool) -> None:
    found = number(sender=FROM, remote_party=f"<sip:{NUMBER}@h>;party=calling;privacy={header};screen=yes")
    assert found == (NUMBER if known else None)


@pytest.mark.parametrize("sent", ["", "anonymous", "unknown", "86282452253", "+7378742833", "687123456"])
def test_a_missing_or_ambiguous_number_and_the_keys_of_a_word_match_no_client(sent: str) -> None:
    assert number(sent, sender=FROM) is None


@pytest.mark.parametrize("told", [[], ["allowed"]])
def test_a_number_from_an_earlier_dialplan_without_its_privacy_is_not_trusted(
    told: list[str],
) -> None:
    assert callers.identify(SETTINGS, NUMBER, CallerHeaders.from_arguments(told)).number is None


def test_the_dialplans_arguments_may_be_empty_or_too_many() -> None:
    assert CallerHeaders.from_arguments([""] * 5) == CallerHeaders()
    assert CallerHeaders.from_arguments(["allowed", " ", "%41", "", "", "more"]) == CallerHeaders(
        "allowed", "", "a"
    )


async def test_the_row_of_a_call_has_no_hidden_number_and_says_why(tmp_path: Path) -> None:
    file = tmp_path / "taxiphone.toml"
    file.write_text('[platform]\ncli = "+33199001200"\n[trunk]\nhost = "127.0.0.1"\n', encoding="utf-8")
    settings = SETTINGS.model_copy(update={"file": file})
    database = Database(settings.database_url)
    database.create_if_new()
    database.do(lambda session: clients.add_client(session, settings, name="Alex", phones=[NUMBER]))
    record = CallRecord(settings, DatabaseWithTimeout(database), "261122-hidden")
    parties = await record.received(
        "channel-1", "+33199001234", callers.identify(settings, NUMBER, CallerHeaders(privacy="id"))
    )
    assert parties.client is None
    database.close()
    result = CliRunner().invoke(taxiphone, ["--config", str(file), "call", "show", "261122-hidden", "--json"])
    shown = json.loads(result.stdout)
    assert (shown["caller"], shown["caller_hidden"], shown["client"]) == (None, "Privacy: id", None)
    assert NUMBER not in result.output
