"""`make bench-start`: measures how long commands take from start to end; the best of several runs counts.

On a busy machine, compare the processor time (user and system), not the wall time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from taxiphone.bench.figures import markdown, number
from taxiphone.bench.report import Report, report_options

_LIMITS = {"`taxiphone --help`": 0.25, "`taxiphone client list`": 0.5}
_COMMANDS = (
    "--help",
    "client --help",
    "client list",
    "consultant list",
    "call list",
    "recording list",
    "quote --help",
)


@click.command()
@click.option(
    "--runs", type=click.IntRange(min=1), default=5, show_default=True, help="Runs of each command."
)
@report_options
def bench(runs: int, append: Path | None, note: str | None) -> None:
    """Measure how long commands take to start and to end, and Python alone."""
    report = Report("Start-up: `make bench-start`", f'make bench-start BENCH="--runs {runs}"', append, note)
    with tempfile.TemporaryDirectory(prefix="taxiphone-bench-") as folder:
        place = Path(folder)
        _run(place, *_taxiphone("init --cli +33199001200 --trunk sip.carrier.example"))
        _run(place, *_taxiphone("client add Paul --number +33639980001"))
        commands = {f"`taxiphone {each}`": _taxiphone(each) for each in _COMMANDS}
        rows = [
            (name, *_best(place, command, runs), number(_LIMITS.get(name), 2))
            for name, command in {"Python alone": [sys.executable, "-c", "pass"], **commands}.items()
        ]
    report.publish([markdown(("command", "CPU seconds", "seconds", "wanted"), rows)])


def _taxiphone(arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("taxiphone")), *arguments.split()]


def _best(place: Path, command: Sequence[str], runs: int) -> tuple[str, str]:
    """The least processor time and the least wall time of several runs, in seconds."""
    cpu, wall = (min(each) for each in zip(*(_run(place, *command) for _ in range(runs)), strict=True))
    return number(cpu, 2), number(wall, 2)


def _run(place: Path, *command: str) -> tuple[float, float]:
    """Processor time and wall time of one run, in seconds."""
    # Compiled modules are kept, as they are for an installed program.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before, begun = _children(), time.perf_counter()
    subprocess.run(command, cwd=place, env=environment, stdout=subprocess.DEVNULL, check=True)
    return _children() - before, time.perf_counter() - begun


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    bench(prog_name="python -m taxiphone.bench.start")
