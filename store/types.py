"""Column types that keep what they are given: instants in UTC to the microsecond, decimals to the last digit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Dialect, String
from sqlalchemy.types import TypeDecorator

from taxiphone.exact import exact


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. Stored without a zone, always UTC; refuses a datetime that does not know its zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone must not reach the database")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From the database."""
        return None if value is None else value.replace(tzinfo=UTC)


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal of any number of digits, stored as text: SQLite has no exact decimals of its own. Never minus zero."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """To the database."""
        if isinstance(value, float):
            raise TypeError("a float has lost its cents already")
        return None if value is None else format(exact(value), "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        """From the database."""
        # Older programs could write -0.00, which no tariff takes: `exact` reads it as zero.
        return None if value is None else exact(value)


def _machine() -> datetime:
    return datetime.now(UTC)


_clock: Callable[[], datetime] = _machine


def now() -> datetime:
    """This machine's wall clock, in UTC. Never the basis of a price: that is Asterisk's event log."""
    return _clock()


@contextmanager
def telling(clock: Callable[[], datetime]) -> Iterator[None]:
    """In the block `now` asks another clock, in the whole process: a simulated call's time is not this machine's."""
    global _clock  # noqa: PLW0603 - there is one wall clock, and this is its only setter
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before
