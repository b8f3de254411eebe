"""Transactions lock a client's wallet before anything else of the ledger, so that two of them never wait for each other."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from taxiphone.billing import call_row, holds
from taxiphone.billing.ledger import balances, free_minutes, postings
from taxiphone.billing.ledger.refunds import refund
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.rating import rate
from taxiphone.billing.rerating import rerate
from taxiphone.errors import LedgerError
from taxiphone.store.models import Call

_START = datetime(2026, 11, 22, 18, tzinfo=UTC)
_END = _START + timedelta(minutes=1)
_MINUTE = Talk(_START, _END, 60_000_000, ((_START, _END),), "client", complete=True)
_BLOCKED = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@contextmanager
def waiting(house: Any, work: Callable[[Session], object]) -> Iterator[None]:
    """Let `work` run in a transaction of its own, once, until it waits for a lock; at the end it must succeed."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            with house.database.transaction() as session:
                work(session)
        except Exception as error:  # noqa: BLE001 - shown below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    end = time.monotonic() + 10
    while not house.database.sqlite:  # on SQLite it waits for the one write lock
        with house.database.reading() as session:
            if session.execute(_BLOCKED).scalar_one():
                break
        assert time.monotonic() < end, failed
        time.sleep(0.01)
    yield
    thread.join()
    assert failed == []


def test_a_refund_takes_the_wallet_before_the_earnings(house: Any) -> None:
    client, consultant = house.client(), house.consultant()
    call_id = house.call(client, consultant)
    house.database.do(lambda s: rate(s.connection(), call_row.read(s.connection(), call_id), _MINUTE))

    def refunds(session: Session) -> None:
        refund(session, session.get_one(Call, call_id), 100, "the line was bad", "k")

    with house.database.transaction() as session:
        balances.lock_wallet(session.connection(), client, "EUR")
        with waiting(house, refunds):
            changes = [
                postings.Change(postings.EARNINGS, str(consultant), "EUR", -1),
                postings.Change(postings.WALLET, str(client), "EUR", 1),
            ]
            postings.post(session, "a-correction", "correction", changes)
            session.commit()
    assert house.balance(postings.WALLET, client) == 10_000 - 155 + 100 + 1
    assert house.problems() == []


def test_a_call_that_is_closed_takes_the_wallet_before_its_free_minutes(house: Any) -> None:
    client, consultant = house.client(), house.consultant(free_minutes=10)
    first, second = house.call(client, consultant), house.call(client, consultant, accept=False)

    def closes(session: Session) -> None:
        rate(session.connection(), call_row.read(session.connection(), first, lock=True), None)

    with house.database.transaction() as session:
        connection = session.connection()
        balances.lock_wallet(connection, client, "EUR")
        with waiting(house, closes):
            who = {"consultant_id": consultant, "client_id": client}
            assert not free_minutes.claim(connection, house.settings, second, **who)
            session.commit()
    assert house.balance(postings.WALLET, client) == 10_000
    assert house.problems() == []


def test_a_refund_is_not_held_up_by_a_call_that_is_being_priced(house: Any) -> None:
    """Rows that refer to a locked call, such as a refund's posting, can still be inserted."""
    client, consultant = house.client(), house.consultant()
    call_id = house.call(client, consultant)
    house.database.do(lambda s: rate(s.connection(), call_row.read(s.connection(), call_id), _MINUTE))
    if house.database.sqlite:
        return  # one writer at a time
    with house.database.transaction() as session:
        call_row.read(session.connection(), call_id, lock=True)
        with house.database.transaction() as other:
            refund(other, other.get_one(Call, call_id), 100, "the line was bad", "k")
    assert house.problems() == []


def test_a_call_is_not_rerated_while_another_that_continues_it_is_being_accepted(house: Any) -> None:
    client, consultant = house.client(), house.consultant()
    first = house.call(client, consultant)

    house.write(*house.talk(first))
    Meter(house.settings, house.database).read_once()
    house.database.do(lambda s: setattr(s.get_one(Call, first), "dropped", True))
    second = house.call(client, consultant, accept=False)

    def rerates(session: Session) -> None:
        with pytest.raises(LedgerError, match="continues call"):
            rerate(session, session.get_one(Call, first))

    with house.database.transaction() as session:
        session.get_one(Call, second).continues_id = first
        session.flush()
        holds.accept(session.connection(), house.settings, second)
        with waiting(house, rerates):
            session.commit()
    assert house.problems() == []
