"""Two transactions that change the directory at the same time, on PostgreSQL, and edits that are based on an old version."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from taxiphone.billing import holds
from taxiphone.directory import accounts, clients, consultants, dids, sign_in
from taxiphone.errors import AccountClosedError, OutdatedError, UsageError
from taxiphone.store.database import Database
from taxiphone.store.models import Call, Client, Consultant, Did

NUMBER, OTHER = "+33639980001", "+33639980002"
_WAITS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)

Work = Callable[[Session], Any]


def meanwhile(database: Database, first: Work, second: Work) -> Future[Any]:
    """Do `second` in a transaction that begins before the one of `first` is committed, and return what came of it."""
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as session:
            first(session)
            session.flush()
            doing = pool.submit(database.do, second)
            until = time.monotonic() + 10
            while not doing.done() and not database.read(
                lambda reading: reading.execute(_WAITS).scalar_one()
            ):
                assert time.monotonic() < until, "it neither ends nor waits for a lock"
                time.sleep(0.01)
        return doing


def add_client(house: Any, number: str = NUMBER) -> Work:
    return lambda session: clients.add_client(session, house.settings, name="Paul", phones=[number])


def add_did(house: Any, number: str = NUMBER) -> Work:
    return lambda session: dids.add_number(session, house.settings, number=number)


def add_consultant(house: Any, number: str = NUMBER, code: str | None = None) -> Work:
    return lambda session: consultants.add_consultant(
        session, house.settings, name="Anne", phone=number, price_per_minute=Decimal("1.55"), code=code
    )


# -- who a number belongs to ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "refusal"),
    [
        (add_client, add_did, "belongs to the client"),
        (add_did, add_client, "is a number of the platform"),
        (add_consultant, add_did, "is a phone of the consultant"),
        (add_did, add_consultant, "is a number of the platform"),
        (add_client, add_client, "already belongs to the client"),
        (add_did, add_did, "is already a number of the platform"),
    ],
)
def test_a_number_that_is_given_away_at_the_same_time_belongs_to_the_first(
    postgres_house: Any, first: Any, second: Any, refusal: str
) -> None:
    house = postgres_house
    done = meanwhile(house.database, first(house), second(house))
    with pytest.raises(UsageError, match=refusal):
        done.result()


def test_a_number_that_a_caller_adds_is_not_the_platforms_at_the_same_time(postgres_house: Any) -> None:
    house = postgres_house
    client = house.client()
    done = meanwhile(
        house.database,
        lambda session: sign_in.add_number(session, house.settings, client, NUMBER),
        add_did(house),
    )
    with pytest.raises(UsageError, match="belongs to the client"):
        done.result()


# -- edits ------------------------------------------------------------------------------------------------------------


def set_client(house: Any, **changes: Any) -> Work:
    return lambda session: clients.set_client(session, house.settings, "7001", **changes)


def set_consultant(house: Any, **changes: Any) -> Work:
    return lambda session: consultants.set_consultant(session, house.settings, "101", **changes)


def set_did(house: Any, **changes: Any) -> Work:
    return lambda session: dids.set_number(session, house.settings, OTHER, **changes)


@pytest.fixture
def people(house: Any) -> Any:
    house.client()
    house.consultant()
    house.database.do(add_did(house, OTHER))
    return house


@pytest.mark.parametrize(
    ("edit", "one", "another"),
    [
        (set_client, {"name": "Zoé"}, {"blocked": True}),
        (set_consultant, {"price_per_minute": Decimal("2.00")}, {"free_minutes": 5}),
        (set_did, {"language": "en"}, {"consultant_code": "101"}),
    ],
)
def test_an_edit_of_a_version_that_somebody_else_has_changed_is_refused(
    people: Any, edit: Any, one: dict[str, Any], another: dict[str, Any]
) -> None:
    seen = people.database.do(edit(people, **one)).version
    assert people.database.do(edit(people, expected_version=seen, **another)).version == seen + 1
    with pytest.raises(OutdatedError, match=rf"version {seen + 1}, not {seen}"):
        people.database.do(edit(people, expected_version=seen, **one))


def test_an_edit_that_is_refused_leaves_the_version(people: Any) -> None:
    with pytest.raises(UsageError):
        people.database.do(set_client(people, name=""))
    people.database.do(set_client(people, name="Zoé", expected_version=1))


def test_of_two_edits_at_once_neither_is_lost(postgres_house: Any) -> None:
    house = postgres_house
    house.consultant()
    done = meanwhile(
        house.database,
        set_consultant(house, more_phones=[NUMBER]),
        set_consultant(house, more_phones=[OTHER], price_per_minute=Decimal("2.00")),
    )
    anne = done.result()
    assert [each.number for each in anne.more_phones] == [NUMBER, OTHER]
    assert anne.version == 3


def test_of_two_edits_of_the_same_version_at_once_one_is_refused(postgres_house: Any) -> None:
    house = postgres_house
    house.client()
    done = meanwhile(
        house.database,
        set_client(house, name="Zoé", expected_version=1),
        set_client(house, blocked=True, expected_version=1),
    )
    with pytest.raises(OutdatedError):
        done.result()


def test_closing_an_account_is_an_edit(people: Any) -> None:
    def closed(session: Session) -> None:
        accounts.close(session, clients.the_client(session, people.settings, "7001"))

    people.database.do(closed)
    with pytest.raises(OutdatedError):
        people.database.do(set_client(people, name="Zoé", expected_version=1))


# -- what the database refuses ----------------------------------------------------------------------------------------


def test_a_code_that_another_transaction_has_taken_is_in_use(postgres_house: Any) -> None:
    house = postgres_house

    def quickly(session: Session) -> None:
        session.add(
            Consultant(code="105", name="B", phone=OTHER, language="fr", price_per_minute=Decimal("1.20"))
        )

    done = meanwhile(house.database, quickly, add_consultant(house, code="105"))
    with pytest.raises(UsageError, match="105 is already in use"):
        done.result()


def test_only_the_constraint_concerned_says_that_something_is_taken(people: Any) -> None:
    """A fault elsewhere in the transaction must not be taken for a number that somebody else has."""

    def faulty(session: Session) -> None:
        session.add(Client(code="7001", name="another", language="fr"))  # this code is taken, not the number
        with session.no_autoflush:
            session.add(Did(number=NUMBER, language="fr", consultant_id=None))
            clients.saving.flush(session, "the number was added at the same time", Did.number)

    with pytest.raises(IntegrityError):
        people.database.do(faulty)


# -- the account, and the call that begins ------------------------------------------------------------------------------


def close(house: Any) -> Work:
    return lambda session: accounts.close(session, clients.the_client(session, house.settings, "7001"))


def accept(house: Any, call_id: str) -> Work:
    return lambda session: holds.accept(session.connection(), house.settings, call_id)


def in_progress(house: Any) -> Work:
    """Return the work of a call that learns only now who its client is, as after a PIN."""
    call_id = house.call(house.client(), house.consultant(), accept=False)
    house.database.do(lambda session: session.execute(update(Call).values(client_id=None)))

    def signed_in(session: Session) -> None:
        session.execute(update(Call).values(client_id=1))
        accept(house, call_id)(session)

    return signed_in


def test_an_account_that_is_being_closed_accepts_no_call(postgres_house: Any) -> None:
    begin = in_progress(postgres_house)
    done = meanwhile(postgres_house.database, close(postgres_house), begin)
    with pytest.raises(AccountClosedError):
        done.result()
    assert postgres_house.balance("wallet", 1) == 10_000


def test_an_account_is_not_closed_while_a_call_of_it_is_being_accepted(postgres_house: Any) -> None:
    begin = in_progress(postgres_house)
    done = meanwhile(postgres_house.database, begin, close(postgres_house))
    with pytest.raises(UsageError, match="not finished and priced yet"):
        done.result()


def test_a_closed_account_holds_nothing_for_a_call_that_is_accepted_late(house: Any) -> None:
    begin = in_progress(house)
    house.database.do(close(house))
    with pytest.raises(AccountClosedError):
        house.database.do(begin)
    assert house.balance("wallet", 1) == 10_000
