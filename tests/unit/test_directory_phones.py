"""A consultant's phones and pauses, and the consultant of a client's last talk, on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from taxiphone.directory import consultants, dids, lookup
from taxiphone.errors import UsageError
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Call, Client, Consultant
from taxiphone.store.types import now

FIRST, SECOND, THIRD = "+33612345678", "+33698765432", "+33144556677"


def phones(house: Any) -> list[str]:
    with house.database.reading() as session:
        return lookup.phones(session.connection(), consultants.the_consultant(session, "101"))


def change(house: Any, **changes: Any) -> None:
    house.database.do(lambda session: consultants.set_consultant(session, house.settings, "101", **changes))


def test_the_first_phone_comes_first_and_the_further_ones_in_their_order(house: Any) -> None:
    house.consultant()
    assert phones(house) == [FIRST]
    change(house, more_phones=["01 44 55 66 77", SECOND])
    assert phones(house) == [FIRST, THIRD, SECOND]
    change(house, remove_phones=[THIRD], more_phones=[THIRD])
    assert phones(house) == [FIRST, SECOND, THIRD]


def test_where_the_first_phone_goes_the_next_one_is_the_first(house: Any) -> None:
    house.consultant()
    change(house, more_phones=[SECOND, THIRD])
    change(house, remove_phones=[FIRST])
    assert phones(house) == [SECOND, THIRD]
    change(house, phone=FIRST)
    assert phones(house) == [FIRST, THIRD]
    change(house, remove_phones=[THIRD], phone=THIRD)
    assert phones(house) == [THIRD]
    change(house, remove_phones=[THIRD], phone=FIRST)
    assert phones(house) == [FIRST]


def test_another_first_phone_may_be_a_further_one_that_is_taken_out(house: Any) -> None:
    house.consultant()
    change(house, more_phones=[SECOND, THIRD])
    change(house, remove_phones=[FIRST, THIRD], phone=THIRD)
    assert phones(house) == [THIRD, SECOND]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"more_phones": ["0612345678"]}, "already"),
        ({"more_phones": [THIRD, THIRD]}, "already"),
        ({"more_phones": ["+33199000000"]}, "a number of the platform"),
        ({"more_phones": ["+33199000001"]}, "a number of the platform"),
        ({"more_phones": ["+442071838750"]}, "dial_regions"),
        ({"more_phones": ["+33899123456"]}, "premium"),
        ({"more_phones": ["nobody"]}, "not a phone number"),
        ({"remove_phones": [THIRD]}, "not a phone of this consultant"),
        ({"remove_phones": [FIRST, SECOND]}, "needs at least one phone"),
        ({"phone": SECOND}, "already"),
        ({"more_phones": [f"+336110000{n:02}" for n in range(7)]}, "at most 8 phones"),
    ],
)
def test_invalid_phones_are_refused_and_nothing_changes(
    house: Any, changes: dict[str, Any], says: str
) -> None:
    house.consultant()
    house.database.do(lambda session: dids.add_number(session, house.settings, number="+33199000001"))
    change(house, more_phones=[SECOND])
    with pytest.raises(UsageError, match=says):
        change(house, name="Other", **changes)
    assert phones(house) == [FIRST, SECOND]
    with house.database.reading() as session:
        assert consultants.the_consultant(session, "101").name == "Anne"


def test_eight_phones_are_not_too_many(house: Any) -> None:
    house.consultant()
    change(house, more_phones=[f"+336110000{n:02}" for n in range(7)])
    assert len(phones(house)) == 8


def test_two_consultants_of_one_practice_share_a_phone(house: Any) -> None:
    house.consultant()
    house.consultant(code="102")
    change(house, more_phones=[SECOND])
    house.database.do(
        lambda session: consultants.set_consultant(session, house.settings, "102", more_phones=[SECOND])
    )
    assert phones(house) == [FIRST, SECOND]


def test_a_further_phone_can_not_become_the_platforms_number(house: Any) -> None:
    house.consultant()
    change(house, more_phones=[SECOND])
    with pytest.raises(UsageError, match="consultant Anne"):
        house.database.do(lambda session: dids.add_number(session, house.settings, number=SECOND))


def test_a_paused_consultant_takes_calls_again_when_the_pause_is_over(house: Any) -> None:
    consultant_id, at = house.consultant(), now()
    until = at + timedelta(minutes=60)
    house.database.do(lambda session: consultants.pause(session, consultant_id, until))
    with house.database.reading() as session:
        anne = session.get_one(Consultant, consultant_id)
    assert [
        consultants.takes_calls(anne, when) for when in (at, until - timedelta(microseconds=1), until)
    ] == [
        False,
        False,
        True,
    ]


def test_to_be_made_available_ends_the_pause_and_nothing_else_does(house: Any) -> None:
    consultant_id, at = house.consultant(), now()
    house.database.do(lambda session: consultants.pause(session, consultant_id, at + timedelta(hours=1)))

    def takes_calls() -> bool:
        with house.database.reading() as session:
            return consultants.takes_calls(session.get_one(Consultant, consultant_id), at)

    change(house, name="Anne D.")
    assert not takes_calls()
    change(house, available=False)
    assert not takes_calls()
    change(house, available=True)
    assert takes_calls()


def test_the_last_consultant_is_the_one_of_the_latest_call_that_came_to_a_talk(house: Any) -> None:
    client = house.client()
    anne, bruno = house.consultant(), house.consultant(code="102")

    def last(client_id: int = client) -> int | None:
        with house.database.reading() as session:
            found = consultants.last_consultant(session, session.get_one(Client, client_id))
            return None if found is None else found.id

    assert last() is None
    first, second, third = (house.call(client, whom, accept=False) for whom in (anne, bruno, anne))

    def arrange(session: Any) -> None:
        at = now()
        for minutes, call_id in ((3, first), (2, second), (1, third)):
            call = session.get_one(Call, call_id)
            call.arrived_at = at - timedelta(minutes=minutes)
            call.outcome = Outcome.NO_ANSWER if call_id == third else Outcome.TALKED

    house.database.do(arrange)
    assert last() == bruno
    assert last(house.client(code="7002")) is None
