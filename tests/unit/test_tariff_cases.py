"""What a talk costs, as tables: calculated by hand or published by other rating engines; each row names its source.

A row is: tariff, seconds of talk, the lines (what, billed seconds, minor units), total, commission, share, source. A sum in
a source is exact up to the arrow; there it is rounded, half up. `3 x 1.55 / 60` is three seconds.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from taxiphone.billing.pricing.money import digits_of
from taxiphone.billing.pricing.tariff import Tariff
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.billing.pricing.tariff_price import longest_talk, price


def tariff(currency: str, *segments: tuple[Any, ...], **others: Any) -> Tariff:
    """Segments are (from, price per minute, first block, step)."""
    keys = ("from", "price_per_minute", "first", "step")
    listed = [dict(zip(keys, segment, strict=False)) for segment in segments]
    return from_json({"currency": currency, "digits": digits_of(currency), "segments": listed, **others})


SHARES = {"commission": "0.30", "recording_fee": "5.00"}  # 30 %, and 5.00 for a recording

TARIFFS = {
    # Per minute, free minutes, package.
    "libre": tariff("EUR", (0, "1.55"), **SHARES),
    "free 10": tariff("EUR", (0, "0"), (600, "1.55"), **SHARES),
    "forfait": tariff("EUR", (0, "0"), (3600, "1.55"), fee="60", short_call_seconds=30, **SHARES),
    "forfait, fee apart": tariff(
        "EUR",
        (0, "0"),
        (3600, "1.55"),
        fee="60",
        short_call_seconds=30,
        commission_on_recording=False,
        **SHARES,
    ),
    # other increments
    "60/60": tariff("EUR", (0, "1.55", 60, 60), **SHARES),
    "60/1": tariff("EUR", (0, "1.55", 60, 1), **SHARES),
    "30/6": tariff("EUR", (0, "0.90", 30, 6), **SHARES),
    "forfait, then 60/60": tariff("EUR", (0, "0"), (3600, "1.55", 60, 60), fee="60", **SHARES),
    "cut short": tariff("EUR", (0, "6.00", 60, 60), (90, "0.60", 60, 30)),
    "block too long": tariff("EUR", (0, "3.00", 120, 60), (45, "1.00")),
    # a fee at the beginning, a threshold
    "fee and threshold": tariff("EUR", (0, "1.20"), fee="0.15", short_call_seconds=10, commission="0.5"),
    "odd decimals": tariff("EUR", (0, "0.333333"), fee="0.005", commission="0.125"),
    "half cents": tariff("EUR", (0, "0.3"), (1, "0.3"), fee="0.005"),
    # currencies with no, three and four decimals
    "yen": tariff("JPY", (0, "95"), commission="0.30"),
    "yen, fee": tariff("JPY", (0, "95"), fee="0.5", commission="0.30"),
    "dinar": tariff("TND", (0, "1.550"), commission="0.25"),
    "dinar, recorded": tariff("TND", (0, "1.5505"), commission="0.25", recording_fee="5.0005"),
    # other people's
    "CGRateS 10CNT": tariff("EUR", (0, "0.10", 60, 60), (60, "0.05", 1, 1), fee="0.20"),
    "CGRateS 10CNT, dinar": tariff("TND", (0, "0.10", 60, 60), (60, "0.05", 1, 1), fee="0.20"),
    "CGRateS 20CNT": tariff("EUR", (0, "0.20", 60, 60), (60, "0.10", 1, 1), fee="0.40"),
    "CGRateS 40CNT": tariff("EUR", (0, "0.40", 60, 60), (60, "0.20", 10, 10), fee="0.80"),
    "CGRateS 1CNT": tariff("EUR", (0, "0.01", 60, 60)),
    "CGRateS EventCost": tariff("EUR", (0, "0"), (30, "0.30"), (60, "0.60"), fee="0.1"),
    "Kolmisoft 1": tariff("EUR", (0, "1")),
    "Kolmisoft 10": tariff("EUR", (0, "1", 10, 10)),
    "Kolmisoft 20": tariff("EUR", (0, "1", 20, 20)),
    "Kolmisoft 30": tariff("EUR", (0, "1", 30, 30)),
    "Kolmisoft 60": tariff("EUR", (0, "1", 60, 60)),
    "Kolmisoft min 10": tariff("EUR", (0, "1", 10, 1)),
    "MagnusBilling": tariff("EUR", (0, "0.05", 30, 6)),
    "4.9 cents": tariff("EUR", (0, "4.9", 30, 6)),
    "6/6": tariff("EUR", (0, "1", 6, 6)),
    "18/6": tariff("EUR", (0, "1", 18, 6)),
    "A2Billing progressive": tariff("EUR", (0, "0.06"), (600, "0.07"), (1800, "0.08")),
    "A2Billing issue 22": tariff("EUR", (0, "0.04", 60, 1)),
}

BY_HAND = [
    ("libre", "0", "", 0, 0, 0, "nothing was talked"),
    ("libre", "0.000001", "talk 1 3", 3, 1, 2, "1 x 1.55 / 60 = 2.583 -> 3; 0.9 -> 1"),
    ("libre", "1", "talk 1 3", 3, 1, 2, "1 x 1.55 / 60 = 2.583 -> 3"),
    ("libre", "1.000001", "talk 2 5", 5, 2, 3, "2 x 1.55 / 60 = 5.167 -> 5; 1.5 -> 2"),
    ("libre", "12", "talk 12 31", 31, 9, 22, "12 x 1.55 / 60 = 31; 9.3 -> 9"),
    ("libre", "59", "talk 59 152", 152, 46, 106, "59 x 1.55 / 60 = 152.417 -> 152; 45.6 -> 46"),
    ("libre", "59.000001", "talk 60 155", 155, 47, 108, "the 60th second has begun"),
    ("libre", "60", "talk 60 155", 155, 47, 108, "60 x 1.55 / 60 = 155; 46.5 -> 47"),
    ("libre", "60.000001", "talk 61 158", 158, 47, 111, "the 61st second has begun"),
    ("libre", "61", "talk 61 158", 158, 47, 111, "61 x 1.55 / 60 = 157.583 -> 158; 47.4 -> 47"),
    ("libre", "83.4", "talk 84 217", 217, 65, 152, "84 x 1.55 / 60 = 217; 65.1 -> 65"),
    ("libre", "774", "talk 774 2000", 2000, 600, 1400, "774 x 1.55 / 60 = 1999.5 -> 2000"),
    ("libre", "775", "talk 775 2002", 2002, 601, 1401, "775 x 1.55 / 60 = 2002.083; 600.6 -> 601"),
    ("libre", "3600", "talk 3600 9300", 9300, 2790, 6510, "60 x 1.55"),
    ("libre", "86400", "talk 86400 223200", 223200, 66960, 156240, "1440 x 1.55"),
    ("free 10", "0", "", 0, 0, 0, "nothing was talked"),
    ("free 10", "1", "included 1 0", 0, 0, 0, "free"),
    ("free 10", "599", "included 599 0", 0, 0, 0, "free, one second is left over"),
    ("free 10", "600", "included 600 0", 0, 0, 0, "free, used up to the second"),
    ("free 10", "600.000001", "included 600 0, talk 1 3", 3, 1, 2, "2.583 -> 3: the first that is paid"),
    ("free 10", "601", "included 600 0, talk 1 3", 3, 1, 2, "1 x 1.55 / 60 = 2.583 -> 3"),
    ("free 10", "660", "included 600 0, talk 60 155", 155, 47, 108, "one minute is paid"),
    ("free 10", "4200", "included 600 0, talk 3600 9300", 9300, 2790, 6510, "an hour is paid"),
    ("forfait", "0", "", 0, 0, 0, "nothing was talked"),
    ("forfait", "1", "", 0, 0, 0, "a network fault"),
    ("forfait", "29", "", 0, 0, 0, "threshold - 1: a network fault"),
    ("forfait", "29.000001", "", 0, 0, 0, "29.000001 is shorter than 30, though rounded up it is not"),
    ("forfait", "29.999999", "", 0, 0, 0, "29.999999 is shorter than 30"),
    ("forfait", "30", "fee 0 6000, included 30 0", 6000, 1800, 4200, "the threshold: no fault any more"),
    ("forfait", "30.000001", "fee 0 6000, included 31 0", 6000, 1800, 4200, "beyond the threshold"),
    ("forfait", "31", "fee 0 6000, included 31 0", 6000, 1800, 4200, "beyond the threshold"),
    ("forfait", "3599", "fee 0 6000, included 3599 0", 6000, 1800, 4200, "D - 1"),
    ("forfait", "3599.000001", "fee 0 6000, included 3600 0", 6000, 1800, 4200, "within D"),
    ("forfait", "3600", "fee 0 6000, included 3600 0", 6000, 1800, 4200, "D itself is included"),
    ("forfait", "3600.000001", "fee 0 6000, included 3600 0, talk 1 3", 6003, 1801, 4202, "1800.9 -> 1801"),
    ("forfait", "3601", "fee 0 6000, included 3600 0, talk 1 3", 6003, 1801, 4202, "D + 1: 2.583 -> 3"),
    ("forfait", "3660", "fee 0 6000, included 3600 0, talk 60 155", 6155, 1847, 4308, "1846.5 -> 1847"),
    ("forfait", "3661", "fee 0 6000, included 3600 0, talk 61 158", 6158, 1847, 4311, "1847.4 -> 1847"),
    ("forfait", "7200", "fee 0 6000, included 3600 0, talk 3600 9300", 15300, 4590, 10710, "60 + 93"),
    ("60/60", "1", "talk 60 155", 155, 47, 108, "the first minute is begun"),
    ("60/60", "60", "talk 60 155", 155, 47, 108, "the first minute is full"),
    ("60/60", "60.1", "talk 120 310", 310, 93, 217, "the second is begun"),
    ("60/60", "61", "talk 120 310", 310, 93, 217, "the second is begun"),
    ("60/60", "120", "talk 120 310", 310, 93, 217, "the second is full"),
    ("60/60", "121", "talk 180 465", 465, 140, 325, "3 x 1.55; 139.5 -> 140"),
    ("60/1", "1", "talk 60 155", 155, 47, 108, "at least the first block"),
    ("60/1", "59", "talk 60 155", 155, 47, 108, "at least the first block"),
    ("60/1", "60", "talk 60 155", 155, 47, 108, "the first block is full"),
    ("60/1", "61", "talk 61 158", 158, 47, 111, "then by the second: 157.583 -> 158"),
    ("30/6", "1", "talk 30 45", 45, 14, 31, "30 x 0.90 / 60 = 45; 13.5 -> 14"),
    ("30/6", "30", "talk 30 45", 45, 14, 31, "the first block is full"),
    ("30/6", "31", "talk 36 54", 54, 16, 38, "36 x 0.90 / 60 = 54; 16.2 -> 16"),
    ("30/6", "36", "talk 36 54", 54, 16, 38, "the first step is full"),
    ("30/6", "37", "talk 42 63", 63, 19, 44, "42 x 0.90 / 60 = 63; 18.9 -> 19"),
    (
        "forfait, then 60/60", "3601", "fee 0 6000, included 3600 0, talk 60 155", 6155, 1847, 4308,
        "the first block is that of its own segment",
    ),
    (
        "forfait, then 60/60", "3661", "fee 0 6000, included 3600 0, talk 120 310", 6310, 1893, 4417,
        "the second minute beyond the package",
    ),
    ("cut short", "1", "talk 60 600", 600, 0, 600, "60 x 6.00 / 60"),
    ("cut short", "60", "talk 60 600", 600, 0, 600, "60 x 6.00 / 60"),
    ("cut short", "61", "talk 90 900", 900, 0, 900, "the second block ends where the next segment starts: 90 s"),
    ("cut short", "90", "talk 90 900", 900, 0, 900, "the next segment is not entered yet"),
    ("cut short", "91", "talk 90 900, talk 60 60", 960, 0, 960, "its first block: 60 x 0.60 / 60"),
    ("cut short", "150", "talk 90 900, talk 60 60", 960, 0, 960, "its first block is full"),
    ("cut short", "151", "talk 90 900, talk 90 90", 990, 0, 990, "and a step of 30 s"),
    ("block too long", "1", "talk 45 225", 225, 0, 225, "a first block of 120 s, but only 45 s to the next"),
    ("block too long", "46", "talk 45 225, talk 1 2", 227, 0, 227, "1 x 1.00 / 60 = 1.667 -> 2"),
    ("fee and threshold", "9", "", 0, 0, 0, "a network fault: no fee either"),
    ("fee and threshold", "9.999", "", 0, 0, 0, "shorter than 10 s"),
    ("fee and threshold", "10", "fee 0 15, talk 10 20", 35, 18, 17, "15 + 20; 17.5 -> 18"),
    ("fee and threshold", "11", "fee 0 15, talk 11 22", 37, 19, 18, "15 + 22: the fee once; 18.5 -> 19"),
    ("odd decimals", "1", "fee 0 1, talk 1 1", 2, 0, 2, "0.5 -> 1; 0.5556 -> 1; 0.25 -> 0"),
    ("odd decimals", "180", "fee 0 1, talk 180 100", 101, 13, 88, "0.5 -> 1; 99.9999 -> 100; 12.625 -> 13"),
    ("half cents", "2", "fee 0 1, talk 1 1, talk 1 1", 3, 0, 3, "each line for itself: 0.5 -> 1, three times"),
    ("yen", "1", "talk 1 2", 2, 1, 1, "1 x 95 / 60 = 1.583 -> 2; 0.6 -> 1"),
    ("yen", "19", "talk 19 30", 30, 9, 21, "19 x 95 / 60 = 30.083 -> 30"),
    ("yen", "60", "talk 60 95", 95, 29, 66, "95; 28.5 -> 29"),
    ("yen", "61", "talk 61 97", 97, 29, 68, "61 x 95 / 60 = 96.583 -> 97; 29.1 -> 29"),
    ("yen, fee", "60", "fee 0 1, talk 60 95", 96, 29, 67, "half a yen goes up; 28.8 -> 29"),
    ("dinar", "1", "talk 1 26", 26, 7, 19, "1 x 1550 / 60 = 25.833 -> 26; 6.5 -> 7"),
    ("dinar", "60", "talk 60 1550", 1550, 388, 1162, "387.5 -> 388"),
    ("dinar", "61", "talk 61 1576", 1576, 394, 1182, "61 x 1550 / 60 = 1575.833 -> 1576"),
]  # fmt: skip

RECORDED = [
    ("libre", "0", "", 0, 0, 0, "nothing was talked: no fee for a recording of it"),
    ("libre", "83.4", "talk 84 217, recording 0 500", 717, 215, 502, "215.1 -> 215"),
    ("free 10", "300", "included 300 0, recording 0 500", 500, 150, 350, "free minutes don't make it free"),
    ("forfait", "29", "", 0, 0, 0, "a network fault: no fee of a recording either"),
    ("forfait", "30", "fee 0 6000, included 30 0, recording 0 500", 6500, 1950, 4550, "60 + 5"),
    ("forfait", "3600", "fee 0 6000, included 3600 0, recording 0 500", 6500, 1950, 4550, "60 + 5"),
    (
        "forfait", "3661", "fee 0 6000, included 3600 0, talk 61 158, recording 0 500", 6658, 1997, 4661,
        "30 % of 66.58 = 19.974",
    ),
    (
        "forfait, fee apart", "3661", "fee 0 6000, included 3600 0, talk 61 158, recording 0 500", 6658, 1847, 4811,
        "30 % of 61.58 = 18.474; the recording is the consultant's",
    ),
    ("libre", "86400", "talk 86400 223200, recording 0 500", 223700, 67110, 156590, "once, however long"),
    ("yen", "60", "talk 60 95", 95, 29, 66, "a fee of nothing has no line"),
    ("dinar, recorded", "60", "talk 60 1551, recording 0 5001", 6552, 1638, 4914, "1550.5, 5000.5: halves go up"),
]  # fmt: skip

CGRATES = "CGRateS's tutorial, https://cgrates.readthedocs.io (RT_10CNT, RT_20CNT, RT_40CNT, RT_1CNT): "
CGRATES_TEST = "CGRateS, github.com/cgrates/cgrates engine/eventcost_test.go, TestNewEventCostFromCallCost: "
KOLMISOFT = "http://wiki.kolmisoft.com/index.php?title=What_is_increment: "
KOLMISOFT_MIN = "http://wiki.kolmisoft.com/index.php?title=Wholesale_Tariff: "
VAAS = "http://vaasconsumer.com/call-billing-increment/: "
SAVE_MORE = "http://www.savemoreonphoneservice.com/6secondbilling.htm: "
COMMPEAK = "https://support.commpeak.com/hc/en-us/articles/6851497690397: "
EXPERTS = "https://experts123.com/q/what-is-a-billing-increment.html: "
A2BILLING = "A2Billing's forum, http://forum.asterisk2billing.org/viewtopic.php?t=3960: "

PUBLISHED = [
    (
        "CGRateS 10CNT", "85", "fee 0 20, talk 60 10, talk 25 2", 32,
        "https://pastebin.com/SEvYMX5J, its GetCost of 1m25s: 0.1 + 25 x 0.00083 = 0.12075, and a connect fee of 0.2",
    ),
    (
        "CGRateS 10CNT, dinar", "85", "fee 0 200, talk 60 100, talk 25 21", 321,
        "the same in thousandths: 0.12075 is 0.121",
    ),
    ("CGRateS 10CNT", "1", "fee 0 20, talk 60 10", 30, CGRATES + "20 and 10 for the first 60 s, by hand"),
    ("CGRateS 20CNT", "90", "fee 0 40, talk 60 20, talk 30 5", 65, CGRATES + "40, 20, then 10 a minute, by hand"),
    ("CGRateS 40CNT", "61", "fee 0 80, talk 60 40, talk 10 3", 123, CGRATES + "then steps of 10 s: 3.33, by hand"),
    ("CGRateS 1CNT", "61", "talk 120 2", 2, CGRATES + "1 cent a minute in steps of a minute, by hand"),
    (
        "CGRateS EventCost", "120", "fee 0 10, included 30 0, talk 30 15, talk 60 60", 85,
        CGRATES_TEST + "0.1 connect fee, 30 s free, 30 x 0.005, 60 x 0.01: Cost 0.85",
    ),
    (
        "CGRateS EventCost", "60", "fee 0 10, included 30 0, talk 30 15", 25,
        CGRATES_TEST + "its first interval: 0.25",
    ),
    ("Kolmisoft 1", "15", "talk 15 25", 25, KOLMISOFT + "15 s, increment 1: 0.25"),
    ("Kolmisoft 10", "15", "talk 20 33", 33, KOLMISOFT + "15 s, increment 10: 20 s, 0.333"),
    ("Kolmisoft 20", "15", "talk 20 33", 33, KOLMISOFT + "15 s, increment 20: 20 s, 0.333"),
    ("Kolmisoft 60", "15", "talk 60 100", 100, KOLMISOFT + "15 s, increment 60: 60 s, 1.0"),
    ("Kolmisoft 60", "55", "talk 60 100", 100, KOLMISOFT + "55 s: 60 s"),
    ("Kolmisoft 60", "65", "talk 120 200", 200, KOLMISOFT + "65 s: 120 s"),
    ("Kolmisoft min 10", "5", "talk 10 17", 17, KOLMISOFT + "minimal time 10, 5 s: 10 s"),
    ("Kolmisoft min 10", "25", "talk 25 42", 42, KOLMISOFT + "minimal time 10, 25 s: 25 s"),
    ("Kolmisoft 30", "5", "talk 30 50", 50, KOLMISOFT + "minimal time 10, increment 30, 5 s: 30 s"),
    ("Kolmisoft min 10", "1", "talk 10 17", 17, KOLMISOFT_MIN + "1 s: 10 s"),
    ("Kolmisoft min 10", "10", "talk 10 17", 17, KOLMISOFT_MIN + "10 s: 10 s"),
    ("Kolmisoft min 10", "11", "talk 11 18", 18, KOLMISOFT_MIN + "11 s: 11 s"),
    (
        "MagnusBilling", "45", "talk 48 4", 4,
        "https://github.com/magnussolution/magnusbilling/wiki/EN--price_calculation: 45 s at 30/6: (0.05 / 60) x 48 = 0.04",
    ),
    ("30/6", "10", "talk 30 45", 45, VAAS + "30/6, 10 s: 30 s"),
    ("30/6", "31", "talk 36 54", 54, VAAS + "30/6, 31 s: 36 s"),
    ("60/60", "61", "talk 120 310", 310, VAAS + "whole minutes, 61 s: two"),
    ("4.9 cents", "30", "talk 30 245", 245, SAVE_MORE + "4.9 cents, 30 s or less: 2.45 cents (here a hundred times that)"),
    ("4.9 cents", "62", "talk 66 539", 539, SAVE_MORE + "4.9 cents, 62 s: 66 s, 5.39 cents (here a hundred times that)"),
    ("6/6", "10", "talk 12 20", 20, COMMPEAK + "6/6, 10 s: 12 s"),
    ("Kolmisoft 60", "10", "talk 60 100", 100, COMMPEAK + "60/60, 10 s: 60 s"),
    ("18/6", "1", "talk 18 30", 30, EXPERTS + "18:6: at least 18 s"),
    ("6/6", "66", "talk 66 110", 110, EXPERTS + "66 s in steps of 6 s: 1.1 minutes"),
    ("Kolmisoft 60", "66", "talk 120 200", 200, EXPERTS + "66 s in minutes: 2.0"),
    ("6/6", "126", "talk 126 210", 210, EXPERTS + "126 s in steps of 6 s: 2.1 minutes"),
    ("Kolmisoft 60", "126", "talk 180 300", 300, EXPERTS + "126 s in minutes: 3.0"),
    ("6/6", "186", "talk 186 310", 310, EXPERTS + "186 s in steps of 6 s: 3.1 minutes"),
    (
        "A2Billing progressive", "2400", "talk 600 60, talk 1200 140, talk 600 80", 280,
        A2BILLING + ".06 for 10 minutes, .07 for 20, .08 for the rest; 40 minutes by hand",
    ),
]  # fmt: skip


def lines(cost: Any) -> str:
    return ", ".join(f"{line.what} {line.seconds} {line.amount}" for line in cost.lines)


@pytest.mark.parametrize(("name", "seconds", "listed", "total", "commission", "share", "source"), BY_HAND)
def test_a_talk_costs_what_was_computed_by_hand(
    name: str, seconds: str, listed: str, total: int, commission: int, share: int, source: str
) -> None:
    cost = price(TARIFFS[name], Decimal(seconds))
    assert lines(cost) == listed, source
    assert (cost.total, cost.commission, cost.consultant) == (total, commission, share), source


@pytest.mark.parametrize(("name", "seconds", "listed", "total", "commission", "share", "source"), RECORDED)
def test_a_recorded_talk_costs_its_fee_once_where_anything_is_charged(
    name: str, seconds: str, listed: str, total: int, commission: int, share: int, source: str
) -> None:
    cost = price(TARIFFS[name], Decimal(seconds), recorded=True)
    assert lines(cost) == listed, source
    assert (cost.total, cost.commission, cost.consultant) == (total, commission, share), source


@pytest.mark.parametrize(("name", "seconds", "listed", "total", "source"), PUBLISHED)
def test_published_examples_give_the_published_prices(
    name: str, seconds: str, listed: str, total: int, source: str
) -> None:
    cost = price(TARIFFS[name], Decimal(seconds))
    assert (lines(cost), cost.total) == (listed, total), source


# name, credit in minor units, recorded, the longest talk in seconds, source
CREDITS = [
    ("libre", 0, False, 0, "no credit, no talk"),
    ("libre", 2, False, 0, "one second is 2.583, three cents"),
    ("libre", 3, False, 1, "to the cent: one second"),
    ("libre", 154, False, 59, "60 s are 155, 59 s are 152"),
    ("libre", 155, False, 60, "to the cent"),
    ("libre", 156, False, 60, "61 s are 158"),
    ("libre", 1999, False, 773, "773 x 1.55 / 60 = 1996.917; 774 s are 1999.5 -> 2000"),
    ("libre", 2000, False, 774, "to the cent"),
    ("libre", 499, True, 0, "the recording alone is 5.00"),
    ("libre", 500, True, 0, "and nothing is left to talk"),
    ("libre", 655, True, 60, "5.00 and a minute"),
    ("free 10", 0, False, 600, "the free minutes, to the second"),
    ("free 10", 2, False, 600, "the first paid second is three cents"),
    ("free 10", 3, False, 601, "to the cent"),
    ("free 10", 155, False, 660, "and a minute"),
    ("forfait", 0, False, 0, "below the fee: nothing, though a network fault would cost nothing"),
    ("forfait", 5999, False, 0, "a cent below the fee"),
    ("forfait", 6000, False, 3600, "the fee: D, to the second"),
    ("forfait", 6002, False, 3600, "D + 1 is 60.03"),
    ("forfait", 6003, False, 3601, "to the cent"),
    ("forfait", 6155, False, 3660, "and a minute"),
    ("forfait", 6499, True, 0, "a cent below the fee and the recording"),
    ("forfait", 6500, True, 3600, "both"),
    ("60/60", 154, False, 0, "below the first block"),
    ("60/60", 155, False, 60, "the first block"),
    ("60/60", 309, False, 60, "below the second"),
    ("60/60", 310, False, 120, "the second"),
    ("60/1", 157, False, 60, "61 s are 158"),
    ("60/1", 158, False, 61, "the first block and a second"),
    ("30/6", 44, False, 0, "below the first block"),
    ("30/6", 45, False, 30, "the first block"),
    ("30/6", 53, False, 30, "below the first step"),
    ("30/6", 54, False, 36, "the first step"),
    ("cut short", 599, False, 0, "below the first block"),
    ("cut short", 600, False, 60, "the first block"),
    ("cut short", 899, False, 60, "below the block that is cut at 90 s"),
    ("cut short", 900, False, 90, "up to the next segment"),
    ("cut short", 959, False, 90, "below its first block of 60"),
    ("cut short", 960, False, 150, "its first block"),
    ("cut short", 990, False, 180, "and a step"),
    ("forfait, then 60/60", 6154, False, 3600, "the first block beyond is 1.55"),
    ("forfait, then 60/60", 6155, False, 3660, "to the cent"),
    ("yen", 95, False, 60, "61 s are 97"),
    ("dinar", 1575, False, 60, "61 s are 1576"),
    ("dinar", 1576, False, 61, "to the thousandth"),
    (
        "A2Billing issue 22", 1, False, 0,
        "https://github.com/Star2Billing/a2billing/issues/22: 0.01 must not begin a call whose first 60 s are 0.04",
    ),
    ("A2Billing issue 22", 4, False, 67, "67 x 0.04 / 60 = 0.0447 -> 0.04; 68 s are 0.0453 -> 0.05"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "credit", "recorded", "seconds", "source"), CREDITS)
def test_a_credit_pays_for_the_longest_talk_to_the_cent(
    name: str, credit: int, recorded: bool, seconds: int, source: str
) -> None:
    assert longest_talk(TARIFFS[name], credit, recorded=recorded) == seconds, source


# gross, rate, net, tax, source
TAXES = [
    (
        12000,
        "0.20",
        10000,
        2000,
        "https://www.seagravefrenchbaa.com/working-out-your-vat/: 120.00 is 100 and 20",
    ),
    (6000, "0.20", 5000, 1000, "http://www.styleforum.net/t/362536: 60 / 1.2 = 50"),
    (5760, "0.20", 4800, 960, "http://www.styleforum.net/t/362536: 48 and 9.60"),
    (8764, "0.175", 7459, 1305, "http://www.webuser.co.uk/forums (394365): 87.64 / 1.175 = 74.59, 13.05"),
    (155, "0.20", 129, 26, "129.167 -> 129; the tax is the rest"),
    (3, "0.20", 3, 0, "2.5 -> 3: half a cent goes to the net amount"),
    (1, "0.055", 1, 0, "0.948 -> 1"),
    (0, "0.20", 0, 0, "nothing is nothing"),
    (155, "0", 155, 0, "no tax"),
    (3, "1", 2, 1, "1.5 -> 2"),
]


@pytest.mark.parametrize(("gross", "rate", "net", "vat", "source"), TAXES)
def test_the_tax_inside_a_price_is_its_rest_over_the_net_amount(
    gross: int, rate: str, net: int, vat: int, source: str
) -> None:
    cost = price(tariff("EUR", (0, "0"), fee=str(Decimal(gross).scaleb(-2)), vat=rate), 60)
    assert (cost.total, cost.net, cost.vat) == (gross, net, vat), source


def test_the_tables_are_large_enough_and_every_row_says_where_it_is_from() -> None:
    rows: list[tuple[Any, ...]] = [*BY_HAND, *RECORDED, *PUBLISHED]
    assert len(rows) >= 120
    assert len(CREDITS) >= 40
    assert all(isinstance(row[-1], str) and row[-1] for row in [*rows, *CREDITS, *TAXES])
