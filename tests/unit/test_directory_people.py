"""Clients and consultants: what is stored and found, and that a refused change leaves nothing behind."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from taxiphone.directory import clients, consultants, dids
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.settings_sections import Platform, Trunk
from taxiphone.store.database import Database
from taxiphone.store.models import Base, Client, ClientNumber, Consultant, Did

CLI = "+33199000000"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        platform=Platform(cli=CLI), trunk=Trunk(host="127.0.0.1"), file=tmp_path / "taxiphone.toml"
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database_url)
    database.create_if_new()
    yield database
    database.close()


@pytest.fixture
def anne(settings: Settings, database: Database) -> Consultant:
    return database.do(
        lambda session: consultants.add_consultant(
            session, settings, name="Anne", phone="+33612345678", price_per_minute=Decimal("1.55"), code="101"
        )
    )


def add(database: Database, settings: Settings, **fields: Any) -> Consultant:
    whole = {"name": "Bruno", "phone": "0612340000", "price_per_minute": Decimal("1.2"), **fields}
    return database.do(lambda session: consultants.add_consultant(session, settings, **whole))


def count(database: Database, table: type[Base]) -> int | None:
    return database.do(lambda session: session.scalar(select(func.count()).select_from(table)))


@pytest.mark.usefixtures("anne")
def test_a_consultant_is_found_by_code_and_keeps_the_exact_price(database: Database) -> None:
    with database.transaction() as session:
        found = consultants.consultant_by_code(session, "101")
        assert (found.name, found.phone, str(found.price_per_minute)) == ("Anne", "+33612345678", "1.55")
        assert consultants.consultant_by_code(session, "102") is None


def test_codes_are_generated_if_none_is_given(database: Database, settings: Settings) -> None:
    codes = {add(database, settings, phone=f"06123400{n:02}").code for n in range(10)}
    assert len(codes) == 10
    assert all(len(code) == 4 and code.isdigit() for code in codes)


def test_prices_keep_the_currencys_decimals(database: Database, settings: Settings) -> None:
    made = add(
        database, settings, price_per_minute=Decimal(2), package_price=Decimal("60.0"), package_minutes=60
    )
    assert (str(made.price_per_minute), str(made.package_price)) == ("2.00", "60.00")
    assert str(add(database, settings, price_per_minute=Decimal("0.1234")).price_per_minute) == "0.1234"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "  "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a" * 121}, "name"),
        ({"phone": "nobody"}, "not a phone number"),
        ({"phone": "+442071838750"}, "dial_regions"),
        ({"phone": "+33899123456"}, "premium"),
        ({"phone": CLI}, "a number of the platform"),
        ({"phone": "0199000001"}, "a number of the platform"),
        ({"price_per_minute": Decimal(-1)}, "at least 0"),
        ({"price_per_minute": Decimal("1.55555")}, "4 decimals"),
        ({"price_per_minute": Decimal("NaN")}, "price"),
        ({"price_per_minute": Decimal("1e9")}, "price"),
        ({"package_price": Decimal(60)}, "give both"),
        ({"package_minutes": 60}, "give both"),
        ({"package_price": Decimal("60.005"), "package_minutes": 60}, "2 decimals"),
        ({"package_price": Decimal(60), "package_minutes": 0}, "minutes"),
        ({"free_minutes": -1}, "free minutes"),
        ({"code": "1"}, "digits"),
        ({"code": "123456789"}, "digits"),
        ({"code": "12a"}, "digits"),
        ({"code": "١٢"}, "digits"),
        ({"code": "101"}, "already"),
        ({"commission": Decimal("1.5")}, "0 to 1"),
        ({"language": "tlh"}, "language"),
    ],
)
@pytest.mark.usefixtures("anne")
def test_an_invalid_consultant_is_refused_completely(
    database: Database, settings: Settings, fields: dict[str, Any], says: str
) -> None:
    database.do(lambda session: dids.add_number(session, settings, number="0199000001"))
    with pytest.raises(UsageError, match=says):
        add(database, settings, **fields)
    assert count(database, Consultant) == 1


@pytest.mark.usefixtures("anne")
def test_a_change_changes_only_what_is_given(database: Database, settings: Settings) -> None:
    changed = database.do(
        lambda session: consultants.set_consultant(
            session, settings, "101", package_price=Decimal(60), package_minutes=60, available=False
        )
    )
    assert (changed.name, str(changed.package_price), changed.available) == ("Anne", "60.00", False)
    changed = database.do(
        lambda session: consultants.set_consultant(
            session, settings, "101", package_price=None, package_minutes=None, commission=Decimal("0.2")
        )
    )
    assert (changed.package_price, str(changed.commission), changed.available) == (None, "0.20", False)


@pytest.mark.usefixtures("anne")
def test_an_invalid_change_changes_nothing(database: Database, settings: Settings) -> None:
    with pytest.raises(UsageError, match="at least 0"):
        database.do(
            lambda session: consultants.set_consultant(
                session, settings, "101", name="Other", price_per_minute=Decimal(-1)
            )
        )
    with pytest.raises(UsageError, match="no consultant"):
        database.do(lambda session: consultants.set_consultant(session, settings, "999", name="Other"))
    assert database.do(lambda session: consultants.consultant_by_code(session, "101")).name == "Anne"


def test_a_client_is_found_by_each_number_and_by_code(database: Database, settings: Settings) -> None:
    paul = database.do(
        lambda session: clients.add_client(
            session, settings, name="Paul", phones=["0698765432", "0144556677"]
        )
    )
    assert len(paul.code) == 8
    with database.transaction() as session:
        assert clients.client_calling(session, "+33698765432").id == paul.id
        assert clients.client_calling(session, "+33144556677").id == paul.id
        assert clients.client_calling(session, "+33144556678") is None
        assert clients.client_calling(session, None) is None
        assert clients.client_by(session, settings, paul.code).id == paul.id
        assert clients.client_by(session, settings, "06 98 76 54 32").id == paul.id
        assert clients.client_by(session, settings, "nobody") is None


@pytest.mark.parametrize("phone", ["0698765432", CLI, "nonsense"])
def test_a_number_belongs_to_one_client_only_and_never_to_the_platform(
    database: Database, settings: Settings, phone: str
) -> None:
    database.do(lambda session: clients.add_client(session, settings, name="Paul", phones=["0698765432"]))
    with pytest.raises(UsageError):
        database.do(
            lambda session: clients.add_client(session, settings, name="Eve", phones=["0611111111", phone])
        )
    assert (count(database, Client), count(database, ClientNumber)) == (1, 1)


def test_a_client_is_blocked_and_gets_another_number(database: Database, settings: Settings) -> None:
    paul = database.do(
        lambda session: clients.add_client(session, settings, name="Paul", phones=["0698765432"])
    )
    database.do(
        lambda session: clients.set_client(
            session,
            settings,
            paul.code,
            blocked=True,
            add_phones=["0144556677", "0144556677"],
            remove_phones=["0698765432"],
        )
    )
    with database.transaction() as session:
        assert clients.client_calling(session, "+33698765432") is None
        assert clients.client_calling(session, "+33144556677").blocked


def test_a_number_belongs_to_one_consultant_or_is_shared(
    database: Database, settings: Settings, anne: Consultant
) -> None:
    with database.transaction() as session:
        dids.add_number(session, settings, number="0199000001", consultant_code="101")
        dids.add_number(session, settings, number="0199000002", language="en")
    with database.transaction() as session:
        own, common = dids.did(session, "+33199000001"), dids.did(session, "+33199000002")
        assert (own.consultant.id, own.language) == (anne.id, "fr")
        assert (common.consultant, common.language) == (None, "en")
        assert dids.did(session, "+33199000003") is None
        assert dids.did(session, None) is None
        dids.set_number(session, settings, "0199000002", consultant_code="101")
        dids.set_number(session, settings, "0199000001", everybody=True)
    with database.transaction() as session:
        assert dids.did(session, "+33199000002").consultant_id == anne.id
        assert dids.did(session, "+33199000001").consultant_id is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"number": "0199000001"}, "already"),
        ({"number": "0612345678"}, "consultant Anne"),
        ({"number": "0698765432"}, "client Paul"),
        ({"number": "0199000002", "consultant_code": "999"}, "no consultant"),
        ({"number": "0199000002", "language": "tlh"}, "language"),
        ({"number": "12"}, "."),
    ],
)
@pytest.mark.usefixtures("anne")
def test_an_invalid_platform_number_is_refused(
    database: Database, settings: Settings, fields: dict[str, Any], says: str
) -> None:
    with database.transaction() as session:
        dids.add_number(session, settings, number="0199000001")
        clients.add_client(session, settings, name="Paul", phones=["0698765432"])
    with pytest.raises(UsageError, match=says):
        database.do(lambda session: dids.add_number(session, settings, **fields))
    assert count(database, Did) == 1
