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
from pathlib import Path

import click

from taxiphone.commands.console import show

_LIMITS = {"--help": 0.25, "client list": 0.5}
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
def bench(runs: int) -> None:
    """Measure how long commands take to start and to end."""
    with tempfile.TemporaryDirectory(prefix="taxiphone-bench-") as folder:
        place = Path(folder)
        _run(place, "init --cli +33199001200 --trunk sip.carrier.example")
        _run(place, "client add Paul --number +33639980001")
        rows = []
        for command in _COMMANDS:
            times = [_run(place, command) for _ in range(runs)]
            cpu, wall = (min(each) for each in zip(*times, strict=True))
            rows.append(
                {
                    "command": f"taxiphone {command}",
                    "cpu_s": f"{cpu:.2f}",
                    "wall_s": f"{wall:.2f}",
                    "wanted_s": _LIMITS.get(command),
                }
            )
    show(rows, ("command", "cpu_s", "wall_s", "wanted_s"), as_json=False)


def _run(place: Path, command: str) -> tuple[float, float]:
    """Processor time and wall time of one run, in seconds."""
    # Compiled modules are kept, as they are for an installed program.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before, begun = _children(), time.perf_counter()
    subprocess.run(
        [str(Path(sys.executable).with_name("taxiphone")), *command.split()],
        cwd=place,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return _children() - before, time.perf_counter() - begun


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    bench(prog_name="python -m taxiphone.bench.start")
