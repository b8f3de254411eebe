"""The parts of a dropped and continued talk together cost what the whole talk costs: properties and a table."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiphone.billing.pricing.parts import (
    NOTHING,
    Subtotal,
    longest_part,
    price_part,
    price_within,
    with_fee,
    without_free,
)
from taxiphone.billing.pricing.settlement import Facts, settle
from taxiphone.billing.pricing.settlement_explained import explain_settlement
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.pricing.tariff import Tariff, Terms, package, per_minute
from taxiphone.billing.pricing.tariff_price import Price, price, shares, tax_free

PRICES = st.decimals("0.01", "99", places=4)
SHARES = st.decimals("0", "1", places=3)
TERMS = st.builds(
    Terms,
    currency=st.just("EUR"),
    digits=st.sampled_from([0, 2, 3]),
    commission=SHARES,
    commission_on_recording=st.booleans(),
    recording_fee=st.decimals("0", "20", places=2),
    vat=SHARES,
    first=st.integers(1, 90),
    step=st.integers(1, 90),
)
TARIFFS = st.one_of(
    st.builds(per_minute, TERMS, PRICES, free_minutes=st.integers(0, 20)),
    st.builds(
        package,
        TERMS,
        PRICES,
        st.integers(1, 60),
        then_per_minute=PRICES,
        short_call_seconds=st.integers(0, 120),
    ),
)
LENGTHS = st.lists(
    st.integers(0, 3_000_000_000).map(lambda us: Decimal(us).scaleb(-6)), min_size=1, max_size=7
)


def talk_of(seconds: int) -> Talk:
    begin = datetime(2026, 11, 22, 18, tzinfo=UTC)
    end = begin + timedelta(seconds=seconds)
    return Talk(begin, end, seconds * 1_000_000, ((begin, end),), "client", complete=True)


def after(before: Subtotal, seconds: Decimal, cost: Price) -> Subtotal:
    return before.plus(Subtotal(1, seconds, cost.billed_seconds, cost.total, 0, cost.commission, cost.vat))


@given(TARIFFS, LENGTHS)
def test_the_parts_cost_together_what_the_uncut_talk_costs(tariff: Tariff, lengths: list[Decimal]) -> None:
    before = NOTHING
    for seconds in lengths:
        cost = price_part(tariff, before, seconds)
        assert cost.total >= 0
        assert cost.commission >= 0
        assert cost.consultant >= 0
        assert cost.vat >= 0
        assert cost.billed_seconds >= 0
        assert cost.commission + cost.consultant == cost.total == cost.net + cost.vat
        assert sum(line.amount for line in cost.lines) == cost.total
        before = after(before, seconds, cost)
        whole = price(tariff, before.seconds)
        assert (before.talk, before.commission, before.vat) == (whole.total, whole.commission, whole.vat)
        assert before.billed_seconds == whole.billed_seconds


@given(TARIFFS, LENGTHS, st.integers(0, 6))
def test_a_recording_settled_at_any_time_leaves_the_shares_of_the_whole(
    tariff: Tariff, lengths: list[Decimal], when: int
) -> None:
    fee = int(tariff.recording_fee * 100)
    before = NOTHING
    for turn, seconds in enumerate(lengths):
        before = after(before, seconds, price_part(tariff, before, seconds))
        if turn == min(when, len(lengths) - 1):
            total, commission, vat = with_fee(tariff, before, 0, fee)
            assert total == fee
            assert min(commission, fee - commission) >= 0
            before = before.plus(Subtotal(0, recording=fee, commission=commission, vat=vat))
    paid = before.talk + before.recording
    assert before.commission == shares(tariff, paid, before.recording)[0]
    assert before.vat == paid - tax_free(tariff, paid)


@given(TARIFFS, LENGTHS, st.integers(0, 100_000))
def test_the_longest_part_is_what_a_credit_pays_for_and_a_second_more_is_not(
    tariff: Tariff, lengths: list[Decimal], credit: int
) -> None:
    before = NOTHING
    for seconds in lengths:
        before = after(before, seconds, price_part(tariff, before, seconds))
    longest = longest_part(tariff, before, credit)
    assert longest is not None
    talked = before.seconds + longest
    if longest:
        assert price_part(tariff, before, longest).total <= credit
    if talked + 1 >= tariff.short_call_seconds:
        assert price_part(tariff, before, longest + 1).total > credit
    seconds, cost = price_within(tariff, before, Decimal(longest), max_seconds=None, held=credit)
    assert (seconds, cost) == (longest, price_part(tariff, before, longest))


@given(TARIFFS, LENGTHS)
def test_the_explanation_ends_at_the_price(tariff: Tariff, lengths: list[Decimal]) -> None:
    before = after(NOTHING, lengths[0], price(tariff, lengths[0]))
    facts = Facts(tariff, talk_of(61), earlier=before)
    steps = explain_settlement(facts, settle(facts), ["261122-aaaaaa"])
    cost = price_part(tariff, before, Decimal(61))
    told = {step.what: step.amount for step in steps}
    if cost.network_fault:
        assert told["nothing"] == 0
    else:
        assert told["total"] + told["earlier"] == cost.total  # type: ignore[operator]
        assert (told["commission"], told["consultant"]) == (cost.commission, cost.consultant)


EUR = Terms("EUR", 2, commission=Decimal("0.30"))
LIBRE = per_minute(EUR, Decimal("1.55"))
FREE = per_minute(EUR, Decimal("1.55"), free_minutes=10)
FORFAIT = package(EUR, Decimal(60), 60, then_per_minute=Decimal("1.55"), short_call_seconds=30)


@pytest.mark.parametrize(
    ("tariff", "lengths", "totals"),
    [
        (LIBRE, ["60", "60"], [155, 155]),
        (LIBRE, ["0.4", "0.4", "0.4"], [3, 0, 2]),  # 1 s: 0.03; still 1 s; 2 s: 0.05
        (LIBRE, ["30.5", "29.5"], [80, 75]),  # 31 s: 0.80; together 60 s
        (FREE, ["300", "300", "1"], [0, 0, 3]),
        (FREE, ["660", "60"], [155, 155]),
        (FORFAIT, ["600", "600"], [6000, 0]),
        (FORFAIT, ["3599.6", "0.4", "1"], [6000, 0, 3]),
        (FORFAIT, ["20", "20"], [0, 6000]),  # the line failed twice, and after 30 s there is a consultation
        (FORFAIT, ["20", "9.999999"], [0, 0]),
        (FORFAIT, ["3600", "60"], [6000, 155]),
    ],
)
def test_parts_by_hand(tariff: Tariff, lengths: list[str], totals: list[int]) -> None:
    before, found = NOTHING, []
    for seconds in map(Decimal, lengths):
        cost = price_part(tariff, before, seconds)
        before = after(before, seconds, cost)
        found.append(cost.total)
    assert found == totals


def test_a_part_names_the_whole_and_what_was_paid_of_it() -> None:
    before = after(NOTHING, Decimal(600), price(FORFAIT, 600))
    lines = [(line.what, line.seconds, line.amount) for line in price_part(FORFAIT, before, 3060).lines]
    assert lines == [("fee", 0, 6000), ("included", 3600, 0), ("talk", 60, 155), ("earlier", 0, -6000)]


def test_a_tariff_without_its_free_minutes_is_paid_from_the_first_second() -> None:
    assert without_free(FREE) == LIBRE
    assert without_free(FORFAIT) == FORFAIT
