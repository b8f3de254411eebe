"""A prepared statement gives what SQLAlchemy gives, whoever executes it: SQLite's driver or SQLAlchemy."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import bindparam, event, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from taxiphone.store.idempotent import InsertIfNew
from taxiphone.store.models import Call
from taxiphone.store.prepared import Prepared, driver_rows, scalar
from taxiphone.store.tables import CALL, CALL_EVENT, CEL_ROW, CONSULTANT

_COLUMNS = ("call_id", "at", "monotonic_us", "boot", "what", "detail")
_ADD: Prepared[Any] = Prepared(insert(CALL_EVENT), tuple, _COLUMNS)
_WHAT: Prepared[str] = Prepared(
    select(CALL_EVENT.c.what).where(CALL_EVENT.c.call_id == bindparam("call")).order_by(CALL_EVENT.c.id),
    scalar,
)


def seen(call_id: str, what: str | None) -> dict[str, Any]:
    at = datetime(2026, 11, 22, 18, tzinfo=UTC)
    return {"call_id": call_id, "at": at, "monotonic_us": 7, "boot": None, "what": what, "detail": None}


def test_values_of_every_type_come_out_as_they_went_in(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant("1.5500"), accept=False)
    paris = datetime(2026, 11, 22, 19, 30, 0, 7, tzinfo=timezone(timedelta(hours=1)))
    names = ("tariff", "talk_from", "dropped", "fault", "priced_us")
    change: Prepared[Any] = Prepared(
        update(CALL)
        .where(CALL.c.id == bindparam("call"))
        .values({name: bindparam(f"new_{name}") for name in names}),
        tuple,
    )
    read = (
        select(*(CALL.c[name] for name in names), CONSULTANT.c.price_per_minute)
        .join(CONSULTANT, CONSULTANT.c.id == CALL.c.consultant_id)
        .where(CALL.c.id == bindparam("call"), CALL.c.status.in_([literal("ringing"), literal("talking")]))
    )
    values = ({"vat": "0.20"}, paris, True, None, 2**40)

    def work(session: Any) -> None:
        connection, named = session.connection(), {"call": call_id}
        change.run(
            connection, named | {f"new_{name}": value for name, value in zip(names, values, strict=True)}
        )
        [row] = Prepared(read, tuple).all(connection, named)
        assert row == (*values, Decimal("1.5500"))
        assert row == tuple(connection.execute(read, named).one())
        assert row[1].tzinfo is UTC

    house.database.do(work)


def test_rows_come_in_order_and_the_first_is_none_where_there_are_none(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant(), accept=False)

    def work(session: Any) -> None:
        connection = session.connection()
        assert _WHAT.first(connection, {"call": call_id}) is None
        for what in ("one", "two"):
            _ADD.run(connection, seen(call_id, what))
        assert _WHAT.all(connection, {"call": call_id}) == ["one", "two"]
        assert _WHAT.first(connection, {"call": call_id}) == "one"

    house.database.do(work)


def test_an_error_of_the_driver_is_raised_as_sqlalchemys(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant(), accept=False)
    with pytest.raises(IntegrityError) as raised:
        house.database.do(lambda s: _ADD.run(s.connection(), seen(call_id, None)))
    assert "parameters hidden" in str(raised.value)
    with pytest.raises(IntegrityError):
        house.database.do(
            lambda s: driver_rows(s.connection(), "INSERT INTO did (number) VALUES (?)", ("+33199",))
        )


def test_a_value_that_is_missing_is_refused(house: Any) -> None:
    with pytest.raises(Exception, match="call"):
        house.database.do(lambda s: _WHAT.all(s.connection(), {}))


def test_readings_of_one_connection_see_one_snapshot(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant(), accept=False)
    with house.database.connection() as connection:
        assert _WHAT.all(connection, {"call": call_id}) == []
        house.database.do(lambda s: _ADD.run(s.connection(), seen(call_id, "late")))
        assert _WHAT.all(connection, {"call": call_id}) == []
    with house.database.connection() as connection:
        assert _WHAT.all(connection, {"call": call_id}) == ["late"]


def test_what_a_unit_wrote_is_undone_with_it(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant(), accept=False)

    def fails(session: Any) -> None:
        _ADD.run(session.connection(), seen(call_id, "undone"))
        raise LookupError

    with pytest.raises(LookupError):
        house.database.do(fails)
    assert house.database.read(lambda s: _WHAT.all(s.connection(), {"call": call_id})) == []


def test_somebody_who_listens_to_statements_hears_of_them(house: Any) -> None:
    heard: list[str] = []
    call_id = house.call(house.client(), house.consultant(), accept=False)

    @event.listens_for(house.database.engine, "before_cursor_execute")
    def _(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        heard.append(statement)

    def work(session: Any) -> list[Any]:
        driver_rows(session.connection(), "UPDATE call SET stars = ? WHERE id = ?", (5, call_id))
        return Prepared(select(CALL.c.stars).where(CALL.c.id == bindparam("call")), scalar).all(
            session.connection(), {"call": call_id}
        )

    try:
        assert house.database.do(work) == [5]
    finally:
        event.remove(house.database.engine, "before_cursor_execute", _)
    assert any("SET stars" in each for each in heard)
    assert any("SELECT call.stars" in each for each in heard)
    assert house.get(call_id).stars == 5
    assert isinstance(house.get(call_id), Call)


def test_rows_that_are_there_already_are_skipped_and_the_others_are_added(house: Any) -> None:
    columns = ("file", "offset", "event", "at", "channel", "linked", "name", "extra")
    new = InsertIfNew(CEL_ROW, columns)
    stored = Prepared(select(*(CEL_ROW.c[name] for name in columns)).order_by(CEL_ROW.c.offset), tuple)
    at = datetime(2026, 11, 22, 18, tzinfo=UTC)

    def row(offset: int, event: str) -> dict[str, Any]:
        return dict(zip(columns, ("log", offset, event, at, "1.1", "1.1", "PJSIP/a", {"a": 1}), strict=True))

    def work(session: Any) -> None:
        connection = session.connection()
        new.run(connection, [])
        new.run(connection, [row(0, "CHAN_START")])
        new.run(connection, [row(0, "ANSWER") | {"note": "ignored"}, row(90, "HANGUP") | {"note": ""}])
        assert stored.all(connection, {}) == [
            tuple(row(0, "CHAN_START").values()),
            tuple(row(90, "HANGUP").values()),
        ]

    house.database.do(work)
