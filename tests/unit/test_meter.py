"""The meter misses no row and charges nothing twice, whatever happens to the file, the program or the database."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.exc import OperationalError

from taxiphone.billing.evidence import cel
from taxiphone.billing.metering import call_end, cel_files, meter
from taxiphone.billing.metering.meter import Meter
from taxiphone.store.models import Call, CelPosition, CelRow, Posting


@pytest.fixture
def call_id(house: Any) -> str:
    found: str = house.call(house.client(), house.consultant())
    return found


def count(house: Any, table: Any) -> int:
    found: int = house.database.do(lambda s: s.scalar(select(func.count()).select_from(table)))
    return found


def total(house: Any, call_id: str, problems: tuple[str, ...] = ()) -> int | None:
    receipt = house.get(call_id).receipt
    assert tuple(house.problems()) == problems
    return None if receipt is None else receipt.total


def test_a_talk_in_the_log_is_priced_and_reported_once(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id, "83.4"))
    told: list[str] = []
    reader = Meter(house.settings, house.database, told.append)
    assert reader.read_once() == 13
    assert total(house, call_id) == 217
    assert told == [call_id]
    assert reader.read_once() == 0
    assert told == [call_id]
    assert count(house, CelRow) == 13


def test_the_same_rows_read_again_charge_nothing(house: Any, call_id: str) -> None:
    house.write(*house.talk(call_id))
    Meter(house.settings, house.database).read_once()
    postings = count(house, Posting)
    house.database.do(lambda s: s.execute(delete(CelPosition)))
    assert Meter(house.settings, house.database).read_once() == 13
    assert count(house, CelRow) == 13
    assert count(house, Posting) == postings
    assert total(house, call_id) == 155


def test_the_rows_may_come_one_by_one_and_byte_by_byte(house: Any, call_id: str) -> None:
    text = "".join(house.talk(call_id))
    reader = Meter(house.settings, house.database)
    for begin in range(0, len(text), 97):
        house.write(text[begin : begin + 97])
        reader.read_once()
    assert count(house, CelRow) == 13
    assert total(house, call_id) == 155


def test_a_line_without_its_line_break_waits(house: Any, call_id: str) -> None:
    rows = house.talk(call_id)
    house.write(*rows[:7], rows[7][:-1])
    reader = Meter(house.settings, house.database)
    assert reader.read_once() == 7
    assert total(house, call_id) is None
    house.write("\n")
    assert reader.read_once() == 1
    assert total(house, call_id) == 155


def test_a_program_that_dies_while_it_prices_prices_the_stored_rows_later(
    house: Any, call_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write(*house.talk(call_id))

    class KilledError(BaseException): ...

    def rate_and_die(*args: Any) -> None:
        real(*args)
        raise KilledError

    real = call_end.rate
    told: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(call_end, "rate", rate_and_die)
        dying = Meter(house.settings, house.database, told.append)
        with pytest.raises(KilledError):
            dying.read_once()
    assert (count(house, CelRow), count(house, CelPosition)) == (13, 1)
    assert (total(house, call_id), told) == (None, [])
    assert Meter(house.settings, house.database, told.append).read_once() == 0
    assert total(house, call_id) == 155
    assert told == [call_id]


def test_a_call_that_was_priced_is_announced_though_the_database_fails_at_the_next_one(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    consultant = house.consultant()
    calls = [house.call(house.client(code=f"70{number}"), consultant) for number in range(11, 14)]
    house.write(*(row for call in calls for row in house.talk(call)))
    told: list[str] = []

    def rate_and_fail(session: Any, call: Call, *more: Any) -> Any:
        if call.id == calls[1]:
            raise OperationalError("UPDATE", {}, Exception("the connection is lost"))
        return real(session, call, *more)

    real = call_end.rate
    reader = Meter(house.settings, house.database, told.append)
    with monkeypatch.context() as patch:
        patch.setattr(call_end, "rate", rate_and_fail)
        with pytest.raises(OperationalError, match="lost"):
            reader.read_once()
    reader.read_once()
    assert sorted(told) == sorted(calls)


def test_a_renamed_log_is_read_to_its_end_before_the_new_one(house: Any, call_id: str) -> None:
    rows = house.talk(call_id)
    reader = Meter(house.settings, house.database)
    house.write(*rows[:5])
    reader.read_once()
    house.write(*rows[5:6])
    log: Path = house.settings.cel_file
    log.rename(log.with_name(log.name + ".1"))
    house.write(*rows[6:])
    assert reader.read_once() == 8
    assert total(house, call_id) == 155
    assert count(house, CelRow) == 13


def test_a_renamed_log_is_read_to_its_end_even_when_nothing_follows(house: Any, call_id: str) -> None:
    reader = Meter(house.settings, house.database)
    rows = house.talk(call_id)
    house.write(*rows[:3])
    reader.read_once()
    house.write(*rows[3:])
    log: Path = house.settings.cel_file
    log.rename(log.with_name(log.name + ".1"))
    assert reader.read_once() == 10
    assert total(house, call_id) == 155


def test_rotations_while_the_program_was_down_are_all_read_in_their_order(house: Any, call_id: str) -> None:
    rows = house.talk(call_id)
    log: Path = house.settings.cel_file
    house.write(*rows[:4])
    Meter(house.settings, house.database).read_once()
    house.write(rows[4])
    log.rename(log.with_name(log.name + ".2"))
    house.write(*rows[5:7])
    log.rename(log.with_name(log.name + ".1"))
    house.write(*rows[7:])
    assert Meter(house.settings, house.database).read_once() == 9
    assert total(house, call_id) == 155


def test_a_log_that_was_copied_away_and_emptied_is_read_on_in_both(house: Any, call_id: str) -> None:
    rows = house.talk(call_id)
    log: Path = house.settings.cel_file
    house.write(*rows[:5])
    reader = Meter(house.settings, house.database)
    reader.read_once()
    house.write(rows[5])
    log.with_name(log.name + ".1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    assert reader.read_once() == 1
    house.write(*rows[6:])
    assert reader.read_once() == 7
    assert total(house, call_id) == 155
    assert count(house, CelRow) == 13


def test_an_emptied_log_that_starts_with_the_same_line_is_a_new_log(house: Any, call_id: str) -> None:
    log: Path = house.settings.cel_file
    rows = house.talk(call_id)
    house.write("\n", rows[0])
    reader = Meter(house.settings, house.database)
    assert reader.read_once() == 2
    os.truncate(log, 0)
    house.write("\n")
    assert reader.read_once() == 1
    house.write(*rows[1:])
    reader.read_once()
    assert total(house, call_id) == 155


def test_a_log_that_grows_while_it_is_read_is_not_taken_for_another_one(
    house: Any, call_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = house.talk(call_id)
    house.write(*rows[:3])
    identify = cel_files.identify

    def identify_and_then_asterisk_writes(path: Path) -> cel_files.LogFile | None:
        found = identify(path)
        house.write(*rows[3:])
        monkeypatch.setattr(cel_files, "identify", identify)
        return found

    monkeypatch.setattr(cel_files, "identify", identify_and_then_asterisk_writes)
    assert Meter(house.settings, house.database).read_once() == 13
    assert count(house, CelPosition) == 1
    assert count(house, CelRow) == 13


def test_malformed_lines_are_left_out_and_stop_nothing(
    house: Any, call_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = house.talk(call_id)
    house.write(
        "rubbish\n",
        '"only","two"\n',
        '"HANGUP","2026-11-22 18:00:00","x","x","x","","","","",""\n',
        '"HANGUP","99999999999.000000","x","x","x","","","","",""\n',
        '"HANGUP","1763846400.000000","x","x","x","","","","","{not json"\n',
        '"HANGUP,"\n',
        "\x00\xff\n",
        *rows,
    )
    with caplog.at_level(logging.WARNING):
        Meter(house.settings, house.database).read_once()
    assert count(house, CelRow) == 13
    assert total(house, call_id, ("log gap",)) == 155
    assert "dateformat" in caplog.text
    assert caplog.text.count(": skipped,") == 7


def test_a_line_that_follows_a_torn_one_is_saved(house: Any, call_id: str) -> None:
    rows = house.talk(call_id)
    house.write(*rows[:6], rows[6][:40], *rows[6:])  # Asterisk died in the middle of the seventh
    Meter(house.settings, house.database).read_once()
    assert count(house, CelRow) == 13
    assert total(house, call_id) == 155


def test_a_call_whose_row_comes_after_its_events_is_priced(house: Any) -> None:
    client = house.client()
    call_id = house.call(client, house.consultant(), accept=False)
    rows = house.talk(call_id)
    house.database.do(lambda s: s.execute(delete(Call)))
    house.calls -= 1
    house.write(*rows)
    reader = Meter(house.settings, house.database)
    assert reader.read_once() == 13
    assert house.call(client, 1) == call_id
    assert reader.read_once() == 0
    assert total(house, call_id) == 155


def test_a_consultant_who_does_not_answer_leaves_the_call_open_until_the_client_has_gone(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant(), accept=False)
    rows = house.talk(call_id)
    reader = Meter(house.settings, house.database)
    house.write(rows[0], rows[2], rows[11])
    reader.read_once()
    assert house.get(call_id).status == "ringing"
    house.write(rows[8])
    reader.read_once()
    assert house.get(call_id).status == "closed"
    assert house.problems() == []


def test_a_call_that_a_killed_program_left_behind_failed(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant(), accept=False)
    lines = house.talk(call_id)
    house.write(*lines[:4], *lines[7:9], *lines[10:])
    Meter(house.settings, house.database).read_once()
    found = house.get(call_id)
    assert (found.status, found.outcome) == ("closed", "failed")


def test_it_reads_by_chunks_and_keeps_its_place(
    house: Any, call_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cel_files, "CHUNK", 300)
    house.write(*house.talk(call_id))
    assert Meter(house.settings, house.database).read_once() == 13
    assert total(house, call_id) == 155


async def test_it_follows_a_log_that_does_not_exist_yet_and_stops_on_request(
    house: Any, call_id: str
) -> None:
    priced = asyncio.Event()
    reader = Meter(house.settings, house.database, lambda _: priced.set())
    stop = asyncio.Event()
    running = asyncio.create_task(reader.run(stop))
    await asyncio.sleep(0)
    house.write(*house.talk(call_id))
    async with asyncio.timeout(5):
        await priced.wait()
        stop.set()
        await running
    assert total(house, call_id) == 155


async def test_what_was_written_before_the_stop_is_read(house: Any, call_id: str) -> None:
    told: list[str] = []
    reader, stop = Meter(house.settings, house.database, told.append), asyncio.Event()
    house.write(*house.talk(call_id))
    stop.set()
    async with asyncio.timeout(5):
        await reader.run(stop)
    assert told == [call_id]


async def test_it_waits_while_the_database_is_unreachable(
    house: Any, call_id: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(meter, "_AWAY_SECONDS", 0.01)
    attempts = 0
    real = house.database.do

    def away(*given: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise OperationalError("BEGIN", {}, Exception("database is locked"))
        return real(*given)

    priced = asyncio.Event()
    reader, stop = Meter(house.settings, house.database, lambda _: priced.set()), asyncio.Event()
    house.write(*house.talk(call_id))
    with monkeypatch.context() as patch:
        patch.setattr(house.database, "do", away)
        running = asyncio.create_task(reader.run(stop))
        async with asyncio.timeout(5):
            await priced.wait()
            stop.set()
            await running
    assert total(house, call_id) == 155
    assert caplog.text.count("database is locked") == 1
    assert "works again" in caplog.text


def test_the_cost_of_a_poll_does_not_grow_with_old_calls(house: Any) -> None:
    """Checked by the query plan: it searches by the calls' status and the rows' channel."""
    from sqlalchemy import event  # noqa: PLC0415

    statements: list[tuple[str, Any]] = []

    @event.listens_for(house.database.reader, "before_cursor_execute")
    def keep(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    Meter(house.settings, house.database).read_once()
    event.remove(house.database.reader, "before_cursor_execute", keep)
    query = next((s, p) for s, p in statements if "cel_row.channel" in s)
    explain = "EXPLAIN QUERY PLAN " if house.database.sqlite else "EXPLAIN "
    with house.database.engine.connect() as connection:
        if not house.database.sqlite:  # empty tables are read whole, whatever indexes there are
            connection.exec_driver_sql("SET enable_seqscan = off")
        plan = [row[-1] for row in connection.exec_driver_sql(explain + query[0], query[1])]
    assert not any(step.startswith("SCAN") or "Seq Scan" in step for step in plan), plan


def test_the_extra_of_a_row_may_be_missing_or_no_object() -> None:
    line = '"CHAN_END","1763846400.123456","a","b","c","","","","",'
    assert cel.parse(line + '""').extra == {}
    assert cel.parse(line + '"[1]"').extra == {}
    assert cel.parse(line + '"{""bridge_id"":""x""}"').extra == {"bridge_id": "x"}
    assert cel.parse(line + '""').at.isoformat() == "2025-11-22T21:20:00.123456+00:00"


@pytest.mark.parametrize(
    "line",
    [
        "CHAN_END,1763846400.123456,a,b,c,,,,,",
        '"CHAN_END",1763846400.123456,a,b,c,"","","","",""',
        '"CHAN_END","1763846400.123456","a","b","c",,"","","",""',
        'x"@,"Stasis","",""',
    ],
)
def test_a_row_that_is_not_quoted_as_asterisk_quotes_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"quotes|CSV|columns"):
        cel.parse(line)
