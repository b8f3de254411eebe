"""Which numbers may be dialled, by region, type and prefix: when a phone is added, and in `doctor`."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from taxiphone import settings as settings_file
from taxiphone.cli import taxiphone
from taxiphone.directory import clients, consultants, dialling
from taxiphone.errors import UsageError
from taxiphone.server.checks import check_directory
from taxiphone.settings_sections import Platform
from taxiphone.store.models import ClientNumber, Consultant

FRENCH, AMERICAN, CANADIAN, BRITISH = "+33199001200", "+12125550100", "+14165550100", "+442079460100"


def refused(number: str, cli: str = FRENCH, **settings: Any) -> str | None:
    return dialling.refusal(number, Platform(cli=cli, **settings))


@pytest.mark.parametrize(
    ("number", "cli"),
    [
        ("+33612345678", FRENCH),
        ("+33639981234", FRENCH),
        ("+33199001234", FRENCH),
        ("+12125550123", AMERICAN),
        ("+14165550123", CANADIAN),
        ("+442079460123", BRITISH),
        ("+447700900123", BRITISH),
    ],
)
def test_fixed_and_mobile_lines_of_the_platforms_own_country_may_be_rung(number: str, cli: str) -> None:
    assert refused(number, cli) is None


COSTLY = [
    ("+33826123456", FRENCH, "+33", "shared-cost"),
    ("+33899123456", FRENCH, "+33", "premium-rate"),
    ("+33806123456", FRENCH, "+33", "universal access"),
    ("+33800123456", FRENCH, "+33", "toll-free"),
    ("+33968123456", FRENCH, "+33", "VoIP"),
    ("+33112", FRENCH, "+33", "E.164|short"),
    ("+333949", FRENCH, "+33", "E.164|short"),
    ("+33118218", FRENCH, "+33", "E.164|short"),
    ("+18765551234", AMERICAN, "+1", "JM"),
    ("+18095551234", AMERICAN, "+1", "DO"),
    ("+19005551234", AMERICAN, "+1", "premium-rate"),
    ("+15005550006", AMERICAN, "+1", "personal"),
    ("+14165550123", AMERICAN, "+1", "CA"),
    ("+12125550123", CANADIAN, "+1", "US"),
    ("+447012345678", BRITISH, "+44", "personal"),
    ("+441534123456", BRITISH, "+44", "JE"),
    ("+447911123456", BRITISH, "+44", "GG"),
    ("+441481256789", BRITISH, "+44", "GG"),
    ("+77012345678", "+79161234567", "+7", "KZ"),
    ("+8821612345678", FRENCH, "+33", "VoIP"),
    ("+881612345678", FRENCH, "+33", "001|dial_prefixes"),
    ("+49110", "+493012345678", "+49", "short"),
]


@pytest.mark.parametrize(("number", "cli", "prefix", "says"), COSTLY)
def test_costly_numbers_are_refused_by_default_and_under_a_bare_prefix(
    number: str, cli: str, prefix: str, says: str
) -> None:
    for settings in ({}, {"dial_prefixes": [prefix]}):
        sentence = refused(number, cli, **settings)
        assert sentence is not None
        assert any(each in sentence for each in says.split("|")), sentence


@pytest.mark.parametrize(
    "number",
    ["0612345678", "+33", "+33612345678&PJSIP/x", "+33 612345678", "+33612345678@trunk", "", "112", "+112"],
)
def test_an_unclear_number_is_refused(number: str) -> None:
    assert refused(number, dial_types=["fixed", "mobile", "premium"]) is not None


def test_a_type_is_rung_where_it_is_named() -> None:
    assert refused("+33968123456", dial_types=["fixed", "mobile", "voip"]) is None
    assert refused("+33826123456", dial_types=["shared-cost"]) is None
    assert refused("+33612345678", dial_types=["shared-cost"]) is not None


def test_regions_with_the_same_code_are_distinguished_if_they_are_named() -> None:
    assert refused("+14165550123", AMERICAN, dial_regions=["US", "CA"]) is None
    assert refused("+18765551234", AMERICAN, dial_regions=["US", "CA"]) is not None
    assert refused("+441534123456", BRITISH, dial_regions=["JE"]) is None
    assert refused("+33612345678", dial_regions=["BE"]) is not None


def test_a_prefix_narrows_the_regions_down_and_a_long_one_speaks_for_itself() -> None:
    assert refused("+33612345678", dial_regions=["FR"], dial_prefixes=["+336"]) is None
    assert refused("+33199001234", dial_regions=["FR"], dial_prefixes=["+336"]) is not None
    assert refused("+18765551234", AMERICAN, dial_prefixes=["+1876"]) is None
    assert refused("+18765551234", AMERICAN, dial_regions=["US"], dial_prefixes=["+1876"]) is not None
    # A settings file of before: a country other than the platform's own.
    assert refused("+442079460123", dial_prefixes=["+33", "+44"]) is None
    assert refused("+441534123456", dial_prefixes=["+33", "+44"]) is not None


@pytest.mark.parametrize(("number", "says"), [("+33826123456", "shared-cost"), ("+442071838750", "GB")])
def test_a_consultants_phone_that_may_not_be_rung_is_not_added(house: Any, number: str, says: str) -> None:
    house.consultant()
    for change in ({"phone": number}, {"more_phones": [number]}):
        with pytest.raises(UsageError, match=rf"may not be dialled: it is .*{says}"):
            house.database.do(
                lambda session, change=change: consultants.set_consultant(
                    session, house.settings, "101", **change
                )
            )


def test_doctor_names_a_phone_that_is_not_rung_any_more(house: Any) -> None:
    consultant = house.consultant()

    def findings() -> list[Any]:
        return list(house.database.read(lambda session: check_directory.check(session, house.settings)))

    assert {each.ok for each in findings()} == {True}

    def arrange(session: Any) -> None:
        session.get_one(Consultant, consultant).phone = "+33826123456"

    house.database.do(arrange)
    [found] = [each for each in findings() if not each.ok]
    assert found.ok is False
    assert "+33826123456 of consultant 101 is never dialled: it is a shared-cost number" in found.what


def test_doctor_names_the_number_of_a_client_that_every_hidden_caller_has(house: Any) -> None:
    client = house.client()

    def arrange(session: Any) -> None:
        for number in ("+86282452253", "+33266696687", "+11111111111", "+33612345678"):
            session.add(ClientNumber(number=number, client_id=client))

    house.database.do(arrange)
    house.settings = house.settings.model_copy(update={"platform": Platform(cli=FRENCH)})

    def wrong() -> list[Any]:
        found = house.database.read(lambda session: check_directory.check(session, house.settings))
        return sorted((each for each in found if not each.ok), key=lambda each: each.ok is None)

    certain, *asked = wrong()
    assert [certain.ok, *(each.ok for each in asked)] == [False, None, None]
    assert "taxiphone client set 7001 --remove-number +86282452253" in certain.advice
    assert [
        number in each.what for each, number in zip(asked, ("+11111111111", "+33266696687"), strict=True)
    ] == [True] * 2
    house.database.do(
        lambda session: clients.set_client(session, house.settings, "7001", remove_phones=["+86282452253"])
    )
    assert [each.ok for each in wrong()] == [None, None]


@pytest.mark.parametrize("typed", ["86282452253", "+86282452253", "+8628 2452253", "266696687", "7378742833"])
def test_the_keys_of_a_word_are_not_added_to_a_client(house: Any, typed: str) -> None:
    house.client()
    with pytest.raises(UsageError, match=r"withheld number.*client pin"):
        house.database.do(
            lambda session: clients.set_client(session, house.settings, "7001", add_phones=[typed])
        )


@pytest.mark.parametrize(
    ("cli", "region", "refused_there"),
    [
        (AMERICAN, "US", CANADIAN),
        (CANADIAN, "CA", AMERICAN),
        (BRITISH, "GB", "+441534123456"),
        (FRENCH, "FR", BRITISH),
    ],
)
def test_init_writes_the_region_and_not_the_country_code(
    tmp_path: Path, cli: str, region: str, refused_there: str
) -> None:
    file = tmp_path / "taxiphone.toml"
    result = CliRunner().invoke(taxiphone, ["init", str(file), "--cli", cli, "--trunk", "192.0.2.10"])
    assert result.exit_code == 0, result.output
    assert f'\ndial_regions = ["{region}"]\n' in file.read_text(encoding="utf-8")
    platform = settings_file.load(file).platform
    assert dialling.refusal(cli, platform) is None
    assert dialling.refusal(refused_there, platform) is not None
