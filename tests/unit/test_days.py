"""Days and months in the platform's time zone: reports by the start of the talk, statements and payouts by posting."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from taxiphone.billing import days, what_if
from taxiphone.billing.ledger import payouts
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.papers import paper_text, statement_data, statements
from taxiphone.billing.papers.receipt_paper import receipt_paper, receipt_text
from taxiphone.billing.papers.receipts import client_receipt, statement_line_text
from taxiphone.billing.papers.statement_paper import statement_paper
from taxiphone.commands.billing import billing
from taxiphone.settings_sections import Platform
from taxiphone.store.models import Consultant
from taxiphone.store.types import using_clocks

PARIS = ZoneInfo("Europe/Paris")
ZONES = ["UTC", "Europe/Paris", "America/New_York", "America/Havana", "Africa/Cairo", "Asia/Kolkata"]
ZONES += ["Australia/Lord_Howe", "Pacific/Apia", "America/Santiago", "Asia/Kathmandu"]


@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    day=st.dates(min_value=date(2000, 1, 1), max_value=date(2037, 12, 30)),
)
def test_days_meet_without_gap_or_overlap_in_every_zone(zone: ZoneInfo, day: date) -> None:
    begin, end = days.begin_of(day, zone), days.end_of(day, zone)
    assert end == days.begin_of(day + timedelta(days=1), zone)
    assert timedelta() <= end - begin <= timedelta(hours=25)
    if begin < end:  # a whole day was skipped in Apia
        assert days.day_of(begin, zone) == day
        assert days.day_of(end - timedelta(microseconds=1), zone) == day or end - begin > timedelta(hours=24)
        assert days.day_of(begin - timedelta(hours=2), zone) < day


@pytest.mark.parametrize(
    ("zone", "day", "begin", "hours"),
    [
        ("Europe/Paris", date(2026, 3, 29), "2026-03-28T23:00", 23),
        ("Europe/Paris", date(2026, 10, 25), "2026-10-24T22:00", 25),
        ("Africa/Cairo", date(2026, 4, 24), "2026-04-23T22:00", 23),  # midnight itself is skipped
        ("Asia/Kolkata", date(2026, 10, 25), "2026-10-24T18:30", 24),
    ],
)
def test_a_day_on_which_the_clock_is_changed_is_as_long_as_it_is(
    zone: str, day: date, begin: str, hours: int
) -> None:
    there = ZoneInfo(zone)
    assert days.begin_of(day, there) == datetime.fromisoformat(begin).replace(tzinfo=UTC)
    assert days.end_of(day, there) - days.begin_of(day, there) == timedelta(hours=hours)


def test_a_zone_is_shown_with_its_offset_or_both_offsets_if_it_changed() -> None:
    before, after = datetime(2026, 10, 25, 0, 59, tzinfo=UTC), datetime(2026, 10, 25, 1, 1, tzinfo=UTC)
    assert days.zone_text(PARIS, before) == "Europe/Paris, UTC+2"
    assert days.zone_text(PARIS, before, after) == "Europe/Paris, UTC+2 to UTC+1"
    assert days.zone_text(ZoneInfo("Asia/Kolkata"), before) == "Asia/Kolkata, UTC+5:30"
    assert days.zone_text(ZoneInfo("America/St_Johns"), before) == "America/St_Johns, UTC-2:30"
    assert days.zone_text(days.UTC_ZONE, before) == "UTC"
    assert days.iso(after, PARIS) == "2026-10-25T02:01:00+01:00"


# -- a talk over midnight at a month's end, in Paris ---------------------------------------------------------------

BEGIN = datetime(2026, 10, 31, 22, 59, tzinfo=UTC)  # 23:59 in Paris


@pytest.fixture
def talk(house: Any) -> str:
    """A talk of two minutes across the end of October, priced after it."""
    house.settings = house.settings.model_copy(
        update={"platform": Platform(cli="+33199000000", timezone="Europe/Paris")}
    )
    with using_clocks(lambda: BEGIN - timedelta(minutes=1)):
        call_id: str = house.call(house.client(), house.consultant())
    house.write(*house.talk(call_id, "120", at=int(BEGIN.timestamp())))
    with using_clocks(lambda: BEGIN + timedelta(seconds=121)):
        Meter(house.settings, house.database).read_once()
    return call_id


def month(house: Any, first: date, last: date) -> statements.Statement:
    def work(session: Any) -> statements.Statement:
        who = session.get_one(Consultant, 1)
        return statements.statement(session, who, "EUR", first, last, days.zone_of(house.settings))

    found: statements.Statement = house.database.read(work)
    return found


def test_reports_use_the_start_of_the_talk_and_statements_the_posting(house: Any, talk: str) -> None:
    october, november = (date(2026, 10, 1), date(2026, 10, 31)), (date(2026, 11, 1), date(2026, 11, 30))
    app = house.app
    for (first, last), calls in ((october, 1), (november, 0)):
        words = ["what-if", "--from", str(first), "--to", str(last), "--set", "vat=0", "--json"]
        assert json.loads(CliRunner().invoke(billing, words, obj=app).stdout)["calls"] == calls
    assert [line.call for line in month(house, *october).lines] == []
    assert [line.call for line in month(house, *november).lines] == [talk]
    assert month(house, *october).closing == month(house, *november).opening == 0
    assert month(house, *november).closing == 310 - 93
    with using_clocks(lambda: datetime(2026, 12, 1, tzinfo=UTC)):
        due = [
            house.database.read(lambda s, d=day: payouts.due(s, 1, "EUR", d, zone=PARIS).amount)
            for day in (date(2026, 10, 31), date(2026, 11, 1))
        ]
    assert due == [0, 217]


def test_the_last_hour_of_the_month_in_utc_is_of_the_next_one_in_paris(house: Any, talk: str) -> None:
    period = what_if.Period(
        days.begin_of(date(2026, 10, 31), PARIS), days.end_of(date(2026, 10, 31), PARIS), "EUR"
    )
    assert house.database.read(lambda s: what_if.calls_in(s, period)) == 1
    by_utc = month(house, date(2026, 10, 31), date(2026, 10, 31))
    assert by_utc.lines == []
    assert talk


def test_papers_show_local_time_with_its_zone(house: Any, talk: str) -> None:
    text = house.database.read(lambda s: receipt_text(s, house.settings, talk))
    assert "Consultation de 23:59:00 à 00:01:00 (Europe/Paris, UTC+1)" in text
    assert f"Appel {talk} du 31 octobre 2026" in text
    paper = house.database.read(lambda s: receipt_paper(s, house.settings, talk))
    assert ("Date", "1 novembre 2026") in paper.facts
    assert any("23:59:00 à 00:01:00 (Europe/Paris, UTC+1)" in line for line in paper.intro)
    row = house.database.read(lambda s: client_receipt(s, talk, house.settings))
    assert (row["timezone"], row["talk_from"]) == ("Europe/Paris", BEGIN)
    line = house.database.read(lambda s: statement_line_text(s, talk, house.settings))
    assert line.startswith("31 octobre 2026")


def test_a_statement_shows_local_days_with_their_zone(house: Any, talk: str) -> None:
    found = month(house, date(2026, 11, 1), date(2026, 11, 30))
    paper = statement_paper(house.settings, found)
    assert paper.intro == [
        "Dates selon le fuseau Europe/Paris, premier et dernier jours inclus. Chaque ligne porte la date de sa comptabilisation."
    ]
    assert paper.tables[0].rows[0][0] == "01/11/2026"
    assert ("Période", "du 01/11/2026 au 30/11/2026") in paper.facts
    assert "01/11/2026" in paper_text.write(paper)
    rows = list(csv.reader(io.StringIO(statement_data.as_csv(found))))
    assert [row[0] for row in rows[1:]] == [
        "2026-11-01T00:00:00+01:00",
        "2026-11-01T00:01:01+01:00",
        "2026-12-01T00:00:00+01:00",
    ]
    assert statement_data.as_json(found)["timezone"] == "Europe/Paris"
    assert Decimal(statement_data.as_json(found)["closing"]) == Decimal("2.17")
    assert talk
