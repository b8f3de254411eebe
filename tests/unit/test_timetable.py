"""When warnings and ends of a talk are due, from the values fixed when the consultant accepted."""

from __future__ import annotations

from decimal import Decimal

import pytest

from taxiphone.ari_app.timetable import timetable
from taxiphone.billing.holds import Accepted, EndsBy
from taxiphone.billing.pricing.tariff import Segment, Tariff
from taxiphone.settings import Settings

SETTINGS = Settings(platform={"cli": "+33199001200"}, trunk={"host": "127.0.0.2"})
PER_MINUTE = Tariff("EUR", 2, Decimal(0), (Segment(0, Decimal("1.55")),))
FREE_FIRST = Tariff("EUR", 2, Decimal(0), (Segment(0, Decimal(0)), Segment(600, Decimal("1.55"))))
PACKAGE = Tariff("EUR", 2, Decimal(60), (Segment(0, Decimal(0)), Segment(3600, Decimal("1.55"))))


def times(tariff, max_seconds, talked_seconds=0, ends_by=EndsBy.CREDIT):
    return timetable(Accepted(tariff, max_seconds, ends_by, talked_seconds), SETTINGS)


# tariff, seconds that the credit pays for -> the warning, the end with a word, Asterisk's own cut
@pytest.mark.parametrize(
    ("seconds", "warning", "end"),
    [(1935, 1875, 1934.5), (61, 1, 60.5), (60, None, 59.5), (10, None, 9.5)],
)
def test_one_minute_before_the_credit_ends_both_are_warned_and_the_end_is_announced(seconds, warning, end):
    found = times(PER_MINUTE, seconds)
    assert (found.warning, found.end, found.longest, found.ends_by) == (warning, end, seconds, EndsBy.CREDIT)


def test_what_ends_the_talk_is_told_apart():
    assert times(PER_MINUTE, 10_800, ends_by=EndsBy.LONGEST).ends_by == EndsBy.LONGEST
    assert times(PER_MINUTE, 900, ends_by=EndsBy.LIMIT).ends_by == EndsBy.LIMIT


def test_one_minute_before_the_package_ends_both_hear_what_follows():
    found = times(PACKAGE, 5000)
    assert (found.package_warning, found.package, found.package_end) == (3540, 3600, 3599.5)
    assert found.then_per_minute == Decimal("1.55")
    assert found.warning == 4940


@pytest.mark.parametrize("seconds", [3600, 3604])
def test_if_credit_and_package_end_together_only_the_end_of_the_credit_is_announced(seconds):
    found = times(PACKAGE, seconds)
    assert found.package_warning is None
    assert found.warning == seconds - 60


def test_a_continued_package_ends_where_the_whole_consultation_reaches_its_end():
    found = times(PACKAGE, 3000, talked_seconds=1800)
    assert (found.package, found.package_warning) == (1800, 1740)
    beyond = times(PACKAGE, 3000, talked_seconds=3600)
    assert beyond.package is None


def test_by_the_minute_there_is_no_package_to_end():
    assert times(PER_MINUTE, 1000).package is None
    assert times(FREE_FIRST, 1000).package_warning is None
