"""Price, recording, fault and refunds in any order: what is known settles the call, and the ledger is correct."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from taxiphone.ari_app.call_record import CallRecord
from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.billing.ledger import refunds
from taxiphone.billing.ledger.keys import new_key
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.rating import settle_recording
from taxiphone.billing.rerating import rerate
from taxiphone.commands.refund import refund as refund_command
from taxiphone.errors import LedgerError, UsageError
from taxiphone.store.calls import Status
from taxiphone.store.models import Call, CreditNote, Recording

BEGIN = datetime.fromtimestamp(1_763_846_400, UTC)
TALK, FEE = 155, 500  # 60 s at 1.55, and a recording


class Story:
    """A recorded call of 60 s, and the events that can follow."""

    def __init__(self, house: Any) -> None:
        self.house = house
        self.call_id: str = house.call(1, 1, recorded=True)
        house.write(*house.talk(self.call_id))
        self.begun = house.balance("wallet", 1)

    def happens(self, event: str) -> None:
        getattr(self, event)()
        assert self.house.problems() == [], event
        assert self.net() >= 0, event

    def price(self) -> None:
        Meter(self.house.settings, self.house.database).read_once()

    def ready(self) -> None:
        self._settle("ready")

    def failed(self) -> None:
        self._settle("failed")

    def fault(self) -> None:
        record = CallRecord(self.house.settings, DatabaseWithTimeout(self.house.database), self.call_id)
        asyncio.run(record.over("one_way", fault="one-way audio"))

    def refund_all(self) -> None:
        self._refund(None)

    def refund_part(self) -> None:
        self._refund(55)

    def rerate(self) -> None:
        self._try(lambda s: rerate(s, s.get_one(Call, self.call_id)))

    def net(self) -> int:
        """Return what the client has paid minus refunds, in minor units."""
        found: int = self.house.database.read(lambda s: sum(refunds.paid_shares(s, self.call_id).values()))
        return found

    def held(self) -> int:
        found: int = self.house.balance("hold", self.call_id)
        return found

    def _settle(self, status: str) -> None:
        def work(session: Any) -> None:
            recording = session.get_one(Recording, self.call_id)
            if recording.status in {"ready", "failed"}:
                return  # a recording comes to one end
            recording.status = status
            settle_recording(session, session.get_one(Call, self.call_id), ready=status == "ready")

        self.house.database.do(work)

    def _refund(self, amount: int | None) -> None:
        self._try(
            lambda s: refunds.refund(s, s.get_one(Call, self.call_id), amount, "so it was agreed", new_key())
        )

    def _try(self, work: Any) -> None:
        try:
            self.house.database.do(work)
        except (UsageError, LedgerError):
            return  # not possible at this point, and said so


@pytest.fixture
def story(house: Any) -> Story:
    house.client(credit=1_000_000)
    house.consultant(recording_allowed=True)
    return Story(house)


@pytest.mark.parametrize(
    ("events", "paid"),
    [
        ("price ready", TALK + FEE),
        ("ready price", TALK + FEE),
        ("price failed", TALK),
        ("price refund_all ready", 0),
        ("price refund_all failed", 0),
        ("price refund_part ready", TALK - 55 + FEE),
        ("price refund_part refund_all ready", 0),
        ("price ready refund_all", 0),
        ("price ready refund_part rerate", TALK + FEE - 55),
        ("fault price ready", 0),
        ("price fault ready", 0),
        ("price fault failed", 0),
        ("price ready fault", 0),
        ("price fault rerate ready", 0),
        ("price refund_part fault ready", 0),
        ("price refund_part ready fault", 0),
        ("price ready refund_part fault refund_all", 0),
        ("price refund_all fault ready", 0),
        ("price refund_all rerate ready rerate", 0),
        ("price fault fault refund_all ready", 0),
        ("price ready rerate", TALK + FEE),
    ],
)
def test_what_is_known_by_then_settles_the_call(story: Story, events: str, paid: int) -> None:
    for event in events.split():
        story.happens(event)
    assert (story.net(), story.held()) == (paid, 0)
    assert story.house.balance("wallet", 1) == 1_000_000 - paid


ANY_ORDER = st.permutations(["price", "ready", "fault", "refund_part", "refund_all", "rerate"]).flatmap(
    lambda order: st.integers(1, 6).map(lambda length: order[:length])
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=ANY_ORDER)
def test_in_any_order_the_ledger_is_correct_and_a_fault_costs_nothing(house: Any, events: list[str]) -> None:
    if not house.calls:
        house.client(credit=10_000_000)
        house.consultant(recording_allowed=True)
    story = Story(house)
    for event in events:
        story.happens(event)
    story.happens("price")
    story.happens("ready")
    assert story.held() == 0
    after_price = events[events.index("price") :] if "price" in events else []
    if "fault" in events or "refund_all" in after_price:
        # A whole refund before the fee is the end of it; one after it gives the fee back too.
        assert story.net() == 0
    else:
        assert story.net() == TALK + FEE - (55 if "refund_part" in after_price else 0)


def test_a_late_row_after_a_refund_credits_what_is_still_too_much(house: Any) -> None:
    house.client()
    call_id = house.call(1, house.consultant())
    rows = house.talk(call_id, "120")
    house.write(*rows[:7])
    house.database.do(lambda s: s.execute(update(Call).values(status=Status.OVER)))
    Meter(house.settings, house.database).read_once()
    house.database.do(lambda s: refunds.refund(s, s.get_one(Call, call_id), 100, "the line was bad", "first"))
    record = CallRecord(house.settings, DatabaseWithTimeout(house.database), call_id)
    asyncio.run(record.over("silence", heard_until=BEGIN + timedelta(seconds=60)))
    notes = house.database.read(
        lambda s: [(n.amount, n.reason) for n in s.query(CreditNote).order_by(CreditNote.number)]
    )
    assert notes == [
        (100, "the line was bad"),
        (310 - 155 - 100, "one side had fallen silent before the end"),
    ]
    assert (house.balance("wallet", 1), house.problems()) == (10_000 - 155, [])


def test_free_minutes_of_a_talk_with_a_late_fault_are_left_unused(house: Any) -> None:
    consultant = house.consultant(free_minutes=10)
    house.client()
    call_id = house.call(1, consultant)
    house.write(*house.talk(call_id, "1200"))
    Meter(house.settings, house.database).read_once()
    asyncio.run(
        CallRecord(house.settings, DatabaseWithTimeout(house.database), call_id).over(
            "one_way", fault="one-way audio"
        )
    )
    assert (house.balance("wallet", 1), house.problems()) == (10_000, [])
    again = house.call(1, consultant)
    house.write(*house.talk(again, "600", at=1_763_850_000))
    Meter(house.settings, house.database).read_once()
    assert house.get(again).receipt.total == 0


def test_a_recording_of_a_talk_that_cost_nothing_can_be_waived_before_it_is_ready(house: Any) -> None:
    house.client()
    call_id = house.call(1, house.consultant(free_minutes=10, recording_allowed=True), recorded=True)
    house.write(*house.talk(call_id))
    Meter(house.settings, house.database).read_once()
    assert house.balance("hold", call_id) == FEE
    app = house.app
    words = [call_id, "--all", "--reason", "bad line", "--key", "ticket"]
    done = CliRunner().invoke(refund_command, words, obj=app)
    assert "the recording is free" in " ".join(done.stdout.split())
    assert CliRunner().invoke(refund_command, words, obj=app).stdout == done.stdout, "repeated"
    house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=True))
    house.database.do(lambda s: rerate(s, s.get_one(Call, call_id)))
    assert (house.balance("wallet", 1), house.balance("hold", call_id), house.problems()) == (10_000, 0, [])
