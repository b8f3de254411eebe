"""Rating, re-rating, the explanation and what-if agree on every call, whatever the facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from taxiphone.billing import holds, what_if
from taxiphone.billing.evidence import cel
from taxiphone.billing.ledger import postings
from taxiphone.billing.ledger.keys import CallKey, Purpose
from taxiphone.billing.ledger.refunds import refund
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.papers import explanation
from taxiphone.billing.pricing.settlement import Facts, RecordingState, settle
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.pricing.tariff import Terms, package, per_minute
from taxiphone.billing.pricing.tariff_json import to_json
from taxiphone.billing.rating import settle_recording
from taxiphone.billing.rerating import rerate
from taxiphone.billing.summary import call_summary
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call, CelRow, Receipt, Recording

BEGIN = datetime(2025, 11, 22, 21, 20, tzinfo=UTC)
LOST = 41  # Q.850: temporary failure, which neither side asked for
EVER = what_if.Period(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC), "EUR")
OWN_TARIFF = what_if.changed({})


def meter(house: Any) -> None:
    Meter(house.settings, house.database).read_once()


def priced(house: Any, seconds: str = "60", **how: Any) -> str:
    """Create a priced call of a new client."""
    house.consultant(recording_allowed=True)
    call_id: str = house.call(house.client(), 1, **how)
    house.write(*house.talk(call_id, seconds))
    meter(house)
    return call_id


def change(house: Any, call_id: str, **columns: Any) -> None:
    house.database.do(lambda s: s.execute(update(Call).where(Call.id == call_id).values(columns)))


def record(house: Any, call_id: str, status: str) -> None:
    def work(session: Any) -> None:
        session.get_one(Recording, call_id).status = status

    house.database.do(work)


def again(house: Any, call_id: str) -> bool:
    """Re-rate, and return whether anything was posted."""
    changed: bool = house.database.do(lambda s: rerate(s, s.get_one(Call, call_id)).changed)
    return changed


def steps(house: Any, call_id: str) -> list[str]:
    story = house.database.read(lambda s: explanation.explain(s, s.get_one(Call, call_id)))
    return [step["what"] for step in story["steps"]]


def if_nothing_changed(house: Any) -> tuple[what_if.Totals, what_if.Totals]:
    """Compare a period with itself, under its own tariffs."""
    with house.database.reading() as session:
        found = what_if.run(session, EVER, OWN_TARIFF)
    return found.now, found.then


def end_later(house: Any, call_id: str, seconds: str) -> None:
    """Repair the log, after which the talk ends at another moment."""
    lines = house.talk(call_id, seconds)

    def work(session: Any) -> None:
        rows = session.query(CelRow).order_by(CelRow.offset).all()
        for row, line in zip(rows[-len(lines) :], lines, strict=True):
            row.at = cel.parse(line.rstrip("\n")).at

    house.database.do(work)


# -- where the five had drifted apart ---------------------------------------------------------------------------------


def test_rerating_clears_a_review_without_a_reason(house: Any) -> None:
    house.consultant()
    call_id = house.call(house.client(credit=155), 1)
    house.write(*house.talk(call_id, "100"))
    meter(house)
    assert "40.000000 s longer than the held credit" in house.get(call_id).review
    end_later(house, call_id, "60.5")
    assert not again(house, call_id), "what was held was charged before too"
    assert house.get(call_id).review is None
    assert house.problems() == []


def test_rerating_marks_a_call_for_review_where_rating_would(house: Any) -> None:
    house.consultant()
    call_id = house.call(house.client(credit=155), 1)
    house.write(*house.talk(call_id, "50"))
    meter(house)
    assert house.get(call_id).review is None
    end_later(house, call_id, "100")
    assert again(house, call_id)
    assert "40.000000 s longer than the held credit" in house.get(call_id).review


@pytest.mark.parametrize("status", ["captured", "ready"])
def test_a_recording_without_a_fee_is_never_pending(house: Any, status: str) -> None:
    billing = house.settings.billing.model_copy(update={"recording_fee": Decimal(0)})
    house.settings = house.settings.model_copy(update={"billing": billing})
    call_id = priced(house, recorded=True)
    record(house, call_id, status)
    assert not again(house, call_id), "the price is the same"
    assert not house.get(call_id).receipt.recording_pending


def test_the_fee_of_a_recording_never_pays_for_talk(house: Any) -> None:
    """The hold for a failed recording was once used for seconds beyond the credit, but only by the first rating."""
    house.consultant(recording_allowed=True)
    call_id = house.call(house.client(credit=155 + 500), 1, recorded=True)
    record(house, call_id, "failed")
    change(house, call_id, max_seconds=600)
    house.write(*house.talk(call_id, "120"))
    meter(house)
    assert house.get(call_id).receipt.total == 155
    assert not again(house, call_id)
    assert house.balance(postings.WALLET, 1) == 500


def test_the_explanation_does_not_take_a_wrong_receipt_for_the_end_of_the_credit(house: Any) -> None:
    call_id = priced(house)
    assert "difference" not in steps(house, call_id)
    house.database.do(
        lambda s: s.execute(update(Receipt).values(total=100, commission=30, consultant_share=70))
    )
    found = steps(house, call_id)
    assert "difference" in found
    assert found.count("length") == 1, "the talk was within the credit"


def test_a_fee_that_was_released_is_not_asked_for_by_the_what_if(house: Any) -> None:
    call_id = priced(house, recorded=True)
    house.database.do(lambda s: refund(s, s.get_one(Call, call_id), None, "a bad line", "first"))
    record(house, call_id, "ready")
    now, then = if_nothing_changed(house)
    assert now == then
    assert (now.revenue, house.get(call_id).receipt.recording_pending) == (155, False)


def test_a_recording_of_a_talk_that_was_not_billed_is_not_asked_for_in_the_next_part(house: Any) -> None:
    house.consultant(recording_allowed=True)
    first = house.call(house.client(), 1, recorded=True)
    change(house, first, fault="one-way audio")
    record(house, first, "ready")
    house.write(*house.talk(first, "60"))
    meter(house)
    second = house.call(1, 1, accept=False)
    change(house, second, continues_id=first, arrived_at=BEGIN + timedelta(minutes=2))
    change(house, first, arrived_at=BEGIN)
    accept(house, second)
    house.write(*house.talk(second, "60", at=int(BEGIN.timestamp()) + 200))
    meter(house)
    assert [house.get(each).receipt.total for each in (first, second)] == [0, 155]
    now, then = if_nothing_changed(house)
    assert now == then


def test_what_is_told_at_the_end_is_what_the_receipt_says_without_asterisks_rows(house: Any) -> None:
    call_id = priced(house, "83.4")
    house.database.do(lambda s: s.query(CelRow).delete())
    due = house.database.read(lambda s: call_summary(s.connection(), call_id))
    assert (due.seconds, due.total, due.share, due.wallet) == (84, 217, 152, 10_000 - 217)


def accept(house: Any, call_id: str) -> None:
    def work(session: Any) -> None:
        call = session.get_one(Call, call_id)
        call.status, call.outcome = Status.TALKING, Outcome.TALKED
        holds.accept(session.connection(), house.settings, call.id)

    house.database.do(work)


# -- any facts --------------------------------------------------------------------------------------------------------

TERMS = st.builds(
    Terms,
    currency=st.just("EUR"),
    digits=st.just(2),
    commission=st.decimals("0", "1", places=2),
    commission_on_recording=st.booleans(),
    recording_fee=st.sampled_from([Decimal(0), Decimal("0.01"), Decimal(5)]),
    vat=st.sampled_from([Decimal(0), Decimal("0.2")]),
    first=st.sampled_from([1, 60]),
    step=st.sampled_from([1, 7, 60]),
)
PRICES = st.decimals("0", "9", places=3)
TARIFFS = st.one_of(
    st.builds(per_minute, TERMS, PRICES, free_minutes=st.integers(0, 2)),
    st.builds(package, TERMS, PRICES, st.integers(1, 3), then_per_minute=PRICES, short_call_seconds=st.integers(0, 60)),
)  # fmt: skip
PARTS = st.lists(
    st.fixed_dictionaries(
        {
            "us": st.integers(0, 200_000_000),
            "fault": st.sampled_from([None, None, None, "one-way audio"]),
            "silent_us": st.sampled_from([None, None, 0, 3_000_000]),
            "recording": st.sampled_from([None, "captured", "ready", "failed"]),
            "later": st.booleans(),
            "allowed": st.sampled_from([None, 20]),
        }
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tariff=TARIFFS, parts=PARTS)
def test_rating_rerating_explanation_and_what_if_agree(sqlite_house: Any, tariff: Any, parts: Any) -> None:
    """A consultation of one or more parts after dropped lines, with recordings ready at once or later."""
    house = sqlite_house
    house.calls += 1
    number = house.calls
    client = house.client(credit=1_000_000, code=f"{7000 + number}")
    consultant = house.consultant(code=f"{100 + number}")
    calls: list[str] = []
    for part in parts:
        if calls and house.get(calls[-1]).receipt is None:
            break  # nobody talked, so that nothing can be continued
        calls.append(talked(house, client, consultant, tariff, part, calls[-1] if calls else None))
    rated = [each for each in calls if house.get(each).receipt is not None]
    assert house.problems() == []
    for call_id in rated[-1:]:  # an earlier one is not re-rated while another continues it
        review = house.get(call_id).review
        assert not again(house, call_id)
        assert house.get(call_id).review == review
    for call_id in rated:
        assert "difference" not in steps(house, call_id)
    now, then = if_nothing_changed(house)
    assert now == then


def talked(house: Any, client: int, consultant: int, tariff: Any, part: Any, continues: str | None) -> str:
    """Create a part of a consultation under this exact tariff, rated by the meter."""
    recorded = part["recording"] is not None
    call_id: str = house.call(client, consultant, recorded=recorded, accept=False)
    number = house.calls
    at = BEGIN + timedelta(minutes=5 * number)
    end = Decimal(part["us"]).scaleb(-6)

    def freeze(session: Any) -> None:
        call = session.get_one(Call, call_id)
        call.status, call.outcome, call.arrived_at = Status.TALKING, Outcome.TALKED, at
        call.continues_id = continues
        session.flush()
        own = to_json(tariff)
        if continues is not None and session.get_one(Call, continues).receipt.recording_pending:
            settle_recording(session, session.get_one(Call, continues), ready=True)
        if continues is not None and fee_paid(session, continues):
            own["recording_fee"] = "0"
        call.tariff, call.max_seconds = own, part["allowed"] or 10_000
        postings.hold(session.connection(), CallKey(call_id, Purpose.HOLD), client, 10_000, "EUR")
        if part["silent_us"] is not None:
            call.heard_until = at + timedelta(microseconds=part["silent_us"])
        call.fault = part["fault"]

    house.database.do(freeze)
    if recorded and not part["later"]:
        record(house, call_id, part["recording"])
    lines = [
        line.replace('hangupcause"": 16', f'hangupcause"": {LOST}')
        for line in house.talk(call_id, str(end), at=int(at.timestamp()))
    ]
    house.write(*lines)
    meter(house)
    if recorded and part["later"] and house.get(call_id).receipt is not None:
        record(house, call_id, part["recording"])
        if part["recording"] in {"ready", "failed"}:
            ready = part["recording"] == "ready"
            house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=ready))
    return call_id


def fee_paid(session: Any, call_id: str | None) -> bool:
    while call_id is not None:
        call = session.get_one(Call, call_id)
        if any(line["what"] == "recording" for line in call.receipt.lines):
            return True
        call_id = call.continues_id
    return False


# -- the function itself ----------------------------------------------------------------------------------------------


def test_a_settlement_by_hand() -> None:
    terms = Terms("EUR", 2, commission=Decimal("0.30"), recording_fee=Decimal(5), vat=Decimal("0.20"))
    tariff = per_minute(terms, Decimal("1.55"))
    end = BEGIN + timedelta(seconds=100)
    talk = Talk(BEGIN, end, 100_000_000, ((BEGIN, end),), "client", complete=True, ended_by=16)
    facts = Facts(
        tariff, talk, held=155 + 500, max_seconds=60, recording_asked=True, recording=RecordingState.READY
    )
    found = settle(facts)
    assert (found.seconds, found.heard, found.fee, found.pending_fee, found.dropped) == (
        60,
        talk,
        500,
        0,
        False,
    )
    assert [(line.what, line.amount) for line in found.price.lines] == [("talk", 155), ("recording", 500)]
    assert (found.talk.total, found.price.total, found.price.billed_seconds) == (155, 655, 60)
    assert (found.price.commission, found.price.consultant, found.price.vat) == (197, 458, 109)
    assert (
        found.review
        == "the talk lasted 40.000000 s longer than the held credit allowed; this time was not charged"
    )
