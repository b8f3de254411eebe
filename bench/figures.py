"""Computes the figures of a run of calls, decides whether the rate was held, and prints the figures as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

RING_LIMIT_MS = 250.0
"""A rate is not held if one call in a hundred rings later than this, intended pauses subtracted."""

_HEAD = (
    *("side", "calls/s", "calls", "talked", "ring p50", "p99", "price p50", "p99", "commit p50", "p99"),
    *("CPU Asterisk", "CPU Taxiphone", "CPU database", "CPU phones", "machine busy", "by others", "held"),
)
_COUNTED = ("transactions", "commits", "reads", "requests", "events")


@dataclass(frozen=True)
class Processors:
    """CPU seconds (user and system) of the parties to a run, minus what they use without calls.

    Attributes:
        asterisk: the measured side's Asterisk.
        program: Taxiphone's own processes; 0 for Dial().
        database: PostgreSQL; 0 for SQLite, which is part of the program.
        phones: the telephones' Asterisk.
        busy: the share of the machine's CPU time that was used by anything, from 0 to 1.
        others: the share that was used by anything else, the benchmark included.
    """

    asterisk: float = 0.0
    program: float = 0.0
    database: float = 0.0
    phones: float = 0.0
    busy: float = 0.0
    others: float = 0.0


NOTHING = Processors()


@dataclass(frozen=True)
class Run:
    """The measurements of one run of calls.

    Attributes:
        side: the name of the measured side.
        rate: calls a second, as intended.
        calls: the number of calls that were due.
        talked: the number of calls that had both legs in the bridge.
        ring: seconds from each client's INVITE to the INVITE at the consultant's phone, prompts included.
        cpu: processor time.
        last_step: seconds from the end of Taxiphone's last prompt to the INVITE at the phone; empty for Dial().
        to_price: seconds from the first hang-up to the commit of the price; empty for Dial().
        commits: seconds of each transaction of one row on the same database, just before the run; empty for Dial().
        late: seconds by which the latest call was dialled too late.
        all_ended: whether all calls ended by themselves.
        counts: how many transactions, requests and events of each type Taxiphone had.
    """

    side: str
    rate: float
    calls: int
    talked: int
    ring: Sequence[float]
    cpu: Processors = NOTHING
    last_step: Sequence[float] = ()
    to_price: Sequence[float] = ()
    commits: Sequence[float] = ()
    late: float = 0.0
    all_ended: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """The figures of a run. Times are in milliseconds, CPU time and counts are per call; None: there is no such figure."""

    side: str
    rate: float
    calls: int
    talked: int
    ring_p50: float
    ring_p99: float
    last_step_p50: float | None
    last_step_p99: float | None
    price_p50: float | None
    price_p99: float | None
    commit_p50: float | None
    commit_p99: float | None
    cpu_asterisk: float
    cpu_program: float
    cpu_database: float
    cpu_phones: float
    busy: float
    others: float
    late: float
    counts: dict[str, float]
    failure: str | None

    @property
    def held(self) -> bool:
        """Whether every call talked and rang in time."""
        return self.failure is None

    @property
    def complete(self) -> bool:
        """Whether every call talked. A call that doesn't talk costs less, so other runs have no costs per call."""
        return self.talked == self.calls

    @property
    def cpu(self) -> float:
        """CPU time of Asterisk, the program and the database."""
        return self.cpu_asterisk + self.cpu_program + self.cpu_database


def summarise(run: Run, waits: float) -> Figures:
    """Compute the figures of a run.

    Args:
        run: the run.
        waits: seconds of the ring delay in which the side speaks or waits for a key; they are subtracted.
    """
    ring = [(seconds - waits) * 1000 for seconds in run.ring]
    p99 = percentile(ring, 99) or math.nan
    return Figures(
        side=run.side,
        rate=run.rate,
        calls=run.calls,
        talked=run.talked,
        ring_p50=percentile(ring, 50) or math.nan,
        ring_p99=p99,
        last_step_p50=percentile(_milliseconds(run.last_step), 50),
        last_step_p99=percentile(_milliseconds(run.last_step), 99),
        price_p50=percentile(_milliseconds(run.to_price), 50),
        price_p99=percentile(_milliseconds(run.to_price), 99),
        commit_p50=percentile(_milliseconds(run.commits), 50),
        commit_p99=percentile(_milliseconds(run.commits), 99),
        cpu_asterisk=run.cpu.asterisk * 1000 / run.calls,
        cpu_program=run.cpu.program * 1000 / run.calls,
        cpu_database=run.cpu.database * 1000 / run.calls,
        cpu_phones=run.cpu.phones * 1000 / run.calls,
        busy=run.cpu.busy,
        others=run.cpu.others,
        late=run.late * 1000,
        counts={name: number / run.calls for name, number in run.counts.items()},
        failure=_failure(run, p99),
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` per cent of the values do not exceed (nearest rank); None if there are no values."""
    ranked = sorted(values)
    return ranked[max(math.ceil(len(ranked) * share / 100), 1) - 1] if ranked else None


def highest_held(rows: Iterable[Figures], side: str) -> float | None:
    """The highest rate that a side held without failing at a lower one; None if it failed at the first."""
    held = None
    for row in rows:
        if row.side == side:
            if not row.held:
                return held
            held = row.rate
    return held


def _milliseconds(seconds: Iterable[float]) -> list[float]:
    return [each * 1000 for each in seconds]


def _failure(run: Run, ring_p99: float) -> str | None:
    """Why the rate was not held."""
    if run.talked < run.calls:
        return f"{run.calls - run.talked} did not talk"
    if not run.all_ended:
        return "calls did not end"
    if not ring_p99 <= RING_LIMIT_MS:
        return f"ring p99 > {RING_LIMIT_MS:g} ms"
    return None


# -- tables ---------------------------------------------------------------------------------------------------------


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose other columns are numbers."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def table(rows: Iterable[Figures]) -> str:
    """All figures; times in milliseconds, CPU per call."""
    return markdown(_HEAD, (_cells(row) for row in rows))


def beside_dial(rows: Sequence[Figures], dial: str) -> str:
    """Each run beside that of the plain Dial() at the same rate, if all calls of both talked."""
    plain = {row.rate: row for row in rows if row.side == dial and row.complete}
    head = (
        "calls/s",
        "ring p50, ms more",
        "p99, ms more",
        "Asterisk, x",
        "Taxiphone and database, x",
        "together, x",
    )
    return markdown(
        head,
        (
            (
                f"{row.rate:g}",
                number(row.ring_p50 - beside.ring_p50),
                number(row.ring_p99 - beside.ring_p99),
                *(
                    number(cpu / beside.cpu, 2) if beside.cpu > 0 else "-"
                    for cpu in (row.cpu_asterisk, row.cpu_program + row.cpu_database, row.cpu)
                ),
            )
            for row in rows
            if row.side != dial and row.complete and (beside := plain.get(row.rate)) is not None
        ),
    )


def counted(rows: Iterable[Figures]) -> str:
    """What Taxiphone did per call, in the runs in which all calls talked."""
    return markdown(
        ("calls/s", *_COUNTED),
        (
            (f"{row.rate:g}", *(number(row.counts.get(name, 0.0)) for name in _COUNTED))
            for row in rows
            if row.counts and row.complete
        ),
    )


def events_by_type(row: Figures) -> str:
    """ARI's events per call, the most frequent first."""
    types = {name: count for name, count in row.counts.items() if name not in _COUNTED and count}
    ranked = sorted(types.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {number(count)}" for name, count in ranked)


def number(value: float | None, digits: int = 1) -> str:
    """A number for a table; a dash if there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def _cells(row: Figures) -> tuple[str, ...]:
    cpus = (row.cpu_asterisk, row.cpu_program, row.cpu_database, row.cpu_phones)
    return (
        *(row.side, f"{row.rate:g}", str(row.calls), str(row.talked)),
        *(number(value) for value in (row.ring_p50, row.ring_p99, row.price_p50, row.price_p99)),
        *(number(value) for value in (row.commit_p50, row.commit_p99)),
        *(number(value if row.complete else None) for value in cpus),
        f"{row.busy:.0%}",
        f"{row.others:.0%}",
        row.failure or "yes",
    )
