"""The totals that `serve` prints when it gets SIGUSR1."""

from __future__ import annotations

from typing import Any

from taxiphone.ari_app.client import AriClient
from taxiphone.server import activity
from taxiphone.store.models import Client
from taxiphone.store.sessions import in_session


def test_each_write_and_read_is_counted(house: Any) -> None:
    database = house.database
    before = database.counters.totals
    database.do(lambda session: session.add(Client(code="8123", name="Ada", language="en")))
    database.read(lambda session: session.query(Client).count())
    database.read(lambda session: session.query(Client).count())
    after = database.counters.totals
    assert after.transactions - before.transactions == 1
    assert after.commits - before.commits == 1
    assert after.reads - before.reads == 2


def test_units_that_share_a_commit_are_counted_one_by_one(sqlite_house: Any) -> None:
    database = sqlite_house.database
    before = database.counters.totals
    works = {
        code: in_session(lambda session, code=code: session.add(Client(code=code, name="Ada", language="en")))
        for code in ("8123", "8124", "8125")
    }
    database.do_each(works)
    after = database.counters.totals
    assert after.transactions - before.transactions == 3
    assert 1 <= after.commits - before.commits <= 3


def test_the_line_can_be_read_back(house: Any) -> None:
    ari = AriClient("127.0.0.1:1", "user", "password", "application")
    ari.requests = 7
    ari.events.update({"StasisStart": 2, "Dial": 3})
    found = activity.parse(activity.line(house.database, ari))
    assert found is not None
    assert (found["requests"], found["events"], found["StasisStart"], found["Dial"]) == (7, 5, 2, 3)
    assert found["transactions"] == house.database.counters.totals.transactions
    assert activity.parse("Ready for calls. Ctrl-C stops.") is None
