"""`taxiphone billing what-if`: prices a month under another tariff and posts nothing."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event, func, insert, literal, select, update

from taxiphone.billing import what_if
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.pricing.tariff import Tariff
from taxiphone.billing.pricing.tariff_json import from_json, to_json
from taxiphone.billing.rating import settle_recording
from taxiphone.commands.billing import billing
from taxiphone.errors import UsageError
from taxiphone.store.models import Base, Call, Client, Receipt

DAY = "2025-11-22"  # of the talks in the tests' Asterisk log
FLAT = {
    "currency": "EUR",
    "segments": [{"from": 0, "price_per_minute": "1.00"}],
    "commission": "0.5",
    "recording_fee": "4",
}
FAR_BEGIN, FAR_END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
ALWAYS = what_if.Period(FAR_BEGIN, FAR_END, "EUR")


def read(house: Any, *arguments: str, first: str = DAY, last: str = DAY) -> Any:
    return json.loads(
        house.invoke(billing, "what-if", "--from", first, "--to", last, "--json", *arguments).stdout
    )


@pytest.fixture
def file(tmp_path: Any) -> Any:
    def write(tariff: dict[str, Any]) -> str:
        path = tmp_path / "other.json"
        path.write_text(json.dumps(tariff))
        return str(path)

    return write


@pytest.fixture
def month(house: Any) -> list[str]:
    """Four priced calls: Claire's of 60 s and 83.4 s (recorded), and Denis's package of an hour and a failed one."""
    claire, denis = house.client(), house.client(code="7002", credit=20_000)
    anne = house.consultant(package_price=Decimal(60), package_minutes=60, recording_allowed=True)
    talks: list[tuple[int, str, dict[str, Any]]] = [
        (claire, "60", {}),
        (claire, "83.4", {"recorded": True}),
        (denis, "3600", {"mode": "package"}),
        (denis, "29.5", {"mode": "package"}),
    ]
    calls = []
    for at, (client, seconds, how) in enumerate(talks):  # one after the other: a call holds all of the credit
        calls.append(house.call(client, anne, **how))
        house.write(*house.talk(calls[-1], seconds, at=1_763_786_400 + 4000 * at))
        Meter(house.settings, house.database).read_once()
    arrived = datetime(2025, 11, 22, 4, tzinfo=UTC)

    def settle(session: Any) -> None:
        settle_recording(session, session.get_one(Call, calls[1]), ready=True)
        session.execute(update(Call).values(arrived_at=arrived))

    house.database.do(settle)
    return calls


@pytest.mark.usefixtures("month")
def test_a_month_under_one_tariff_for_all_by_hand(house: Any, file: Any) -> None:
    shown = read(house, "--tariff", file(FLAT))
    # now: 1.55 + 7.17 (2.17 + 5.00) + 60.00 + 0; 30 % of each: 0.47 + 2.15 + 18.00 + 0
    assert shown["now"] == {
        "revenue": "68.72",
        "commission": "20.62",
        "consultants": "48.10",
        "vat": "0.00",
    }
    # then: 1.00 + (84 s: 1.40 + 4.00) + 60.00 + (30 s: 0.50: a tariff without a threshold knows no network fault)
    assert shown["then"] == {
        "revenue": "66.90",
        "commission": "33.45",
        "consultants": "33.45",
        "vat": "0.00",
    }
    assert shown["difference"] == {
        "revenue": "-1.82",
        "commission": "12.83",
        "consultants": "-14.65",
        "vat": "0.00",
    }
    assert (shown["calls"], shown["currency"], shown["from"], shown["to"]) == (4, "EUR", DAY, DAY)
    assert shown["clients"] == {
        "more": 1,
        "less": 1,
        "same": 0,
        "most": [{"client": "7002", "now": "60.00", "then": "60.50", "difference": "0.50"}],
        "least": [{"client": "7001", "now": "8.72", "then": "6.40", "difference": "-2.32"}],
    }


@pytest.mark.usefixtures("month")
def test_under_their_own_tariffs_nothing_changes(house: Any) -> None:
    shown = read(house, "--set", "vat=0")
    assert shown["now"] == shown["then"]
    assert shown["clients"] == {"more": 0, "less": 0, "same": 2, "most": [], "least": []}


@pytest.mark.usefixtures("month")
def test_what_is_set_changes_what_costs_something_and_leaves_free_what_is_free(house: Any) -> None:
    # per minute only: 2.00 + (84 s: 2.80 + 5.00); the package has no second beyond its hour
    assert read(house, "--set", "price_per_minute=2")["then"]["revenue"] == "69.80"
    # the package alone: 70.00; a call by the minute has no fee and gets none
    shown = read(house, "--set", "fee=70.00", "--set", "commission=0.25")
    assert shown["then"]["revenue"] == "78.72"
    assert shown["then"]["commission"] == "19.68"  # 0.39 (0.3875) + 1.79 (1.7925) + 17.50
    assert read(house, "--set", "recording_fee=0")["then"]["revenue"] == "63.72"
    # of 1.55: 0.26 (1.2916... net); of 7.17: 1.19 (5.975, half up 5.98 net); of 60.00: 10.00
    assert read(house, "--set", "vat=0.20")["then"]["vat"] == "11.45"


@pytest.mark.usefixtures("month")
def test_one_mode_or_other_days_can_be_selected(house: Any, file: Any) -> None:
    path = file(FLAT)
    assert read(house, "--tariff", path, "--mode", "package")["calls"] == 2
    assert read(house, "--tariff", path, "--mode", "per_minute")["calls"] == 2
    assert read(house, "--tariff", path, first="2025-11-20", last="2025-11-23")["calls"] == 4
    for first, last in (("2025-11-20", "2025-11-21"), ("2025-11-23", "2025-11-30")):
        empty = read(house, "--tariff", path, first=first, last=last)
        assert (empty["calls"], empty["then"]["revenue"]) == (0, "0.00")


@pytest.mark.usefixtures("month")
def test_people_get_tables_with_codes_and_no_names(house: Any, file: Any) -> None:
    shown = house.invoke(billing, "what-if", "--from", DAY, "--to", DAY, "--tariff", file(FLAT)).stdout
    assert "4 calls from 2025-11-22 to 2025-11-22" in shown
    assert "1 clients would have paid more, 1 less, 0 the same." in shown
    assert "Nothing was posted." in shown
    assert "7001" in shown
    assert "Claire" not in shown


@pytest.mark.usefixtures("month")
def test_it_reads_and_nothing_else(house: Any, file: Any) -> None:
    def everything(session: Any) -> list[list[Any]]:
        return [list(session.execute(select(table))) for table in Base.metadata.sorted_tables]

    before = house.database.do(everything)
    statements: list[str] = []
    for engine in {house.database.engine, house.database.reader}:
        event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2].lstrip()))
    read(house, "--tariff", file(FLAT))
    assert statements
    assert {statement.split()[0] for statement in statements} <= {"SELECT", "BEGIN"}
    assert house.database.do(everything) == before


def test_calls_without_a_talk_and_calls_in_progress_are_left_out(house: Any, file: Any) -> None:
    house.call(house.client(), house.consultant())
    today = datetime.now(UTC).date()
    around = {
        "first": (today - timedelta(days=1)).isoformat(),
        "last": (today + timedelta(days=1)).isoformat(),
    }
    assert read(house, "--tariff", file(FLAT), **around)["calls"] == 0


@pytest.mark.usefixtures("month")
def test_invalid_options_are_refused_in_one_sentence(house: Any, file: Any) -> None:
    path = file(FLAT)
    days = ("--from", DAY, "--to", DAY)
    for arguments, says in (
        (days, "give either --tariff"),
        ((*days, "--tariff", path, "--set", "fee=1"), "give either --tariff"),
        (("--from", DAY, "--to", "2025-11-01", "--set", "fee=1"), "--to .* is before"),
        ((*days, "--set", "fee"), "--set: 'fee' is not KEY=NUMBER"),
        ((*days, "--set", "fee=1", "--set", "fee=2"), "twice"),
        ((*days, "--set", "fee=much"), "--set: fee: "),
        ((*days, "--set", "commission=1.5"), "--set: commission: "),
        ((*days, "--set", "surcharge=1"), "--set: surcharge: can't be set"),
        ((*days, "--tariff", "nowhere.json"), "can't be read"),
        ((*days, "--tariff", file({**FLAT, "currency": "JPY"})), "currency: the calls were charged in EUR"),
    ):
        with pytest.raises(UsageError, match=says):
            house.invoke(billing, "what-if", *arguments)
    without_fee = {key: value for key, value in FLAT.items() if key != "recording_fee"}
    with pytest.raises(UsageError, match="recording_fee: is missing"):
        house.invoke(billing, "what-if", *days, "--tariff", file(without_fee))
    assert (
        house.invoke(billing, "what-if", *days, "--mode", "package", "--tariff", file(without_fee)).exit_code
        == 0
    )
    assert (
        house.invoke(billing, "what-if", "--from", "yesterday", "--to", DAY, "--set", "fee=1").exit_code == 2
    )


def test_free_minutes_stay_free_under_another_price() -> None:
    frozen = to_json(
        from_json({**FLAT, "digits": 2, "segments": [
            {"from": 0, "price_per_minute": "0"}, {"from": 600, "price_per_minute": "1.55", "first": 60}
        ]})
    )  # fmt: skip
    changed = what_if.changed({"price_per_minute": "1.80", "fee": "3"})(json.dumps(frozen))
    assert [segment.price_per_minute for segment in changed.segments] == [0, Decimal("1.80")]
    assert (changed.fee, changed.segments[1].first) == (0, 60)


# -- many -------------------------------------------------------------------------------------------------------------


def multiply(house: Any, call_id: str, times: int) -> None:
    """Copy a priced call and its receipt to a hundred clients."""

    def work(session: Any) -> None:
        session.execute(
            insert(Client), [{"code": f"8{n:03d}", "name": "-", "language": "fr"} for n in range(100)]
        )
        least = session.scalar(select(func.min(Client.id)).where(Client.code.startswith("8")))
        numbers = select(literal(1).label("n")).cte(recursive=True)
        numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < times))
        copy = literal("copy-").concat(numbers.c.n)
        for model, new in (
            (Call, {"id": copy, "client_channel": copy, "client_id": least + numbers.c.n % 100}),
            (Receipt, {"call_id": copy, "number": numbers.c.n + 1000}),
        ):
            table = model.__table__
            columns = [new.get(column.name, column) for column in table.columns]
            which = table.c.id if model is Call else table.c.call_id
            copied = select(*columns).select_from(table.join(numbers, literal(value=True)))
            session.execute(insert(table).from_select(list(table.columns), copied.where(which == call_id)))

    house.database.do(work)


@pytest.mark.parametrize("many", [22_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_thousands_of_calls_are_rerated_with_progress(house: Any, month: list[str], many: int) -> None:
    multiply(house, month[1], many)
    told: list[int] = []
    with house.database.reading() as session:
        rule = what_if.changed({"price_per_minute": "2"})
        found = what_if.run(session, ALWAYS, rule, progress=told.append)
    assert found.calls == what_if_calls(house) == sum(told) == many + 4
    assert len(told) > 10
    assert found.then.revenue == 6980 + many * 780  # 84 s at 2.00 and the recording
    assert found.more == 101
    assert found.most[0].difference == many // 100 * 63


def what_if_calls(house: Any) -> int:
    with house.database.reading() as session:
        return what_if.calls_in(session, ALWAYS)


def test_a_hundred_times_the_calls_take_no_more_memory(
    house: Any, month: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(what_if, "_AT_ONCE", 100)
    multiply(house, month[0], 2000)

    def peak(end: datetime) -> int:
        with house.database.reading() as session:
            tracemalloc.start()
            what_if.run(session, what_if.Period(FAR_BEGIN, end, "EUR"), flat)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return found

    tariff = from_json({**FLAT, "digits": 2})

    def flat(_frozen: str) -> Tariff:
        return tariff

    early = datetime(2001, 1, 1, tzinfo=UTC)
    house.database.do(
        lambda session: session.execute(
            update(Call)
            .where(Call.id.like("copy-%00"))
            .values(arrived_at=datetime(2000, 6, 1, tzinfo=UTC), talk_from=datetime(2000, 6, 1, tzinfo=UTC))
        )
    )
    peak(early)  # what is loaded once is not the calls'
    few, many = peak(early), peak(FAR_END)
    assert many < few + 400_000, "a fetch of a hundred rows, and no more"
