"""Computes the benchmark's figures from event logs and processor times, and prints them as a table."""

from __future__ import annotations

import csv
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from taxiphone.billing.evidence import cel

_TICKS = os.sysconf("SC_CLK_TCK")
_BRIDGED = 2


@dataclass
class Run:
    """The measurements of one run of calls.

    Attributes:
        side: the name of the measured side.
        rate: calls a second.
        calls: the number of calls dialled.
        talked: the number of calls that had both legs in the bridge.
        ring: seconds from each client's INVITE to the INVITE at the consultant's phone, prompts included.
        last_step: seconds from the end of Taxiphone's last prompt to the INVITE at the phone; empty for Dial().
        asterisk: CPU seconds of its Asterisk, minus those of an idle one.
        program: CPU seconds of Taxiphone's own processes, minus those of idle ones; 0 for Dial().
    """

    side: str
    rate: float
    calls: int
    talked: int
    ring: list[float]
    last_step: list[float] = field(default_factory=list)
    asterisk: float = 0.0
    program: float = 0.0


@dataclass(frozen=True)
class Figures:
    """The figures of all runs of one side at one rate; times in milliseconds."""

    side: str
    rate: float
    calls: int
    talked: int
    ring_median: float
    ring_p95: float
    ring_p99: float
    ring_max: float
    last_step_median: float | None
    last_step_p99: float | None
    cpu_asterisk: float
    cpu_program: float

    @property
    def cpu(self) -> float:
        """CPU time of Asterisk and the program per call."""
        return self.cpu_asterisk + self.cpu_program


def summarise(runs: Sequence[Run], waits: float) -> Figures:
    """Combine the runs of one side at one rate. Delays are pooled; CPU per call is the median of the runs.

    Args:
        runs: one or more, of the same side and rate.
        waits: seconds of the ring delay in which the side speaks or waits for a key; they are subtracted.
    """
    ring = [(seconds - waits) * 1000 for run in runs for seconds in run.ring] or [math.nan]
    last = [seconds * 1000 for run in runs for seconds in run.last_step]
    return Figures(
        side=runs[0].side,
        rate=runs[0].rate,
        calls=sum(run.calls for run in runs),
        talked=sum(run.talked for run in runs),
        ring_median=percentile(ring, 50),
        ring_p95=percentile(ring, 95),
        ring_p99=percentile(ring, 99),
        ring_max=max(ring),
        last_step_median=percentile(last, 50) if last else None,
        last_step_p99=percentile(last, 99) if last else None,
        cpu_asterisk=median(run.asterisk * 1000 / run.calls for run in runs),
        cpu_program=median(run.program * 1000 / run.calls for run in runs),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` per cent of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(math.ceil(len(ranked) * share / 100), 1) - 1]


# -- Asterisk's event logs ------------------------------------------------------------------------------------------


def since(file: Path, offset: int) -> list[str]:
    """The complete lines of a growing file from a position on."""
    if not file.exists():
        return []
    with file.open("rb") as opened:
        opened.seek(offset)
        return [line.decode(errors="replace") for line in opened.read().split(b"\n")[:-1]]


def starts(lines: Iterable[str]) -> tuple[dict[str, float], dict[str, float]]:
    """The start times of the telephones' legs in epoch seconds, by unique id and by dialled number.

    Args:
        lines: lines of the telephones' event log: event, time, unique id, number dialled.
    """
    by_leg: dict[str, float] = {}
    by_number: dict[str, float] = {}
    for event, time, leg, number in csv.reader(lines):
        if event == "CHAN_START":
            by_leg.setdefault(leg, float(time))
            by_number.setdefault(number, float(time))
    return by_leg, by_number


def talks(lines: Iterable[str]) -> int:
    """The number of calls with two legs in a bridge, from the event log of the Asterisk that bridged them."""
    bridged: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        row = cel.parse(line)
        if row.event == "BRIDGE_ENTER":
            bridged[str(row.extra.get("bridge_id"))].add(row.channel)
    return sum(len(legs) >= _BRIDGED for legs in bridged.values())


# -- processor time -------------------------------------------------------------------------------------------------


def processor_seconds(pid: int, *, without: int | None = None, proc: Path = Path("/proc")) -> float:
    """CPU time (user and system) of a process and its descendants, ended children included (proc(5)).

    Args:
        pid: the process id.
        without: a descendant that is excluded together with its own descendants.
        proc: the mount point of procfs.
    """
    table: dict[int, tuple[int, int]] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The command's name in parentheses can contain anything; only numbers follow the last parenthesis.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            # The process has ended meanwhile.
            continue
        table[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    ticks, wanted = 0, [pid]
    while wanted:
        one = wanted.pop()
        if one == without or one not in table:
            continue
        ticks += table[one][1]
        wanted += [child for child, (parent, _) in table.items() if parent == one]
    return ticks / _TICKS


# -- output ---------------------------------------------------------------------------------------------------------

_HEAD = (
    *("side", "calls/s", "calls", "talked", "ring median", "p95", "p99", "max"),
    *("CPU Asterisk", "CPU Taxiphone", "CPU together"),
)


def table(rows: Iterable[Figures]) -> str:
    """The figures as a Markdown table; times in milliseconds, CPU per call."""
    lines = ["| " + " | ".join(_HEAD) + " |", "| --- |" + " ---: |" * (len(_HEAD) - 1)]
    for row in rows:
        delays = (row.ring_median, row.ring_p95, row.ring_p99, row.ring_max)
        cpus = (row.cpu_asterisk, row.cpu_program, row.cpu)
        cells = (
            *(row.side, f"{row.rate:g}", str(row.calls), str(row.talked)),
            *(f"{value:.1f}" for value in (*delays, *cpus)),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
