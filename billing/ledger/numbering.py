"""Numbers of receipts and credit notes: one unbroken series each.

Where the law asks for a series without gaps (in France, annexe II of the Code général des impôts, article 242 nonies A), a
number must not be lost when a transaction is rolled back, as those of a PostgreSQL sequence are. So on PostgreSQL a number is
the highest one so far and one more, and whoever takes one makes the others wait until it is committed. On SQLite, which has one
writer, the database itself numbers the rows like that.
"""

from __future__ import annotations

import enum
from typing import Any

from sqlalchemy import Column, Connection, bindparam, func, select

from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.tables import CREDIT_NOTE, RECEIPT


class Series(enum.Enum):
    """A series of numbers, and PostgreSQL's advisory lock that guards it."""

    RECEIPTS = 7421
    CREDIT_NOTES = 7422


def _next(number: Column[Any]) -> Prepared[int]:
    return Prepared(select(func.coalesce(func.max(number), 0) + 1), scalar)


_LOCK: Prepared[Any] = Prepared(select(func.pg_advisory_xact_lock(bindparam("series"))), scalar)
_NEXT = {Series.RECEIPTS: _next(RECEIPT.c.number), Series.CREDIT_NOTES: _next(CREDIT_NOTE.c.number)}


def next_number(connection: Connection, series: Series) -> dict[str, int]:
    """Return the column `number` of a new row of a series, if the database does not number it by itself.

    On PostgreSQL, other transactions that need a number of the series wait until this one ends. So take it late.
    """
    if connection.dialect.name != "postgresql":
        return {}
    _LOCK.first(connection, {"series": series.value})
    number = _NEXT[series].first(connection, {})
    return {} if number is None else {"number": number}
