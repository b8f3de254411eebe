"""Lossless column types for times (UTC, to the microsecond) and decimals, and the clocks of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import DateTime, Dialect, String
from sqlalchemy.types import TypeDecorator

from taxiphone.exact import exact


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, stored as UTC without a zone. Rejects naive datetimes."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Convert a value for the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone must not reach the database")
        return value.astimezone(UTC).replace(tzinfo=None)

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        """Return what converts values for the database. SQLite gets the text that SQLAlchemy writes, in half of its time."""
        if dialect.name != "sqlite":
            return super().bind_processor(dialect)

        def process(value: datetime | None) -> str | None:
            if value is not None and value.tzinfo is not UTC:
                value = self.process_bind_param(value, dialect)
            return None if value is None else timestamp_text(value)

        return process

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert a value from the database."""
        return None if value is None else value.replace(tzinfo=UTC)


# A few prices and rates are read again with every call.
_stored = lru_cache(maxsize=1024)(exact)


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal of any precision, never negative zero. Stored as text, because SQLite has no exact decimals."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Convert a value for the database."""
        if isinstance(value, float):
            raise TypeError("a float has lost its cents already")
        return None if value is None else format(exact(value), "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        """Convert a value from the database."""
        # Earlier versions could write -0.00, which a tariff rejects; `exact` converts it to zero.
        return None if value is None else _stored(value)


def timestamp_text(at: datetime) -> str:
    """Return a time of UTC as text, as SQLite stores it and PostgreSQL reads it: without its zone, to the microsecond."""
    return at.replace(tzinfo=None).isoformat(" ", "microseconds")


@dataclass(frozen=True, slots=True)
class Moment:
    """A reading of both clocks of this machine.

    Attributes:
        at: the wall clock, which may be set.
        monotonic_us: the monotonic clock (CLOCK_MONOTONIC) in microseconds, which can't be set. It stops while the machine
            is suspended, when there is no audio either.
        boot: the boot of the machine from which it counts; None if unknown.
    """

    at: datetime
    monotonic_us: int
    boot: str | None


def _machine() -> datetime:
    return datetime.now(UTC)


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000


_clock: Callable[[], datetime] = _machine
_anchor: Moment | None = None  # the reading from which `steady` counts
_monotonic: Callable[[], int] = _monotonic_us


def now() -> datetime:
    """Return the wall clock, in UTC. It may be set, so never use it for a price or a duration."""
    return _clock()


def monotonic_us() -> int:
    """Return the monotonic clock, in microseconds. Only differences within one boot are meaningful."""
    return _monotonic()


def steady() -> datetime:
    """Return a time that can't be set: the first reading of the wall clock plus the monotonic time since.

    Only differences within one process are meaningful.
    """
    anchor = _anchored()
    return anchor.at + timedelta(microseconds=monotonic_us() - anchor.monotonic_us)


def monotonic_of(at: datetime) -> int:
    """Return the monotonic clock's reading at a time of `steady`."""
    anchor = _anchored()
    return anchor.monotonic_us + (at - anchor.at) // timedelta(microseconds=1)


def _anchored() -> Moment:
    global _anchor  # noqa: PLW0603 - set once, by the first reading
    if _anchor is None:
        _anchor = moment()
    return _anchor


def moment() -> Moment:
    """Read both clocks."""
    return Moment(now(), monotonic_us(), boot())


@cache
def boot() -> str | None:
    """Return the id of this boot of the machine (Linux); None if unknown, so that readings aren't compared."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:36] or None
    except (OSError, ValueError):
        return None


@contextmanager
def using_clocks(
    clock: Callable[[], datetime], monotonic: Callable[[], int] = _monotonic_us
) -> Iterator[None]:
    """Use other clocks for `now` and `monotonic_us` during the block, in the whole process. For simulated calls."""
    global _clock, _monotonic, _anchor
    before = _clock, _monotonic, _anchor
    _clock, _monotonic, _anchor = clock, monotonic, None
    try:
        yield
    finally:
        _clock, _monotonic, _anchor = before
