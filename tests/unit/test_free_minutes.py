"""Free minutes are used at most once for each client and consultant, or each client, even by concurrent calls."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from taxiphone.billing import call_row, holds
from taxiphone.billing.ledger import free_minutes
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.billing.rating import rate
from taxiphone.settings_sections import Billing
from taxiphone.store.models import Call, Consultant, FreeMinutes
from taxiphone.store.types import now


def talked(milliseconds: int) -> Talk:
    begin = datetime(2026, 11, 22, 18, tzinfo=UTC)
    end = begin + timedelta(milliseconds=milliseconds)
    return Talk(begin, end, milliseconds * 1000, ((begin, end),), "client", complete=True)


def end(house: Any, call_id: str, milliseconds: int | None) -> int:
    """Price the call and return the price in cents."""
    talk = None if milliseconds is None else talked(milliseconds)
    house.database.do(lambda s: rate(s.connection(), call_row.read(s.connection(), call_id), talk))
    assert house.problems() == []
    receipt = house.get(call_id).receipt
    return 0 if receipt is None else int(receipt.total)


def free(house: Any, call_id: str) -> bool:
    return bool(from_json(house.get(call_id).tariff).free_seconds)


def claims(house: Any) -> int:
    return int(house.database.do(lambda s: s.scalar(select(func.count()).select_from(FreeMinutes))))


def test_a_call_in_progress_has_the_free_minutes_and_a_concurrent_one_has_none(house: Any) -> None:
    client, consultant = house.client(credit=1_000_00), house.consultant("1.00", free_minutes=10)
    first, second = house.call(client, consultant), house.call(client, consultant)
    assert (free(house, first), free(house, second)) == (True, False)
    assert end(house, second, 600_000) == 1000
    assert end(house, first, 600_000) == 0


@pytest.mark.parametrize(
    ("milliseconds", "unused"),
    [(None, True), (1, True), (29_999, True), (30_000, False), (60_000, False)],
)
def test_a_network_fault_leaves_free_minutes_unused_and_a_talk_uses_them_all(
    house: Any, milliseconds: int | None, unused: bool
) -> None:
    client, consultant = house.client(), house.consultant("1.00", free_minutes=10)
    end(house, house.call(client, consultant), milliseconds)
    assert free(house, house.call(client, consultant)) is unused


def test_the_threshold_is_the_one_that_was_in_force_when_the_call_was_accepted(house: Any) -> None:
    client, consultant = house.client(), house.consultant("1.00", free_minutes=10)
    call_id = house.call(client, consultant)
    house.settings = house.settings.model_copy(update={"billing": Billing(short_call_seconds=3600)})
    end(house, call_id, 60_000)
    assert claims(house) == 1


def test_a_package_has_none(house: Any) -> None:
    client = house.client()
    consultant = house.consultant("1.00", free_minutes=10, package_price=10, package_minutes=10)
    assert not free(house, house.call(client, consultant, mode="package"))
    assert claims(house) == 0


@pytest.mark.parametrize(
    ("milliseconds", "new"), [(None, True), (29_999, True), (30_000, False), (600_000, False)]
)
def test_a_client_with_a_billed_package_is_not_new_any_more(
    house: Any, milliseconds: int | None, new: bool
) -> None:
    client = house.client()
    consultant = house.consultant("1.00", free_minutes=10, package_price=10, package_minutes=10)
    end(house, house.call(client, consultant, mode="package"), milliseconds)
    assert free(house, house.call(client, consultant)) is new


def test_a_client_who_paid_before_there_were_any_is_not_new(house: Any) -> None:
    client, consultant = house.client(), house.consultant("1.00")
    assert end(house, house.call(client, consultant), 20_000) == 33
    house.database.do(lambda s: setattr(s.get_one(Consultant, consultant), "free_minutes", 10))
    assert not free(house, house.call(client, consultant))
    assert free(house, house.call(house.client(code="7002"), consultant))


def test_a_billed_talk_with_somebody_else_counts_only_with_the_platforms_scope(house: Any) -> None:
    client = house.client()
    anne = house.consultant("1.00", package_price=10, package_minutes=10)
    bruno = house.consultant("1.00", code="102", free_minutes=10)
    end(house, house.call(client, anne, mode="package"), 60_000)
    first = house.call(client, bruno)
    assert free(house, first)
    end(house, first, None)
    house.settings = house.settings.model_copy(update={"billing": Billing(free_minutes_scope="platform")})
    assert not free(house, house.call(client, bruno))


@pytest.mark.parametrize("scope", ["consultant", "platform"])
def test_the_third_short_talk_uses_them(house: Any, scope: str) -> None:
    house.settings = house.settings.model_copy(update={"billing": Billing(free_minutes_scope=scope)})
    client, anne = house.client(), house.consultant("1.00", free_minutes=10)
    bruno = house.consultant("1.00", code="102", free_minutes=10)
    with_whom = [anne, anne, anne, anne] if scope == "consultant" else [anne, bruno, anne, bruno]
    calls = []
    for consultant in with_whom:
        calls.append(house.call(client, consultant))
        end(house, calls[-1], 29_000)
    assert [free(house, call_id) for call_id in calls] == [True, True, True, False]
    assert [house.get(call_id).receipt.total for call_id in calls] == [0, 0, 0, 48]
    if scope == "consultant":
        assert free(house, house.call(client, bruno)), "each consultant counts for itself"


def test_calls_without_a_talk_and_faults_are_not_short_talks(house: Any) -> None:
    client, consultant = house.client(), house.consultant("1.00", free_minutes=10)
    for _ in range(3):
        end(house, house.call(client, consultant), None)
        faulty = house.call(client, consultant)
        house.database.do(lambda s, each=faulty: setattr(s.get_one(Call, each), "fault", "one-way audio"))
        end(house, faulty, 90_000)
    for _ in range(2):
        end(house, house.call(client, consultant), 10_000)
    assert free(house, house.call(client, consultant))


def test_each_client_and_each_consultant_has_them(house: Any) -> None:
    anne, bruno = (
        house.consultant("1.00", free_minutes=10),
        house.consultant("1.00", code="102", free_minutes=10),
    )
    for client in (house.client(), house.client(code="7002")):
        for consultant in (anne, bruno):
            assert free(house, house.call(client, consultant))


def test_with_the_platforms_scope_a_client_has_them_once_whoever_is_called(house: Any) -> None:
    client = house.client(credit=1_000_000)
    anne, bruno = (
        house.consultant("1.00", free_minutes=10),
        house.consultant("1.00", code="102", free_minutes=10),
    )
    assert free(house, house.call(client, anne))  # under the scope of before
    house.settings = house.settings.model_copy(update={"billing": Billing(free_minutes_scope="platform")})
    assert not free(house, house.call(client, bruno))
    other = house.client(code="7002", credit=1_000_000)
    assert free(house, house.call(other, bruno))
    assert not free(house, house.call(other, anne))


def test_of_calls_accepted_at_the_same_moment_one_gets_the_free_minutes(house: Any) -> None:
    client, consultant = house.client(credit=1_000_000), house.consultant("0.10", free_minutes=10)
    calls = [house.call(client, consultant, accept=False) for _ in range(6)]
    gate = threading.Barrier(len(calls))

    def accept(call_id: str) -> int:
        gate.wait()
        accepted = house.database.do(lambda s: holds.accept(s.connection(), house.settings, call_id))
        return int(accepted.tariff.free_seconds)

    with ThreadPoolExecutor(len(calls)) as pool:
        assert sorted(pool.map(accept, calls)) == [0, 0, 0, 0, 0, 600]
    assert claims(house) == 1
    assert house.problems() == []


def test_a_second_claim_is_refused(house: Any) -> None:
    client, consultant = house.client(), house.consultant("1.00", free_minutes=10)
    first, second = house.call(client, consultant), house.call(client, consultant, accept=False)

    def work(session: Any) -> None:
        connection, who = session.connection(), {"consultant_id": consultant, "client_id": client}
        assert free_minutes.used(connection, house.settings, **who)
        assert not free_minutes.claim(connection, house.settings, second, **who)
        assert free_minutes.claim(connection, house.settings, first, **who)

    house.database.do(work)


def test_the_database_refuses_a_second_claim(house: Any) -> None:
    client, consultant = house.client(), house.consultant("1.00", free_minutes=10)
    house.call(client, consultant)
    second = house.call(client, consultant, accept=False)
    row = {
        "client_id": client,
        "scope": str(consultant),
        "consultant_id": consultant,
        "call_id": second,
        "least_seconds": 0,
        "claimed_at": now(),
    }
    with pytest.raises(IntegrityError):
        house.database.do(lambda s: s.execute(insert(FreeMinutes).values(row)))
