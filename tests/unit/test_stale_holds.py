"""A hold that will never be used is reported by the check, and released by the operator's command."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from taxiphone.billing.ledger import postings
from taxiphone.billing.metering import stale_holds
from taxiphone.billing.metering.meter import Meter
from taxiphone.commands.console import App
from taxiphone.commands.ledger import ledger as command
from taxiphone.errors import UsageError
from taxiphone.store import calls
from taxiphone.store.models import Call, FreeMinutes, Receipt, Recording
from taxiphone.store.types import now

LONG_AGO = timedelta(minutes=11)
DAYS_AGO = timedelta(hours=26)


@pytest.fixture
def release(house: Any) -> Callable[..., Any]:
    app = App()
    app._cache.update(settings=house.settings, database=house.database)

    def release(*words: str) -> Any:
        result = CliRunner().invoke(command, ["release-holds", *words, "--json"], obj=app)
        if result.exception is not None:
            raise result.exception
        return json.loads(result.stdout)

    return release


def change(house: Any, call_id: str, **columns: Any) -> None:
    house.database.do(
        lambda s: [setattr(s.get_one(Call, call_id), name, value) for name, value in columns.items()]
    )


def named(house: Any) -> list[tuple[str, bool]]:
    return [(each.call_id, each.talked) for each in house.database.read(lambda s: list(stale_holds.find(s)))]


@pytest.mark.parametrize(
    ("columns", "is_stale"),
    [
        ({"status": "accepted"}, False),
        ({"status": "talking", "arrived_at": timedelta(hours=24)}, False),
        ({"status": "accepted", "arrived_at": DAYS_AGO}, True),
        ({"status": "talking", "arrived_at": DAYS_AGO}, True),
        ({"status": "ended", "ended_at": timedelta()}, False),
        ({"status": "ended", "ended_at": LONG_AGO}, True),
        ({"status": "ended", "ended_at": None, "arrived_at": LONG_AGO}, True),
        ({"status": "closed"}, True),
    ],
)
def test_a_call_that_may_still_be_priced_keeps_its_hold_and_no_other_does(
    house: Any, release: Callable[..., Any], columns: dict[str, Any], is_stale: bool
) -> None:
    client = house.client()
    call_id = house.call(client, house.consultant(free_minutes=10))
    change(
        house,
        call_id,
        **{name: now() - ago if isinstance(ago, timedelta) else ago for name, ago in columns.items()},
    )
    assert named(house) == ([(call_id, False)] if is_stale else [])
    assert house.problems() == (["held"] if is_stale else [])
    given = release()
    assert [row["call"] for row in given] == ([call_id] if is_stale else [])
    if is_stale:
        assert house.balance("wallet", client) == 10_000
        assert house.balance("hold", call_id) == 0
        assert house.get(call_id).status == "closed"
        if columns["status"] != "closed":
            assert house.database.do(lambda s: s.scalar(select(FreeMinutes))) is None
            assert "nothing was charged" in house.get(call_id).review
    assert house.problems() == []
    assert release() == []


def test_the_hold_of_a_call_with_a_talk_is_released_only_by_name(
    house: Any, release: Callable[..., Any]
) -> None:
    client, consultant = house.client(), house.consultant("1.00")
    by_log, by_program = house.call(client, consultant), house.call(house.client(code="7002"), consultant)
    house.write(*house.talk(by_log)[:6])  # Asterisk died before it wrote the end
    Meter(house.settings, house.database).read_once()
    house.database.do(lambda s: calls.add_event(s.connection(), by_program, "bridging"))
    for call_id in (by_log, by_program):
        change(house, call_id, status="ended", ended_at=now() - LONG_AGO)
    assert named(house) == [(by_log, True), (by_program, True)]
    assert [row["given_back"] for row in release()] == ["0.00", "0.00"]
    assert house.balance("wallet", client) == 0
    assert [row["given_back"] for row in release("--call", by_log[-6:])] == ["100.00"]
    assert house.balance("wallet", client) == 10_000
    assert named(house) == [(by_program, True)]
    with pytest.raises(UsageError, match="no hold to release"):
        release("--call", by_log)


@pytest.mark.parametrize(("status", "paid"), [("ready", 500), ("failed", 0), ("deleted", 0)])
def test_the_fee_of_a_finished_recording_is_not_left_held(
    house: Any, release: Callable[..., Any], status: str, paid: int
) -> None:
    client = house.client()
    call_id = house.call(client, house.consultant("1.00", recording_allowed=True), recorded=True)
    house.write(*house.talk(call_id))
    Meter(house.settings, house.database).read_once()
    assert named(house) == []
    house.database.do(lambda s: setattr(s.get_one(Recording, call_id), "status", status))
    assert named(house) == [(call_id, False)]
    release()
    assert house.balance("wallet", client) == 10_000 - 100 - paid
    assert house.database.do(lambda s: s.scalar(select(Receipt.total))) == 100 + paid
    assert house.problems() == []


def test_a_hold_left_by_a_priced_call_is_released(house: Any, release: Callable[..., Any]) -> None:
    client = house.client()
    call_id = house.call(client, house.consultant("1.00"))
    house.write(*house.talk(call_id))
    Meter(house.settings, house.database).read_once()
    changes = [
        postings.Change("wallet", str(client), "EUR", -7),
        postings.Change("hold", call_id, "EUR", 7),
    ]
    house.database.do(lambda s: postings.post(s, "by mistake", "test", changes, call_id=call_id))
    assert house.problems() == ["held"]
    assert [row["given_back"] for row in release()] == ["0.07"]
    assert house.problems() == []


def test_a_hold_of_no_call_is_named(house: Any, release: Callable[..., Any]) -> None:
    changes = [postings.Change("top_up", "", "EUR", -7), postings.Change("hold", "nobody", "EUR", 7)]
    house.database.do(lambda s: postings.post(s, "by mistake", "test", changes))
    assert house.problems() == ["held"]
    assert [(row["given_back"], row["why"]) for row in release()] == [("0.00", "there is no such call")]


def test_a_call_that_was_priced_meanwhile_keeps_what_its_recording_will_cost(sqlite_house: Any) -> None:
    house = sqlite_house
    call_id = house.call(house.client(), house.consultant(recording_allowed=True), recorded=True)
    house.database.do(lambda s: setattr(s.get_one(Call, call_id), "unpriced", "the database was full"))
    found = house.database.read(lambda s: next(stale_holds.find(s)))
    house.write(*house.talk(call_id))
    Meter(house.settings, house.database).read_once()  # serve's own, just before the command writes
    given = house.database.do(lambda s: stale_holds.release(s, found, although_talked=True))
    assert (given, house.get(call_id).receipt.recording_pending) == (0, True)
    assert house.balance("hold", call_id) == 500
