"""Receipts and credit notes are numbered without gaps, even if transactions are rolled back or run at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.billing import call_row
from taxiphone.billing.ledger.keys import new_key
from taxiphone.billing.ledger.refunds import refund
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.rating import rate
from taxiphone.store.models import Call, CreditNote, Receipt

_START = datetime(2026, 11, 22, 18, tzinfo=UTC)
_END = _START + timedelta(minutes=1)
_MINUTE = Talk(_START, _END, 60_000_000, ((_START, _END),), "client", complete=True)


class RolledBackError(Exception):
    """Raised by a test to roll a transaction back."""


def prices(call_id: str) -> Callable[[Session], Any]:
    return lambda session: rate(
        session.connection(), call_row.read(session.connection(), call_id, lock=True), _MINUTE
    )


def refunds(call_id: str) -> Callable[[Session], Any]:
    return lambda session: refund(session, session.get_one(Call, call_id), 1, "bad line", new_key())


def rolled_back(house: Any, work: Callable[[Session], Any]) -> None:
    def fails(session: Session) -> None:
        work(session)
        raise RolledBackError

    with pytest.raises(RolledBackError):
        house.database.do(fails)


def numbers(house: Any, table: Any) -> list[int]:
    found: list[int] = house.database.read(
        lambda session: list(session.scalars(select(table.number).order_by(table.number)))
    )
    return found


def test_a_transaction_that_is_rolled_back_loses_no_number(house: Any) -> None:
    client, consultant = house.client(), house.consultant()
    for _ in range(3):
        call_id = house.call(client, consultant)
        rolled_back(house, prices(call_id))
        house.database.do(prices(call_id))
        rolled_back(house, refunds(call_id))
        house.database.do(refunds(call_id))
    assert numbers(house, Receipt) == [1, 2, 3]
    assert numbers(house, CreditNote) == [1, 2, 3]
    assert house.problems() == []


def test_calls_that_are_priced_at_the_same_time_are_numbered_one_after_the_other(house: Any) -> None:
    calls = []
    for number in range(6):
        client = house.client(code=f"70{number:02d}")
        calls.append(house.call(client, house.consultant(code=f"1{number:02d}")))
    failed: list[Exception] = []

    def price(position: int) -> None:
        try:
            if position % 2:
                rolled_back(house, prices(calls[position]))
            house.database.do(prices(calls[position]))
            house.database.do(refunds(calls[position]))
        except Exception as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=price, args=(position,)) for position in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert numbers(house, Receipt) == [1, 2, 3, 4, 5, 6]
    assert numbers(house, CreditNote) == [1, 2, 3, 4, 5, 6]
