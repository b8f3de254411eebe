"""Column types without loss: instants in UTC to the microsecond, decimals to the last digit. And the clocks of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
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


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of both clocks of this machine.

    Attributes:
        at: by the wall clock, which somebody may set.
        monotonic_us: microseconds by the monotonic clock (CLOCK_MONOTONIC), which nobody can set. It stands still while
            the machine is suspended: no voice passes then.
        boot: which boot of the machine it counts from; None where the machine doesn't say.
    """

    at: datetime
    monotonic_us: int
    boot: str | None


def _machine() -> datetime:
    return datetime.now(UTC)


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000


_clock: Callable[[], datetime] = _machine
_anchor: Moment | None = None  # from which `steady` counts
_monotonic: Callable[[], int] = _monotonic_us


def now() -> datetime:
    """This machine's wall clock, in UTC. Never use it for a price or a duration: somebody may set it."""
    return _clock()


def monotonic_us() -> int:
    """This machine's monotonic clock, in microseconds; only differences within one boot mean anything."""
    return _monotonic()


def steady() -> datetime:
    """A time that nobody can set: the first reading of the wall clock plus the monotonic time since.

    Only differences within one process mean anything.
    """
    anchor = _anchored()
    return anchor.at + timedelta(microseconds=monotonic_us() - anchor.monotonic_us)


def monotonic_of(at: datetime) -> int:
    """The monotonic clock's reading at a time of `steady`."""
    anchor = _anchored()
    return anchor.monotonic_us + (at - anchor.at) // timedelta(microseconds=1)


def _anchored() -> Moment:
    global _anchor  # noqa: PLW0603 - it is set once, by the first reading
    if _anchor is None:
        _anchor = moment()
    return _anchor


def moment() -> Moment:
    """Read both clocks."""
    return Moment(now(), monotonic_us(), boot())


@cache
def boot() -> str | None:
    """The id of this boot of the machine (Linux); None where there is none, and then no two readings are compared."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:36] or None
    except (OSError, ValueError):
        return None


@contextmanager
def using_clocks(
    clock: Callable[[], datetime], monotonic: Callable[[], int] = _monotonic_us
) -> Iterator[None]:
    """Use other clocks for `now` and `monotonic_us` in the block, in the whole process; for simulated calls."""
    global _clock, _monotonic, _anchor
    before = _clock, _monotonic, _anchor
    _clock, _monotonic, _anchor = clock, monotonic, None
    try:
        yield
    finally:
        _clock, _monotonic, _anchor = before
