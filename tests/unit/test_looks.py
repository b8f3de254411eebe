"""Queries that are repeated while the program runs read only a few rows, however many calls there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from taxiphone.ari_app.recovery import unfinished_calls
from taxiphone.billing.metering import unpriced
from taxiphone.billing.metering.meter import Meter
from taxiphone.recordings.worker import due_recordings
from taxiphone.server.process import awaited
from taxiphone.store.calls import Status

LOOKS: dict[str, Callable[[Any], Any]] = {
    "calls without a leg, every ten seconds": lambda house: house.database.read(unfinished_calls),
    "calls that wait for a price, ten times a second at a stop": lambda house: house.database.read(awaited),
    "calls that can't be priced": lambda house: house.database.read(unpriced.find),
    "calls that are over, every two seconds": lambda house: Meter(house.settings, house.database).read_once(),
    "recordings, every quarter of a second": lambda house: house.database.fetch_now(due_recordings),
}


@pytest.mark.parametrize("look", LOOKS)
def test_repeated_queries_use_an_index_and_do_not_scan_every_call(sqlite_house: Any, look: str) -> None:
    asked: list[tuple[str, Any]] = []

    @event.listens_for(sqlite_house.database.engine, "before_cursor_execute")
    @event.listens_for(sqlite_house.database.reader, "before_cursor_execute")
    def _(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        asked.append((statement, parameters))

    LOOKS[look](sqlite_house)
    selects = [each for each in asked if each[0].startswith("SELECT") and "call" in each[0]]
    assert selects
    with sqlite_house.database.reading() as session:
        connection = session.connection()
        for statement, parameters in selects:
            plan = [
                row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
            assert not [step for step in plan if step.startswith("SCAN call")], plan
            by_status = any("ix_call_status" in step for step in plan)
            assert not (by_status and Status.RATED in parameters), plan
