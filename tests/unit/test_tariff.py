"""Properties that hold for every tariff; the tables are in test_tariff_cases.py."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiphone.billing.pricing.talk import BRIDGE_ENTER, BRIDGE_EXIT, Event, talk
from taxiphone.billing.pricing.tariff import Segment, Tariff, Terms, package, per_minute
from taxiphone.billing.pricing.tariff_explained import explain
from taxiphone.billing.pricing.tariff_json import from_json, to_json
from taxiphone.billing.pricing.tariff_price import Line, longest_talk, price, shares

D = Decimal
EUR = Terms("EUR", 2, commission=D("0.30"), recording_fee=D("5.00"))
LIBRE = per_minute(EUR, D("1.55"))
FREE_10 = per_minute(EUR, D("1.55"), free_minutes=10)
FORFAIT = package(EUR, D("60.00"), 60, then_per_minute=D("1.55"), short_call_seconds=30)
MINUTES_60_60 = per_minute(replace(EUR, first=60, step=60), D("1.55"))
MINUTES_60_1 = per_minute(replace(EUR, first=60, step=1), D("1.55"))
SIX_SECONDS = per_minute(replace(EUR, first=30, step=6), D("0.90"))
YEN = per_minute(Terms("JPY", 0, commission=D("0.30")), D(95))
DINAR = per_minute(Terms("TND", 3, commission=D("0.25")), D("1.550"))


def test_each_line_says_what_it_is_for() -> None:
    assert price(FORFAIT, 3661, recorded=True).lines == (
        Line("fee", 0, 6000),
        Line("included", 3600, 0),
        Line("talk", 61, 158),
        Line("recording", 0, 500),
    )


def test_a_short_package_is_a_network_fault_and_a_short_talk_by_the_minute_is_not() -> None:
    assert price(FORFAIT, 29).network_fault
    assert not price(FORFAIT, 30).network_fault
    assert not price(LIBRE, 1).network_fault


def test_a_segment_never_bills_past_the_start_of_the_next() -> None:
    tariff = Tariff("EUR", 2, D(0), (Segment(0, D(6), 60, 60), Segment(90, D("0.60"), 60, 30)))
    # 1 minute, then what is left of the 90 s at 6.00; then at least 60 s at 0.60
    assert [(line.seconds, line.amount) for line in price(tariff, 61).lines] == [(90, 900)]
    assert [(line.seconds, line.amount) for line in price(tariff, 90).lines] == [(90, 900)]
    assert [(line.seconds, line.amount) for line in price(tariff, 91).lines] == [(90, 900), (60, 60)]
    assert [(line.seconds, line.amount) for line in price(tariff, 151).lines] == [(90, 900), (90, 90)]


def test_each_line_is_rounded_for_itself_and_half_a_cent_goes_up() -> None:
    tariff = Tariff("EUR", 2, D("0.005"), (Segment(0, D("0.3"), 1, 1), Segment(1, D("0.3"), 1, 1)))
    # 0.5 -> 1; 0.5 -> 1; 0.5 -> 1: three cents, where the sum of the exact amounts is 1.5
    assert [line.amount for line in price(tariff, 2).lines] == [1, 1, 1]


def test_prices_may_have_any_number_of_decimals() -> None:
    tariff = per_minute(EUR, D("0.123456789012345678901234567890"))
    assert price(tariff, 3600).total == 741  # 740.74...


def test_the_commission_can_leave_the_fee_of_the_recording_alone() -> None:
    tariff = replace(LIBRE, commission_on_recording=False)
    cost = price(tariff, 60, recorded=True)
    assert (cost.total, cost.commission, cost.consultant) == (655, 47, 608)


def test_an_infinite_credit_is_refused() -> None:
    free_at_last = Tariff("EUR", 2, D(1), (Segment(0, D(1)), Segment(60, D(0))))
    assert longest_talk(per_minute(EUR, D(0)), 0) is None
    assert longest_talk(free_at_last, 199) == 59
    assert longest_talk(free_at_last, 200) is None


def test_a_tax_and_a_commission_of_any_number_of_decimals_stay_exact() -> None:
    half = Tariff("EUR", 2, D("0.03"), (Segment(0, D(0)),), commission=D("0.5"), vat=D(1))
    assert (price(half, 60).commission, price(half, 60).net) == (2, 2)  # 1.5 -> 2, both
    below = replace(half, commission=D("0.4" + "9" * 40))
    assert price(below, 60).commission == 1  # 1.4999...
    assert any(f"Commission: 49.{'9' * 39}% of" in step.text for step in explain(below, 60, price(below, 60)))
    # 0.03 / 1.2 is 2.5 cents; with a tax that is larger by its fortieth decimal it is less
    assert price(replace(half, vat=D("0.2")), 60).net == 3
    assert price(replace(half, vat=D("0.2" + "0" * 38 + "1")), 60).net == 2


@pytest.mark.parametrize("bad", [1.5, True, "60", None])
def test_a_length_that_is_not_exact_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError):
        price(LIBRE, bad)


@pytest.mark.parametrize("bad", [D(-1), D("NaN"), D("Infinity")])
def test_a_length_that_cannot_be_is_refused(bad: Decimal) -> None:
    with pytest.raises(ValueError, match="seconds"):
        price(LIBRE, bad)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("fee", {"fee": "-1"}),
        ("fee", {"fee": 1.5}),
        ("fee", {"fee": "a lot"}),
        ("fee", {"fee": "NaN"}),
        ("commission", {"commission": "1.01"}),
        ("commission_on_recording", {"commission_on_recording": "no"}),
        ("vat", {"vat": True}),
        ("currency", {"currency": 978}),
        ("digits", {"digits": "2"}),
        ("short_call_seconds", {"short_call_seconds": -1}),
        ("segments", {"segments": []}),
        ("segments", {"segments": "all"}),
        ("segments[0].from", {"segments": [{"from": 1, "price_per_minute": "1"}]}),
        ("segments[1].from", {"segments": [{"from": 0, "price_per_minute": "1"}] * 2}),
        ("segments[0].step", {"segments": [{"from": 0, "price_per_minute": "1", "step": 0}]}),
        ("segments[0].first", {"segments": [{"from": 0, "price_per_minute": "1", "first": 1.0}]}),
        ("segments[0].price_per_minute", {"segments": [{"from": 0, "price_per_minute": 1.55}]}),
        ("segments[0].price_per_minute", {"segments": [{"from": 0}]}),
        ("segments[0].until", {"segments": [{"from": 0, "price_per_minute": "1", "until": 3}]}),
        ("segments[0]", {"segments": ["1.55"]}),
        ("surcharge", {"surcharge": "1"}),
    ],
)
def test_an_invalid_tariff_is_refused_with_its_key(key: str, change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        from_json({**to_json(LIBRE), **change})
    assert str(caught.value).startswith(f"{key}:")


@pytest.mark.parametrize("tariff", [LIBRE, FREE_10, FORFAIT, SIX_SECONDS, YEN, DINAR])
def test_a_frozen_tariff_is_the_same_when_it_is_read_again(tariff: Tariff) -> None:
    assert from_json(to_json(tariff)) == tariff


def test_the_explanation_ends_in_the_same_amounts_as_the_price() -> None:
    steps = explain(FORFAIT, D("3660.4"), price(FORFAIT, D("3660.4"), recorded=True))
    assert [step.amount for step in steps if step.what == "line"] == [6000, 0, 158, 500]
    assert {step.what: step.amount for step in steps if step.amount is not None} | {"line": 0} == {
        "line": 0,
        "total": 6658,
        "commission": 1997,
        "consultant": 4661,
    }
    assert any("3660.4 s" in step.text and "3661 s" in step.text for step in steps)
    assert any("61 s x 1.55 / 60 = 1.575833..., rounded half up to 1.58" in step.text for step in steps)


def test_the_explanation_of_a_network_fault_says_so() -> None:
    assert "shorter than 30 s" in explain(FORFAIT, D(29), price(FORFAIT, D(29)))[-1].text


# -- properties -------------------------------------------------------------------------------------------------------

prices = st.decimals(0, 20, places=4)


@st.composite
def tariffs(draw: st.DrawFn, *, short: bool = True) -> Tariff:
    starts = [0, *sorted(draw(st.sets(st.integers(1, 4000), max_size=3)))]
    return Tariff(
        "EUR",
        draw(st.sampled_from([0, 2, 3])),
        draw(prices),
        tuple(
            Segment(start, draw(prices), draw(st.integers(1, 90)), draw(st.integers(1, 90)))
            for start in starts
        ),
        short_call_seconds=draw(st.integers(0, 60)) if short else 0,
        commission=draw(st.decimals(0, 1, places=4)),
        commission_on_recording=draw(st.booleans()),
        recording_fee=draw(st.decimals(0, 10, places=2)),
        vat=draw(st.decimals(0, 1, places=3)),
    )


lengths = st.decimals(0, 9000, places=6)


@given(tariff=tariffs(), seconds=lengths, recorded=st.booleans())
def test_lines_sum_to_the_total_and_so_do_the_shares_and_the_tax(
    tariff: Tariff, seconds: Decimal, recorded: bool
) -> None:
    cost = price(tariff, seconds, recorded=recorded)
    assert sum(line.amount for line in cost.lines) == cost.total == cost.commission + cost.consultant
    assert cost.net + cost.vat == cost.total
    assert min(cost.total, cost.commission, cost.consultant, cost.net, cost.vat) >= 0
    assert cost.billed_seconds == sum(line.seconds for line in cost.lines)
    assert all(type(number) is int for line in cost.lines for number in (line.seconds, line.amount))


@given(tariff=tariffs(), seconds=lengths, more=lengths, recorded=st.booleans())
def test_a_longer_talk_never_costs_less(
    tariff: Tariff, seconds: Decimal, more: Decimal, recorded: bool
) -> None:
    longer = price(tariff, seconds + more, recorded=recorded).total
    assert price(tariff, seconds, recorded=recorded).total <= longer
    assert price(tariff, ceil(seconds + more), recorded=recorded).total >= longer


@given(tariff=tariffs(short=False), credit=st.integers(0, 100_000), recorded=st.booleans())
def test_the_longest_talk_is_affordable_and_a_second_more_is_not(
    tariff: Tariff, credit: int, recorded: bool
) -> None:
    seconds = longest_talk(tariff, credit, recorded=recorded)
    if seconds is None:
        assert price(tariff, 10**9, recorded=recorded).total <= credit
        return
    if seconds:
        assert price(tariff, seconds, recorded=recorded).total <= credit
    assert price(tariff, seconds + 1, recorded=recorded).total > credit
    assert price(tariff, seconds + D("0.000001"), recorded=recorded).total > credit


@given(tariff=tariffs(), credit=st.integers(0, 100_000), seconds=lengths, recorded=st.booleans())
def test_no_talk_within_the_longest_costs_more_than_the_credit(
    tariff: Tariff, credit: int, seconds: Decimal, recorded: bool
) -> None:
    longest = longest_talk(tariff, credit, recorded=recorded)
    if longest is None or seconds <= longest:
        assert price(tariff, seconds, recorded=recorded).total <= credit


@given(
    tariff=tariffs(),
    pieces=st.lists(st.integers(1, 3 * 10**9), min_size=1, max_size=6),
    recorded=st.booleans(),
)
def test_a_talk_in_pieces_costs_what_it_costs_in_one(
    tariff: Tariff, pieces: list[int], recorded: bool
) -> None:
    """The pieces are periods in the bridge, in microseconds. They are one talk, rounded once."""
    at = datetime(2026, 11, 22, 18, tzinfo=UTC)
    events = [Event(BRIDGE_ENTER, at, "consultant", "talk")]
    for piece in pieces:
        begin = at + timedelta(seconds=7)
        at = begin + timedelta(microseconds=piece)
        events += [Event(BRIDGE_ENTER, begin, "client", "talk"), Event(BRIDGE_EXIT, at, "client", "talk")]
    talked = talk(events, "client", "consultant", "talk")
    assert talked is not None
    in_one = price(tariff, D(sum(pieces)).scaleb(-6), recorded=recorded)
    assert price(tariff, talked.seconds, recorded=recorded) == in_one


@given(tariff=tariffs(short=False), pieces=st.lists(st.integers(0, 3000), max_size=6))
def test_what_each_piece_adds_sums_to_the_price_of_the_whole(tariff: Tariff, pieces: list[int]) -> None:
    reached = list(itertools.accumulate(pieces, initial=0))
    totals = [price(tariff, seconds).total for seconds in reached]
    added = [after - before for before, after in itertools.pairwise(totals)]
    assert min(added, default=0) >= 0
    assert sum(added) == price(tariff, sum(pieces)).total


def half_up(exact: Fraction) -> int:
    return floor(exact + Fraction(1, 2))


@given(tariff=tariffs(), seconds=lengths, recorded=st.booleans())
def test_the_price_is_that_of_a_count_second_by_second(
    tariff: Tariff, seconds: Decimal, recorded: bool
) -> None:
    """Compares with a slow model of the rules in fractions that shares no code with the tariff."""
    unit = 10**tariff.digits
    lines, counted, recording = [], 0, 0
    if 0 < seconds >= tariff.short_call_seconds:
        whole = ceil(Fraction(seconds))
        lines.append(half_up(Fraction(tariff.fee) * unit))
        ends = [segment.start for segment in tariff.segments[1:]] + [10**9]
        for segment, end in zip(tariff.segments, ends, strict=True):
            if whole <= segment.start:
                break
            billed = segment.first
            while segment.start + billed < min(whole, end):
                billed += segment.step
            billed = min(billed, end - segment.start)
            counted += billed
            lines.append(half_up(Fraction(segment.price_per_minute) * billed * unit / 60))
        recording = half_up(Fraction(tariff.recording_fee) * unit) if recorded else 0
    total = sum(lines) + recording
    base = total if tariff.commission_on_recording else total - recording
    cost = price(tariff, seconds, recorded=recorded)
    assert (cost.total, cost.billed_seconds) == (total, counted)
    assert cost.commission == half_up(base * Fraction(tariff.commission))
    assert cost.net == half_up(total / (1 + Fraction(tariff.vat)))


@given(total=st.integers(0, 10**9), fee=st.integers(0, 10**4), tariff=tariffs())
def test_a_recording_charged_later_leaves_the_same_shares_as_one_charged_at_once(
    total: int, fee: int, tariff: Tariff
) -> None:
    before, after = shares(tariff, total, 0), shares(tariff, total + fee, fee)
    assert sum(before) == total
    assert sum(after) == total + fee
    assert after[0] >= before[0]
    assert after[1] >= before[1]
