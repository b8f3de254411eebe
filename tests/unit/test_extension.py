"""A talk is extended by what its client can pay now; what was held for the extension is charged and re-rated like the rest."""

from __future__ import annotations

from typing import Any

import pytest

from taxiphone.billing import holds
from taxiphone.billing.holds import Accepted, EndsBy
from taxiphone.billing.ledger import postings
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.rerating import rerate
from taxiphone.store.calls import Status
from taxiphone.store.models import Call, Client

MINUTE = 155


def extend(house: Any, call_id: str) -> Accepted | None:
    found: Accepted | None = house.database.do(
        lambda session: holds.extend(session.connection(), house.settings, call_id)
    )
    return found


def pay_in(house: Any, minutes: int, key: str) -> None:
    house.database.do(lambda session: postings.top_up(session, 1, minutes * MINUTE, "EUR", key))


@pytest.fixture
def call_id(house: Any) -> str:
    """Return a talk of a client with credit for three minutes and a cent."""
    made: str = house.call(house.client(3 * MINUTE + 1), house.consultant())
    return made


def test_without_more_credit_nothing_changes(house: Any, call_id: str) -> None:
    before = house.balance("hold", call_id)
    for _ in range(2):
        accepted = extend(house, call_id)
        assert accepted is not None
        assert (accepted.max_seconds, accepted.ends_by) == (180, EndsBy.CREDIT)
    assert house.balance("hold", call_id) == before == 3 * MINUTE


def test_more_credit_is_held_once_and_lasts_longer(house: Any, call_id: str) -> None:
    pay_in(house, 2, "a")
    for _ in range(2):
        accepted = extend(house, call_id)
        assert accepted is not None
        assert accepted.max_seconds == 300
    assert house.balance("hold", call_id) == 5 * MINUTE
    pay_in(house, 1_000, "b")
    accepted = extend(house, call_id)
    assert accepted is not None
    assert (accepted.max_seconds, accepted.ends_by) == (180 * 60, EndsBy.LONGEST)
    assert house.problems() == []


def test_the_daily_limit_bounds_the_extension_until_it_is_raised(house: Any, call_id: str) -> None:
    def limit(minor: int) -> None:
        def work(session: Any) -> None:
            session.get_one(Client, 1).daily_limit = minor

        house.database.do(work)

    limit(4 * MINUTE)
    pay_in(house, 10, "a")
    accepted = extend(house, call_id)
    assert accepted is not None
    assert (accepted.max_seconds, accepted.ends_by) == (240, EndsBy.LIMIT)
    limit(5 * MINUTE)
    accepted = extend(house, call_id)
    assert accepted is not None
    assert accepted.max_seconds == 300


def test_an_extended_talk_is_charged_whole_and_re_rated_to_the_same_price(house: Any, call_id: str) -> None:
    pay_in(house, 2, "a")
    extend(house, call_id)
    house.write(*house.talk(call_id, "290"))
    Meter(house.settings, house.database).read_once()
    call = house.get(call_id)
    assert (call.status, call.billed_seconds, call.receipt.total) == (Status.RATED, 290, 749)
    assert house.balance("hold", call_id) == 0
    assert house.balance("wallet", 1) == 5 * MINUTE + 1 - 749
    again = house.database.do(lambda session: rerate(session, session.get_one(Call, call_id)))
    assert not again.changed
    assert house.problems() == []


def test_a_talk_that_is_over_is_not_extended(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id, "60"))
    Meter(house.settings, house.database).read_once()
    pay_in(house, 2, "a")
    assert extend(house, call_id) is None
    assert house.balance("hold", call_id) == 0
