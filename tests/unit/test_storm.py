"""Fifty concurrent calls from several processes on one wallet, and the same while processes are killed."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from taxiphone.bench import storm as storms
from taxiphone.bench.storm import Storm
from taxiphone.billing.ledger import balances
from taxiphone.billing.ledger_check import check
from taxiphone.store.database import Database
from taxiphone.store.models import Call, FreeMinutes, Posting, Receipt

CALLS, PROCESSES, CONSULTANTS = 50, 4, 5
# Every process looks for the module that began it all, which is pytest's.
storms.PROCESSES.set_forkserver_preload(["taxiphone.bench.storm", "pytest"])
STEPS = 3  # of a call: it is accepted, it is in the log, it is priced
PRICE = 72  # 42.5 s, so 43 s at 1.00 a minute, half up


@pytest.fixture(params=["sqlite", "postgresql"])
def storm(request: pytest.FixtureRequest, tmp_path: Path) -> Storm:
    return Storm(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


@pytest.fixture
def database(storm: Storm) -> Iterator[Database]:
    database = storm.open()
    database.create_if_new()
    yield database
    database.close()


def shares(calls: list[str]) -> list[list[str]]:
    return [calls[number::PROCESSES] for number in range(PROCESSES)]


def assert_right(database: Database, client: int, credit: int, *, free: int = 0) -> int:
    """Assert that the ledger is correct after everything has ended, and return the number of priced calls."""

    def look(session: Any) -> int:
        assert check(session) == []
        statuses: dict[str, int] = dict(
            session.execute(select(Call.status, func.count()).group_by(Call.status)).all()
        )
        priced = statuses.pop("rated", 0)
        assert set(statuses) <= {"ringing"}
        receipts = session.execute(select(Receipt.total, func.count()).group_by(Receipt.total)).all()
        assert dict(receipts) == {total: many for total, many in ((PRICE, priced - free), (0, free)) if many}
        charges = (
            select(Posting.call_id, func.count()).where(Posting.kind == "charge").group_by(Posting.call_id)
        )
        assert all(many == 1 for _, many in session.execute(charges))
        paid = PRICE * (priced - free)
        assert balances.balance(session, "wallet", client) == credit - paid
        assert balances.balance(session, "vat") + balances.balance(session, "commission") == 22 * (
            priced - free
        )
        return priced

    return database.read(look)


def test_fifty_calls_at_once_spend_no_cent_twice_and_are_posted_once(
    storm: Storm, database: Database
) -> None:
    people = storm.people(database, consultants=CONSULTANTS, credit=10_000)
    calls = storm.ring(database, people, CALLS)
    for worker in storm.start(shares(calls)):
        assert worker.wait() == 0
    assert assert_right(database, people.client, 10_000) == CALLS


def test_a_wallet_that_pays_for_some_of_fifty_calls_pays_for_no_other(
    storm: Storm, database: Database
) -> None:
    # Each holds 1.00 when it is accepted and costs 0.72: the last calls find less than 1.00.
    people = storm.people(database, consultants=CONSULTANTS, credit=2050)
    calls = storm.ring(database, people, CALLS)
    for worker in storm.start(shares(calls)):
        assert worker.wait() == 0
    priced = assert_right(database, people.client, 2050)
    assert 20 <= priced <= 2050 // PRICE
    assert 2050 - priced * PRICE >= 0


def test_free_minutes_are_used_once_per_consultant_in_a_storm(storm: Storm, database: Database) -> None:
    people = storm.people(database, consultants=CONSULTANTS, credit=10_000, free_minutes=1)
    calls = storm.ring(database, people, CALLS)
    for worker in storm.start(shares(calls)):
        assert worker.wait() == 0
    assert assert_right(database, people.client, 10_000, free=CONSULTANTS) == CALLS
    assert database.read(lambda s: s.scalar(select(func.count()).select_from(FreeMinutes))) == CONSULTANTS


# Four calls have twelve steps: in ten lives no process dies twice at the same one.
@pytest.mark.parametrize(
    ("deaths", "many"), [(10, 4 * PROCESSES), pytest.param(100, CALLS, marks=pytest.mark.slow)]
)
def test_killing_a_process_during_the_storm_loses_and_duplicates_nothing(
    storm: Storm, database: Database, deaths: int, many: int
) -> None:
    credit = 100 * many * deaths
    people = storm.people(database, consultants=CONSULTANTS, credit=credit)
    for death in range(deaths):
        parts = shares(storm.ring(database, people, many))
        workers = storm.start(parts)
        # Each time a little later in its life, and in another of its steps.
        workers[0].kill_after(1 + 5 * death % (STEPS * len(parts[0])))
        assert workers[0].process.exitcode == -signal.SIGKILL
        for worker in workers[1:]:
            assert worker.wait() == 0
        (heir,) = storm.start([parts[0]])  # the next run, over the same calls
        assert heir.wait() == 0
        assert assert_right(database, people.client, credit) == many * (death + 1)
