"""What `make bench-billing` measures in each of its processes: raw transactions, and calls from acceptance to receipt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from taxiphone.bench import raw
from taxiphone.bench.storm import People, Storm
from taxiphone.billing import call_row, holds
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.rating import rate
from taxiphone.settings import Settings
from taxiphone.store.database import Database

AT_ONCE = 32
"""Calls that are accepted and priced at the same time by one process."""

# Calls that ring at the same time.
_BATCH = 320
_BEGIN = datetime(2026, 11, 22, 18, tzinfo=UTC)
_END = _BEGIN + timedelta(seconds=42.5)
_TALK = Talk(_BEGIN, _END, 42_500_000, ((_BEGIN, _END),), "client", complete=True)


@dataclass
class Stopwatch:
    """How much was done in how much time. What isn't part of the work happens while it is stopped.

    Attributes:
        done: number of transactions, or calls.
        seconds: the time that they took.
    """

    done: int = 0
    seconds: float = field(default=0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of the block."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - begin


Work = Callable[[Storm, Sequence[People], float], Stopwatch]


def raw_commits(storm: Storm, _people: Sequence[People], seconds: float) -> Stopwatch:
    """Commit transactions of one row with the bare driver."""
    watch = Stopwatch()
    with closing(storm.open()) as database, watch.running():
        watch.done = len(raw.commits(database, seconds))
    return watch


def one_at_a_time(storm: Storm, people: Sequence[People], seconds: float) -> Stopwatch:
    """Accept and price calls, one after the other."""
    watch = Stopwatch()
    with closing(storm.open()) as database:
        while watch.seconds < seconds:
            ringing = storm.ring(database, people[0], _BATCH)
            with watch.running():
                for call_id in ringing:
                    database.write_now(_accept(storm.settings, call_id))
                    database.write_now(_price(call_id))
                    watch.done += 1
    return watch


def at_once(storm: Storm, people: Sequence[People], seconds: float) -> Stopwatch:
    """Accept and price calls from an event loop, `AT_ONCE` at the same time, each of another client."""
    watch = Stopwatch()
    with closing(storm.open()) as database:
        while watch.seconds < seconds:
            ringing = [storm.ring(database, each, _BATCH // AT_ONCE) for each in people]
            with watch.running():
                asyncio.run(_at_once(storm.settings, database, ringing))
            watch.done += sum(map(len, ringing))
    return watch


async def _at_once(settings: Settings, database: Database, ringing: list[list[str]]) -> None:
    async def one_client(call_ids: list[str]) -> None:
        for call_id in call_ids:
            await database.write(_accept(settings, call_id))
            await database.write(_price(call_id))

    await asyncio.gather(*map(one_client, ringing))


def _accept(settings: Settings, call_id: str) -> Callable[[Connection], object]:
    return lambda connection: holds.accept(connection, settings, call_id)


def _price(call_id: str) -> Callable[[Connection], object]:
    def work(connection: Connection) -> None:
        rate(connection, call_row.read(connection, call_id, lock=True), _TALK)

    return work
