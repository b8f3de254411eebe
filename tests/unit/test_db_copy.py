"""`taxiphone db copy`: copies a whole database to either kind, and calls continue there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from databases import Postgres
from sqlalchemy import select

from taxiphone.billing.ledger import postings, refunds
from taxiphone.billing.metering.meter import Meter
from taxiphone.cli import taxiphone
from taxiphone.errors import TaxiphoneError
from taxiphone.store import copying
from taxiphone.store.database import Database
from taxiphone.store.models import Call, Consultant, Posting


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[str]:
    """The URL of a database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'copy.db'}"
        return
    url = postgres.new(empty=True)
    yield url
    postgres.drop(url)


@pytest.fixture
def filled(house: Any) -> Any:
    """Three talks, one continued by the next and one partly refunded, and a hold of a call in progress."""
    consultant = house.consultant(package_price=60, package_minutes=60)
    clients = [house.client(code=code) for code in ("7001", "7002", "7003")]
    first, second, third = (house.call(client, consultant) for client in clients)
    house.write(*house.talk(first, "83.4"), *house.talk(second, "1204.25"))
    Meter(house.settings, house.database).read_once()

    def more(session: Any) -> None:
        session.get_one(Call, first).continues_id = second  # a reference to a row that comes later
        refunds.refund(session, session.get_one(Call, second), 100, reason="réseau", key="first")

    house.database.do(more)
    assert third
    return house


def db_copy(house: Any, url: str, *words: str) -> Result:
    return house.invoke(taxiphone.get_command(None, "db"), "copy", url, *words)


def rows(database: Database) -> dict[str, list[Any]]:
    with database.reading() as session:
        return {
            table.name: sorted(map(repr, session.execute(select(table)).all())) for table in copying.TABLES
        }


def test_every_row_is_the_same_and_the_ledger_is_right(filled: Any, target: str) -> None:
    before = rows(filled.database)
    said = json.loads(db_copy(filled, target, "--json").stdout)
    with closing(Database(target)) as copied:
        assert rows(copied) == before
        assert said["rows"] == {name: len(found) for name, found in before.items()}
        assert sum(said["rows"].values()) > 50
        filled.database = copied
        assert filled.problems() == []


def test_what_comes_next_is_numbered_and_guarded_as_before(filled: Any, target: str) -> None:
    db_copy(filled, target)
    with closing(Database(target)) as copied:
        filled.database = copied
        call = filled.call(filled.client(code="7004"), 1)
        filled.write(*filled.talk(call, "60", at=1_763_900_000))
        Meter(filled.settings, copied).read_once()
        assert filled.get(call).receipt.number == 3
        assert filled.problems() == []

        def change(session: Any) -> None:
            session.scalars(select(Posting).limit(1)).one().memo = "changed"

        with pytest.raises(Exception, match="never changed or deleted"):
            copied.do(change)
        assert filled.balance(postings.WALLET, 1) > 0


def test_a_target_database_with_rows_is_refused_and_not_changed(filled: Any, target: str) -> None:
    db_copy(filled, target)
    with closing(Database(target)) as copied:
        before = rows(copied)
        with pytest.raises(TaxiphoneError, match=r"isn't empty: table account has rows\. Nothing was copied"):
            db_copy(filled, target)
        assert rows(copied) == before


def test_a_copy_that_fails_half_way_leaves_nothing(
    filled: Any, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(copying, "_move_sequence", broken)
    assert isinstance(db_copy(filled, target).exception, RuntimeError)
    monkeypatch.undo()
    with closing(Database(target)) as copied:
        assert not any(rows(copied).values())
    db_copy(filled, target)


HOLD = """
import sys, time
from taxiphone.store import serving
from taxiphone.store.database import Database
lock = serving.lock_of(Database(sys.argv[1]))
lock.take()
print("held", flush=True)
time.sleep(60)
"""


def test_nothing_is_copied_while_a_serve_runs(filled: Any, target: str) -> None:
    command = [sys.executable, "-c", HOLD, filled.settings.database_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TaxiphoneError, match="in use by another `taxiphone serve`"):
            db_copy(filled, target)
        holder.kill()
    with closing(Database(target)) as copied:
        assert copied.version() is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+psycopg://a:secret@db/taxiphone", "must not contain a password"),
        ("mysql://a@db/taxiphone", "not supported|not installed"),
        ("nothing", "not a URL"),
    ],
)
def test_an_invalid_target_is_refused(sqlite_house: Any, url: str, said: str) -> None:
    with pytest.raises(TaxiphoneError, match=said):
        db_copy(sqlite_house, url)


def test_a_database_is_not_copied_onto_itself(sqlite_house: Any) -> None:
    sqlite_house.consultant()
    with pytest.raises(TaxiphoneError, match="is the database that would be copied"):
        db_copy(sqlite_house, sqlite_house.settings.database_url)
    assert sqlite_house.database.read(lambda session: session.scalars(select(Consultant)).one().code) == "101"
