"""The client's daily limit: what counts, when the day begins, and that two calls can't spend it twice."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from taxiphone.billing import days, holds
from taxiphone.billing.announcement import quote_consultation
from taxiphone.billing.ledger import daily_limit, postings
from taxiphone.billing.ledger.refunds import refund
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.rating import settle_recording
from taxiphone.errors import InsufficientFundsError, LimitReachedError
from taxiphone.settings_sections import Platform
from taxiphone.store.models import Call, Client, Consultant


def limit(house: Any, client: int, minor: int | None) -> None:
    house.database.do(
        lambda s: s.execute(update(Client).where(Client.id == client).values(daily_limit=minor))
    )


def left(house: Any, client: int = 1, at: datetime | None = None) -> int | None:
    found: int | None = house.database.read(
        lambda s: daily_limit.left_today(s.connection(), house.settings, client, at)
    )
    return found


def offered(house: Any, consultant: int = 1) -> Any:
    return house.database.read(
        lambda s: quote_consultation(
            s.connection(), house.settings, s.get_one(Client, 1), s.get_one(Consultant, consultant)
        )
    )


def accept(house: Any, call_id: str) -> Any:
    return house.database.do(lambda s: holds.accept(s.connection(), house.settings, call_id))


def talk(house: Any, call_id: str, seconds: str) -> None:
    house.write(*house.talk(call_id, seconds))
    Meter(house.settings, house.database).read_once()
    assert house.problems() == []


def test_without_a_limit_there_is_none(house: Any) -> None:
    house.client()
    assert left(house) is None
    house.consultant()
    assert offered(house).limit_left is None


def test_what_was_charged_and_what_is_held_today_counts_and_a_refund_does_not_come_back(house: Any) -> None:
    client, consultant = house.client(), house.consultant(recording_allowed=True)
    limit(house, client, 2_000)
    assert left(house) == 2_000
    call_id = house.call(client, consultant, recorded=True)
    held = house.balance(postings.HOLD, call_id)
    assert left(house) == 2_000 - held
    talk(house, call_id, "60")
    assert left(house) == 2_000 - 155 - 500  # the recording's fee is still to come
    house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=True))
    assert left(house) == 2_000 - 655
    house.database.do(lambda s: refund(s, s.get_one(Call, call_id), 655, "bad line", "first"))
    assert left(house) == 2_000 - 655
    limit(house, client, 100)
    assert left(house) == 0


def test_a_recording_that_failed_costs_nothing_of_the_limit(house: Any) -> None:
    client, consultant = house.client(), house.consultant(recording_allowed=True)
    limit(house, client, 2_000)
    call_id = house.call(client, consultant, recorded=True)
    talk(house, call_id, "60")
    house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=False))
    assert left(house) == 2_000 - 155


@pytest.mark.parametrize(
    ("arrived", "counts"),
    [
        ("2026-11-21T22:59:59.999999", False),
        ("2026-11-21T23:00:00", True),  # midnight in Paris
        ("2026-11-22T22:59:59.999999", True),
        ("2026-11-22T23:00:00", False),
    ],
)
def test_the_day_is_that_of_the_platforms_time_zone(house: Any, arrived: str, counts: bool) -> None:
    platform = Platform(cli="+33199000000", timezone="Europe/Paris")
    house.settings = house.settings.model_copy(update={"platform": platform})
    client = house.client()
    limit(house, client, 2_000)
    call_id = house.call(client, house.consultant())
    talk(house, call_id, "60")
    moment = datetime.fromisoformat(arrived).replace(tzinfo=UTC)
    house.database.do(lambda s: s.execute(update(Call).values(arrived_at=moment)))
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert left(house, at=at) == (2_000 - 155 if counts else 2_000)


@pytest.mark.parametrize(("day", "hours"), [(29, 23), (28, 24)])
def test_the_day_on_which_the_clock_is_changed_is_shorter(house: Any, day: int, hours: int) -> None:
    platform = Platform(cli="+33199000000", timezone="Europe/Paris")
    settings = house.settings.model_copy(update={"platform": platform})
    zone = days.zone_of(settings)
    length = days.end_of(date(2026, 3, day), zone) - days.begin_of(date(2026, 3, day), zone)
    assert length == timedelta(hours=hours)


def test_the_offer_regards_both_credit_and_limit(house: Any) -> None:
    client = house.client(10_000)
    house.consultant("1.00", package_price=Decimal(60), package_minutes=60)
    assert offered(house).affordable == {"per_minute", "package"}
    limit(house, client, 5_999)
    found = offered(house)
    assert (found.affordable, found.limit_left, found.wallet) == ({"per_minute"}, 5_999, 10_000)
    assert 3_599 <= found.lasts_seconds <= 3_600
    limit(house, client, 99)
    assert offered(house).affordable == frozenset()
    limit(house, client, 1_000_000)
    assert offered(house).lasts_seconds == 6_000


def test_a_call_holds_and_lasts_no_longer_than_the_limit_allows(house: Any) -> None:
    client, consultant = house.client(10_000), house.consultant("1.00")
    limit(house, client, 300)
    call_id = house.call(client, consultant)
    assert house.get(call_id).max_seconds == 180
    assert (house.balance(postings.HOLD, call_id), house.balance(postings.WALLET, client)) == (300, 9_700)
    talk(house, call_id, "300")
    assert house.get(call_id).receipt.total == 300
    assert left(house) == 0


def test_a_limit_below_the_first_minute_is_announced_as_such(house: Any) -> None:
    client, consultant = house.client(10_000), house.consultant("1.00", recording_allowed=True)
    limit(house, client, 99)
    call_id = house.call(client, consultant, accept=False)
    with pytest.raises(LimitReachedError, match="by the client's own limit"):
        accept(house, call_id)
    limit(house, client, 100)
    assert accept(house, call_id).max_seconds == 60
    poor = house.call(house.client(50, code="7002"), consultant, accept=False)
    limit(house, 2, 10)
    with pytest.raises(InsufficientFundsError) as told:
        accept(house, poor)
    assert not isinstance(told.value, LimitReachedError)


@pytest.mark.parametrize(("minor", "yes"), [(599, False), (600, True)])
def test_a_recording_is_offered_only_where_the_limit_allows_it(house: Any, minor: int, yes: bool) -> None:
    client, consultant = house.client(10_000), house.consultant("1.00", recording_allowed=True)
    limit(house, client, minor)

    def ask(session: Any) -> tuple[bool, bool]:
        who = session.get_one(Client, client), session.get_one(Consultant, consultant)
        quote = quote_consultation(session.connection(), house.settings, *who)
        return quote.pays_for_recording("per_minute"), "per_minute" in quote.affordable

    assert house.database.read(ask) == (yes, True)


def test_the_limit_of_the_day_of_arrival_is_announced_and_held(house: Any) -> None:
    """The call arrives before midnight, and its price is announced after it."""
    client, consultant = house.client(10_000), house.consultant("1.00")
    limit(house, client, 500)
    arrived = house.get(house.call(client, consultant, accept=False)).arrived_at
    talk(house, house.call(client, consultant), "300")

    def ask(session: Any, at: datetime) -> int | None:
        who = session.get_one(Client, client), session.get_one(Consultant, consultant)
        return quote_consultation(session.connection(), house.settings, *who, at).limit_left

    assert house.database.read(lambda session: ask(session, arrived)) == left(house, client, arrived)
    assert house.database.read(lambda session: ask(session, arrived - timedelta(days=1))) == 500


def test_calls_accepted_at_the_same_moment_do_not_exceed_the_limit(house: Any) -> None:
    client, consultant = house.client(100_000), house.consultant("1.00")
    limit(house, client, 150)
    calls = [house.call(client, consultant, accept=False) for _ in range(5)]
    gate = threading.Barrier(len(calls))

    def try_it(call_id: str) -> str:
        gate.wait()
        try:
            accept(house, call_id)
        except LimitReachedError:
            return "limit"
        return "accepted"

    with ThreadPoolExecutor(len(calls)) as pool:
        assert sorted(pool.map(try_it, calls)) == ["accepted", *["limit"] * 4]
    assert house.balance(postings.WALLET, client) == 100_000 - 150
    assert house.problems() == []
