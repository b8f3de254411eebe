"""What a talk costs, by tables computed by hand and by properties. Amounts in cents unless the currency has none."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from taxiphone.billing.tariff import (
    Line,
    Segment,
    Tariff,
    Terms,
    longest_talk,
    most,
    package,
    per_minute,
    price,
    shares,
)
from taxiphone.billing.tariff_explained import explain
from taxiphone.billing.tariff_json import from_json, to_json

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

# Each by hand: price x billed seconds / 60, half up; commission 30 % of the total, half up; the share is the rest.
CASES = [
    # tariff, seconds, recorded, billed, amounts of the lines, total, commission, consultant
    (LIBRE, "0", False, 0, [], 0, 0, 0),
    (LIBRE, "0", True, 0, [], 0, 0, 0),  # nothing was talked: no fee for a recording of it
    (LIBRE, "0.000001", False, 1, [3], 3, 1, 2),  # 2.583 -> 3; 0.9 -> 1
    (LIBRE, "1", False, 1, [3], 3, 1, 2),
    (LIBRE, "1.000001", False, 2, [5], 5, 2, 3),  # 5.1667; 1.5 -> 2
    (LIBRE, "59", False, 59, [152], 152, 46, 106),  # 152.4167; 45.6
    (LIBRE, "60", False, 60, [155], 155, 47, 108),  # 46.5 -> 47
    (LIBRE, "61", False, 61, [158], 158, 47, 111),  # 157.583; 47.4
    (LIBRE, "83.4", False, 84, [217], 217, 65, 152),  # 217.0 exactly; 65.1
    (LIBRE, "83.4", True, 84, [217, 500], 717, 215, 502),  # 215.1
    (LIBRE, "774", False, 774, [2000], 2000, 600, 1400),  # 1999.5 -> 2000
    (LIBRE, "775", False, 775, [2002], 2002, 601, 1401),  # 2002.083; 600.6
    (LIBRE, "3600", False, 3600, [9300], 9300, 2790, 6510),
    (LIBRE, "86400", False, 86400, [223200], 223200, 66960, 156240),
    (FREE_10, "1", False, 1, [0], 0, 0, 0),
    (FREE_10, "599", False, 599, [0], 0, 0, 0),
    (FREE_10, "600", False, 600, [0], 0, 0, 0),
    (FREE_10, "600.000001", False, 601, [0, 3], 3, 1, 2),
    (FREE_10, "601", False, 601, [0, 3], 3, 1, 2),
    (FREE_10, "660", False, 660, [0, 155], 155, 47, 108),
    (FREE_10, "300", True, 300, [0, 500], 500, 150, 350),  # free minutes do not make a recording free
    (FREE_10, "4200", False, 4200, [0, 9300], 9300, 2790, 6510),
    (FORFAIT, "0", False, 0, [], 0, 0, 0),
    (FORFAIT, "1", False, 0, [], 0, 0, 0),
    (FORFAIT, "29", False, 0, [], 0, 0, 0),
    (FORFAIT, "29", True, 0, [], 0, 0, 0),  # a network fault: no fee either
    (FORFAIT, "29.999999", False, 0, [], 0, 0, 0),  # shorter than 30 s, though 30 s rounded up
    (FORFAIT, "30", False, 30, [6000, 0], 6000, 1800, 4200),
    (FORFAIT, "31", False, 31, [6000, 0], 6000, 1800, 4200),
    (FORFAIT, "3599", False, 3599, [6000, 0], 6000, 1800, 4200),
    (FORFAIT, "3600", False, 3600, [6000, 0], 6000, 1800, 4200),
    (FORFAIT, "3600", True, 3600, [6000, 0, 500], 6500, 1950, 4550),
    (FORFAIT, "3600.000001", False, 3601, [6000, 0, 3], 6003, 1801, 4202),  # 1800.9
    (FORFAIT, "3601", False, 3601, [6000, 0, 3], 6003, 1801, 4202),
    (FORFAIT, "3660", False, 3660, [6000, 0, 155], 6155, 1847, 4308),  # 1846.5 -> 1847
    (FORFAIT, "7200", False, 7200, [6000, 0, 9300], 15300, 4590, 10710),
    (MINUTES_60_60, "1", False, 60, [155], 155, 47, 108),
    (MINUTES_60_60, "60", False, 60, [155], 155, 47, 108),
    (MINUTES_60_60, "60.1", False, 120, [310], 310, 93, 217),
    (MINUTES_60_60, "61", False, 120, [310], 310, 93, 217),
    (MINUTES_60_60, "120", False, 120, [310], 310, 93, 217),
    (MINUTES_60_60, "121", False, 180, [465], 465, 140, 325),  # 139.5 -> 140
    (MINUTES_60_1, "1", False, 60, [155], 155, 47, 108),
    (MINUTES_60_1, "59", False, 60, [155], 155, 47, 108),
    (MINUTES_60_1, "61", False, 61, [158], 158, 47, 111),
    (SIX_SECONDS, "1", False, 30, [45], 45, 14, 31),  # 13.5 -> 14
    (SIX_SECONDS, "31", False, 36, [54], 54, 16, 38),  # 16.2
    (SIX_SECONDS, "36", False, 36, [54], 54, 16, 38),
    (SIX_SECONDS, "37", False, 42, [63], 63, 19, 44),  # 18.9
    (YEN, "1", False, 1, [2], 2, 1, 1),  # 1.583 -> 2; 0.6 -> 1
    (YEN, "19", False, 19, [30], 30, 9, 21),  # 30.083
    (YEN, "60", False, 60, [95], 95, 29, 66),  # 28.5 -> 29
    (YEN, "61", False, 61, [97], 97, 29, 68),  # 96.583; 29.1
    (DINAR, "1", False, 1, [26], 26, 7, 19),  # 25.833; 6.5 -> 7
    (DINAR, "60", False, 60, [1550], 1550, 388, 1162),  # 387.5 -> 388
    (DINAR, "61", False, 61, [1576], 1576, 394, 1182),  # 1575.833
]


@pytest.mark.parametrize(
    ("tariff", "seconds", "recorded", "billed", "amounts", "total", "commission", "share"), CASES
)
def test_a_talk_costs_what_was_computed_by_hand(
    tariff: Tariff,
    seconds: str,
    recorded: bool,
    billed: int,
    amounts: list[int],
    total: int,
    commission: int,
    share: int,
) -> None:
    cost = price(tariff, D(seconds), recorded=recorded)
    assert [line.amount for line in cost.lines] == amounts
    assert (cost.billed_seconds, cost.total, cost.commission, cost.consultant) == (
        billed,
        total,
        commission,
        share,
    )


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


@pytest.mark.parametrize(
    ("rate", "total", "net", "vat"),
    [
        ("0.20", 155, 129, 26),
        ("0.20", 6000, 5000, 1000),
        ("0", 155, 155, 0),
        ("0.055", 1, 1, 0),
        ("1", 3, 2, 1),
    ],
)
def test_the_tax_is_inside_the_price_and_net_and_tax_sum_to_it(
    rate: str, total: int, net: int, vat: int
) -> None:
    tariff = Tariff("EUR", 2, D(total).scaleb(-2), (Segment(0, D(0)),), vat=D(rate))
    cost = price(tariff, 60)
    assert (cost.total, cost.net, cost.vat) == (total, net, vat)


@pytest.mark.parametrize(
    ("tariff", "credit", "recorded", "seconds"),
    [
        (LIBRE, 0, False, 0),
        (LIBRE, 2, False, 0),  # one second is 2.58, three cents
        (LIBRE, 3, False, 1),
        (LIBRE, 155, False, 60),
        (LIBRE, 154, False, 59),
        (LIBRE, 2000, False, 774),  # 1999.5 is 2000
        (LIBRE, 1999, False, 773),
        (LIBRE, 655, True, 60),
        (LIBRE, 499, True, 0),
        (FREE_10, 0, False, 600),
        (FREE_10, 155, False, 660),
        (FORFAIT, 5999, False, 0),
        (FORFAIT, 6000, False, 3600),
        (FORFAIT, 6155, False, 3660),
        (FORFAIT, 6499, True, 0),
        (FORFAIT, 6500, True, 3600),
        (MINUTES_60_60, 154, False, 0),
        (MINUTES_60_60, 155, False, 60),
        (MINUTES_60_60, 309, False, 60),
        (MINUTES_60_60, 310, False, 120),
        (SIX_SECONDS, 44, False, 0),
        (SIX_SECONDS, 45, False, 30),
        (SIX_SECONDS, 53, False, 30),
        (SIX_SECONDS, 54, False, 36),
        (YEN, 95, False, 60),
        (per_minute(EUR, D(0)), 0, False, None),
        (Tariff("EUR", 2, D(1), (Segment(0, D(1)), Segment(60, D(0)))), 199, False, 59),
        (Tariff("EUR", 2, D(1), (Segment(0, D(1)), Segment(60, D(0)))), 200, False, None),
    ],
)
def test_the_longest_talk_that_a_credit_pays_for(
    tariff: Tariff, credit: int, recorded: bool, seconds: int | None
) -> None:
    assert longest_talk(tariff, credit, recorded=recorded) == seconds


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
def test_a_tariff_that_cannot_be_is_refused_by_its_key(key: str, change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        from_json({**to_json(LIBRE), **change})
    assert str(caught.value).startswith(f"{key}:")


@pytest.mark.parametrize("tariff", [LIBRE, FREE_10, FORFAIT, SIX_SECONDS, YEN, DINAR])
def test_a_frozen_tariff_is_the_same_when_it_is_read_again(tariff: Tariff) -> None:
    assert from_json(to_json(tariff)) == tariff


def test_the_explanation_ends_in_the_same_amounts_as_the_price() -> None:
    steps = explain(FORFAIT, D("3660.4"), recorded=True)
    assert [step.amount for step in steps if step.what == "line"] == [6000, 0, 158, 500]
    assert {step.what: step.amount for step in steps if step.amount is not None} | {"line": 0} == {
        "line": 0,
        "total": 6658,
        "commission": 1997,
        "consultant": 4661,
    }
    assert any("3660.4 s" in step.text and "3661 s" in step.text for step in steps)
    assert any("61 s x 1.55 / 60 = 1.575833..., to the cent 1.58" in step.text for step in steps)


def test_the_explanation_of_a_network_fault_says_so() -> None:
    assert "shorter than 30 s" in explain(FORFAIT, D(29))[-1].text


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
    assert most(tariff, ceil(seconds + more), recorded=recorded) >= longer


@given(tariff=tariffs(short=False), credit=st.integers(0, 100_000), recorded=st.booleans())
def test_the_longest_talk_is_affordable_and_a_second_more_is_not(
    tariff: Tariff, credit: int, recorded: bool
) -> None:
    seconds = longest_talk(tariff, credit, recorded=recorded)
    if seconds is None:
        assert most(tariff, 10**9, recorded=recorded) <= credit
        return
    if seconds:
        assert most(tariff, seconds, recorded=recorded) <= credit
    assert most(tariff, seconds + 1, recorded=recorded) > credit


@given(tariff=tariffs(), seconds=lengths)
def test_the_price_is_that_of_a_count_second_by_second(tariff: Tariff, seconds: Decimal) -> None:
    """A slow model of the rules, in fractions, that shares no line with the tariff's own arithmetic."""
    assume(seconds > 0)
    total = 0
    if seconds >= tariff.short_call_seconds:
        whole = ceil(Fraction(seconds))
        unit = 10**tariff.digits
        total = floor(Fraction(tariff.fee) * unit + Fraction(1, 2))
        ends = [segment.start for segment in tariff.segments[1:]] + [10**9]
        for segment, end in zip(tariff.segments, ends, strict=True):
            if whole <= segment.start:
                break
            billed = segment.first
            while segment.start + billed < min(whole, end):
                billed += segment.step
            billed = min(billed, end - segment.start)
            total += floor(Fraction(segment.price_per_minute) * billed * unit / 60 + Fraction(1, 2))
    assert price(tariff, seconds).total == total


@given(total=st.integers(0, 10**9), fee=st.integers(0, 10**4), tariff=tariffs())
def test_a_recording_charged_later_leaves_the_same_shares_as_one_charged_at_once(
    total: int, fee: int, tariff: Tariff
) -> None:
    before, after = shares(tariff, total, 0), shares(tariff, total + fee, fee)
    assert sum(before) == total
    assert sum(after) == total + fee
    assert after[0] >= before[0]
    assert after[1] >= before[1]
