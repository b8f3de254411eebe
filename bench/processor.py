"""Processor time of processes and of the whole machine, from Linux's /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# In the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
_IDLE, _WAITING, _COLUMNS = 3, 4, 8


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


def machine_seconds(proc: Path = Path("/proc")) -> tuple[float, float]:
    """CPU time of all processors since boot that was used by anything, and in total (proc(5))."""
    columns = (proc / "stat").read_text().partition("\n")[0].split()[1:][:_COLUMNS]
    ticks = [int(column) for column in columns]
    idle = ticks[_IDLE] + ticks[_WAITING]
    return (sum(ticks) - idle) / _TICKS, sum(ticks) / _TICKS
