"""What all benchmarks print besides their figures: the machine, its load, the versions; and the options for it."""

from __future__ import annotations

import os
import platform as machine
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from taxiphone import __version__
from taxiphone.commands.console import say

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Report:
    """A section of docs/benchmarks.md. Create it when the measurement begins, since it notes the load at that time.

    Args:
        title: what was measured.
        command: the command that measures it.
        append: a Markdown file to add the section to.
        note: a remark.
    """

    title: str
    command: str
    append: Path | None
    note: str | None
    _load: float = field(default_factory=lambda: os.getloadavg()[0])

    def publish(self, lines: Sequence[str], *versions: str) -> None:
        """Print the section, and append it to the file.

        Args:
            lines: the figures.
            versions: of programs other than Python and SQLite.
        """
        programs = (*versions, f"Python {machine.python_version()}", f"SQLite {sqlite3.sqlite_version}")
        load = f"load average at the start {self._load:.1f}, at the end {os.getloadavg()[0]:.1f}"
        text = "\n".join(
            [
                f"## {self.title}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Taxiphone {__version__}",
                "",
                f"- Command: `{self.command}`",
                f"- Machine: {describe_machine()}; {load}",
                f"- {', '.join(programs)}",
                *([f"- {self.note}"] if self.note else []),
                "",
                *lines,
            ]
        )
        say(text)
        if self.append is not None:
            with self.append.open("a", encoding="utf-8") as file:
                file.write(f"\n{text}\n")


def report_options(command: Command) -> Command:
    """Add the options `--append` and `--note`."""
    file = click.Path(path_type=Path, dir_okay=False)
    append = click.option(
        "--append", type=file, help="A Markdown file to add the result to, such as docs/benchmarks.md."
    )
    return append(click.option("--note", help="A remark to print with the result.")(command))


database_option = click.option(
    "--database",
    type=click.Choice(["sqlite", "postgresql"]),
    default="sqlite",
    show_default=True,
    help="Taxiphone's database.",
)
"""The option `--database`."""


def describe_machine() -> str:
    """The machine's processors, memory and kernel."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in cpu.splitlines() if line.startswith("model name")]
    model = f" ({names[0]})" if names else ""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores{model}, {memory:.0f} GiB, {machine.system()} {machine.release()}"
