"""Makes calls at a fixed rate through one side, and measures them."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from taxiphone.bench.event_logs import PhoneCall, PhoneLog, Talks
from taxiphone.bench.figures import NOTHING, Processors, Run
from taxiphone.bench.lines import Line
from taxiphone.bench.phones import Side
from taxiphone.bench.prices_seen import PricesSeen
from taxiphone.bench.processor import machine_seconds, processor_seconds
from taxiphone.bench.rig import BenchSet, until
from taxiphone.errors import AriError
from taxiphone.store.models import Call, CallEvent

IDLE_SECONDS = 4.0
# How long a call that is due waits for a free line.
_LINE_SECONDS = 5.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Used:
    """CPU seconds since some time in the past."""

    asterisk: float
    program: float
    database: float
    phones: float
    busy: float
    machine: float
    at: float

    @classmethod
    def now(cls, both: BenchSet, side: Side) -> Used:
        """What a side, the telephones and the machine have used so far."""
        busy, machine = machine_seconds()
        return cls(
            asterisk=processor_seconds(side.asterisk),
            program=0.0 if side.program is None else processor_seconds(side.program, without=side.asterisk),
            database=0.0 if side.database is None else processor_seconds(side.database),
            phones=0.0 if both.phones.server.pid is None else processor_seconds(both.phones.server.pid),
            busy=busy,
            machine=machine,
            at=time.monotonic(),
        )

    @property
    def measured(self) -> float:
        """What the four parties have used."""
        return self.asterisk + self.program + self.database + self.phones

    def since(self, before: Used, idle: Processors = NOTHING) -> Processors:
        """What was used in between.

        Args:
            before: the beginning.
            idle: what is used without calls, in CPU seconds a second.
        """
        seconds, machine = self.at - before.at, max(self.machine - before.machine, 1e-9)
        busy, measured = (self.busy - before.busy) / machine, (self.measured - before.measured) / machine
        return Processors(
            asterisk=self.asterisk - before.asterisk - idle.asterisk * seconds,
            program=self.program - before.program - idle.program * seconds,
            database=self.database - before.database - idle.database * seconds,
            phones=self.phones - before.phones - idle.phones * seconds,
            busy=busy,
            others=max(busy - measured, 0.0),
        )


async def idle(both: BenchSet, sides: Sequence[Side]) -> dict[str, Processors]:
    """CPU seconds a second of each side and the telephones without calls."""
    with PricesSeen(both.platform.settings.database_url):  # as during a run
        before = [Used.now(both, side) for side in sides]
        await asyncio.sleep(IDLE_SECONDS)
        after = [Used.now(both, side) for side in sides]
    found = {}
    for side, early, later in zip(sides, before, after, strict=True):
        used = later.since(early)
        found[side.name] = Processors(
            used.asterisk / IDLE_SECONDS,
            used.program / IDLE_SECONDS,
            used.database / IDLE_SECONDS,
            used.phones / IDLE_SECONDS,
            used.busy,
            used.others,
        )
    return found


async def run(
    both: BenchSet,
    side: Side,
    name: str,
    *,
    rate: float,
    calls: int,
    without_calls: Processors,
    lines: Sequence[Line] = (),
) -> Run:
    """Let clients call at a fixed rate, and wait until all calls have ended and are priced.

    Args:
        both: the test set.
        side: the side to measure.
        name: unique among all runs.
        rate: calls a second.
        calls: how many in all.
        without_calls: what is used without calls, in CPU seconds a second.
        lines: the lines to use; all of them by default.
    """
    with (
        closing(PhoneLog(both.phones.cel_file, lines or both.lines)) as log,
        closing(Talks(side.cel_file)) as talks,
        PricesSeen(both.platform.settings.database_url) as prices,
    ):
        counted = await both.activity() if side.program is not None else {}
        newest = await both.platform.database.query(newest_event)
        before = Used.now(both, side)
        late = await dial(both, side, log, name, rate=rate, calls=calls)
        all_ended = await _all_over(both, log, talks)
        after = Used.now(both, side)
        done = await both.activity() if side.program is not None else {}
        log.read()
        talks.read()
        found = await both.platform.database.query(lambda session: recorded_since(session, newest))
    by_call = match(log.calls, found)
    return Run(
        side=side.name,
        rate=rate,
        calls=calls,
        talked=talks.count,
        ring=[call.rang - call.started for call in log.calls if call.rang and call.started],
        cpu=after.since(before, without_calls),
        last_step=[
            call.rang - ringing
            for call_id, call in by_call.items()
            if call.rang and (ringing := found[call_id].ringing)
        ],
        to_price=to_price(by_call, prices.at),
        late=late,
        all_ended=all_ended,
        counts={key: number - counted.get(key, 0) for key, number in done.items()},
    )


async def dial(
    both: BenchSet, side: Side, log: PhoneLog, name: str, *, rate: float, calls: int, keys: str = ""
) -> float:
    """Dial calls at a fixed rate; returns by how many seconds the latest of them was late.

    A call whose line can't be dialled, or for which no line is free within five seconds, is left out.
    """
    begin, late = time.monotonic(), 0.0
    async with asyncio.TaskGroup() as dialling:
        for number in range(calls):
            due = begin + number / rate
            await asyncio.sleep(max(due - time.monotonic(), 0))
            while (call := log.take(f"bench-{name}-{number}")) is None:
                if time.monotonic() - due > _LINE_SECONDS:
                    return time.monotonic() - due
                await asyncio.sleep(_LOOK_SECONDS)
            late = max(late, time.monotonic() - due)
            dialling.create_task(_dial(both, side, log, call, keys))
    return late


async def _dial(both: BenchSet, side: Side, log: PhoneLog, call: PhoneCall, keys: str) -> None:
    try:
        await both.phones.dial(side, call.line, call.leg, keys)
    except AriError:
        log.give_up(call)


async def _all_over(both: BenchSet, log: PhoneLog, talks: Talks) -> bool:
    """Wait until all calls have ended; after that time, hang them up. Tells whether they ended by themselves."""

    async def over() -> bool:
        log.read()
        talks.read()
        return log.busy == 0 and await both.over()

    try:
        await until(over, "the calls end")
    except TimeoutError:
        await both.phones.hang_up_all()
        await until(both.over, "the calls that did not end by themselves are hung up")
        return False
    return True


# -- the calls as the platform recorded them --------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorded:
    """A call in Taxiphone's database. Times are in seconds since 1970.

    Attributes:
        dialled: the number dialled.
        arrived: when it arrived.
        ringing: when Taxiphone had played all prompts and called the consultant; None if it did not get that far.
    """

    dialled: str
    arrived: float
    ringing: float | None


def match(calls: Sequence[PhoneCall], recorded: Mapping[str, Recorded]) -> dict[str, PhoneCall]:
    """Find the telephones' call of each recorded call: the last one that was begun on its line before it arrived."""
    by_line: dict[str, list[tuple[float, PhoneCall]]] = defaultdict(list)
    for call in calls:
        if call.started is not None:
            by_line[call.line.did].append((call.started, call))
    found = {}
    for call_id, row in recorded.items():
        line = by_line.get(row.dialled, [])
        place = bisect_right([started for started, _ in line], row.arrived) - 1
        if place >= 0:
            found[call_id] = line[place][1]
    return found


def to_price(by_call: Mapping[str, PhoneCall], seen: Mapping[str, float]) -> list[float]:
    """Seconds from the first hang-up of each call to the commit of its price."""
    return [
        seen[call_id] - call.hung_up
        for call_id, call in by_call.items()
        if call_id in seen and call.hung_up is not None
    ]


def newest_event(session: Session) -> int:
    """The id of the latest call event."""
    return session.scalar(select(func.max(CallEvent.id))) or 0


def recorded_since(session: Session, newest: int) -> dict[str, Recorded]:
    """The calls that have events later than `newest`."""
    rows = session.execute(
        select(Call.id, Call.dialled, Call.arrived_at, CallEvent.what, CallEvent.at)
        .join(CallEvent, CallEvent.call_id == Call.id)
        .where(CallEvent.id > newest)
        .order_by(CallEvent.id)
    ).all()
    ringing = {row.id: row.at.timestamp() for row in rows if row.what == "ringing"}
    return {row.id: Recorded(row.dialled, row.arrived_at.timestamp(), ringing.get(row.id)) for row in rows}
