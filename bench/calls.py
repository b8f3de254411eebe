"""`make bench-calls`: the CPU time and the ring delay that Taxiphone adds to a call, compared with a plain Dial().

Both sides alternately take the same calls from the same telephones and are measured by the same code. The ring delay is
taken from the telephones' event log, so both ends are timed by one clock; the CPU time comes from the kernel.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform as machine
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from taxiphone import __version__
from taxiphone.bench import arithmetic, rig
from taxiphone.bench.arithmetic import Figures, Run, processor_seconds, summarise, table
from taxiphone.bench.phones import Side
from taxiphone.bench.rig import BenchSet, until
from taxiphone.commands import console
from taxiphone.commands.asterisk import installed
from taxiphone.commands.console import json_option, print_json
from taxiphone.dialplan.asterisk import locate
from taxiphone.errors import TaxiphoneError

_IDLE_SECONDS = 4.0
# For the whole benchmark.
_LONGEST_SECONDS = 300.0
# Calls a second.
_SLOWEST, _FASTEST = 0.5, 50.0

Idle = dict[str, tuple[float, float]]


def _rates(_context: click.Context, _option: click.Parameter, value: str) -> tuple[float, ...]:
    """Calls a second, separated by commas."""
    try:
        rates = tuple(float(part) for part in value.split(","))
    except ValueError:
        rates = ()
    if not rates or not all(_SLOWEST <= rate <= _FASTEST for rate in rates):
        raise click.BadParameter(
            f"{value!r} is not a list of calls a second, each from {_SLOWEST:g} to {_FASTEST:g}, such as 4,8."
        )
    return rates


@click.command()
@json_option
@click.option(
    "--calls",
    type=click.IntRange(1, rig.MOST_LINES),
    default=40,
    show_default=True,
    help="Calls in each run.",
)
@click.option(
    "--rates", callback=_rates, default="4,8", show_default=True, help="Calls a second, one run for each."
)
@click.option(
    "--rounds", type=click.IntRange(1, 10), default=3, show_default=True, help="How often all runs are made."
)
@click.option(
    "--append",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A Markdown file to add the result to, such as docs/benchmarks.md.",
)
@click.option("--note", help="A remark to print with the result.")
def bench(
    as_json: bool, calls: int, rates: tuple[float, ...], rounds: int, append: Path | None, note: str | None
) -> None:
    """Measure the CPU time and the ring delay that Taxiphone adds to a call.

    Three Asterisks run on the loopback interface, for a few minutes at most, with recordings off and prompts of 0.1 s.
    docs/benchmarks.md explains the figures.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    asterisk = installed(quiet=as_json)
    load = os.getloadavg()[0]
    place = Path(tempfile.mkdtemp(prefix="taxiphone-bench-"))
    try:
        figures, idle = asyncio.run(_measure(place, asterisk, calls, rates, rounds))
    except TimeoutError as error:
        raise TaxiphoneError(
            f"the benchmark took too long: {error or 'it was stopped'}. All files are in {place}"
        ) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(place)
        raise SystemExit(130) from None
    options = f"--calls {calls} --rates {','.join(f'{rate:g}' for rate in rates)} --rounds {rounds}"
    text = _section(figures, idle, asterisk, load, options, note)
    if append is not None:
        with append.open("a", encoding="utf-8") as file:
            file.write(f"\n{text}")
    if as_json:
        print_json(
            {"figures": [asdict(row) for row in figures], "idle": idle, "asterisk": asterisk.version_text}
        )
    else:
        click.echo(text)
    shutil.rmtree(place)
    if any(row.talked < row.calls for row in figures):
        console.note("Not every call led to a talk: the machine was too busy for these rates.")
        raise SystemExit(1)


async def _measure(
    place: Path, asterisk: locate.Asterisk, calls: int, rates: Sequence[float], rounds: int
) -> tuple[list[Figures], Idle]:
    both = BenchSet(place, asterisk, calls)
    runs: dict[tuple[float, str], list[Run]] = {}
    this = asyncio.current_task()
    if this is not None:
        # A plain kill must not leave three Asterisks running.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            await both.start()
            waits = {both.plain.name: 0.0, both.taxiphone.name: await both.warm_up()}
            sides = (both.plain, both.taxiphone)
            idle = await _idle(sides)
            for turn in range(rounds):
                for rate in rates:
                    for side in sides:
                        name = f"{turn + 1}-{rate:g}-{side.trunk}"
                        console.note(
                            f"round {turn + 1} of {rounds}: {side.name}, {calls} calls at {rate:g}/s"
                        )
                        runs.setdefault((rate, side.name), []).append(
                            await _run(both, side, name, rate, idle[side.name])
                        )
    finally:
        await both.stop()
    return [summarise(some, waits[side]) for (_, side), some in runs.items()], idle


async def _idle(sides: Sequence[Side]) -> Idle:
    """CPU seconds a second of each side without calls: of its Asterisk and of Taxiphone's processes."""
    before = [_cpu(side) for side in sides]
    await asyncio.sleep(_IDLE_SECONDS)
    after = [_cpu(side) for side in sides]
    return {
        side.name: ((late[0] - early[0]) / _IDLE_SECONDS, (late[1] - early[1]) / _IDLE_SECONDS)
        for side, early, late in zip(sides, before, after, strict=True)
    }


def _cpu(side: Side) -> tuple[float, float]:
    program = 0.0 if side.program is None else processor_seconds(side.program, without=side.asterisk)
    return processor_seconds(side.asterisk), program


async def _run(both: BenchSet, side: Side, name: str, rate: float, idle: tuple[float, float]) -> Run:
    """Let every client call once at a fixed rate, and wait until all calls have ended and are priced."""
    legs = {f"bench-{name}-{line.number}": line for line in both.lines}
    phones_from, side_from = _size(both.phones.cel_file), _size(side.cel_file)
    before, begin = _cpu(side), time.monotonic()
    for number, (leg, line) in enumerate(legs.items()):
        await asyncio.sleep(max(begin + number / rate - time.monotonic(), 0))
        await both.phones.dial(side, line, leg)
    await until(both.over, f"the calls of {side.name} end")
    after, seconds = _cpu(side), time.monotonic() - begin
    by_leg, by_number = arithmetic.starts(arithmetic.since(both.phones.cel_file, phones_from))
    rings = await both.platform.database.query(both.rings) if side.program is not None else {}
    reached = [(leg, line) for leg, line in legs.items() if leg in by_leg and line.consultant in by_number]
    return Run(
        side=side.name,
        rate=rate,
        calls=len(legs),
        talked=arithmetic.talks(arithmetic.since(side.cel_file, side_from)),
        ring=[by_number[line.consultant] - by_leg[leg] for leg, line in reached],
        last_step=[by_number[line.consultant] - rings[line.did] for _, line in reached if line.did in rings],
        asterisk=after[0] - before[0] - idle[0] * seconds,
        program=after[1] - before[1] - idle[1] * seconds,
    )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


# -- what is printed ------------------------------------------------------------------------------------------------


def _section(
    figures: Sequence[Figures],
    idle: Idle,
    asterisk: locate.Asterisk,
    load: float,
    options: str,
    note: str | None,
) -> str:
    """Return the result as a section of docs/benchmarks.md."""
    last = "; ".join(
        f"at {row.rate:g} calls/s {row.last_step_median:.1f} ms (median), {row.last_step_p99:.1f} ms (p99)"
        for row in figures
        if row.last_step_median is not None and row.last_step_p99 is not None
    )
    idles = "; ".join(
        f"{name}: Asterisk {asterisk_share * 1000:.0f} ms"
        + (f", Taxiphone {program * 1000:.0f} ms" if program else "")
        for name, (asterisk_share, program) in idle.items()
    )
    lines = [
        f"## {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Taxiphone {__version__}",
        "",
        f'- Command: `make bench-calls BENCH="{options}"`',
        f"- Machine: {_machine()}; load average at the start {load:.1f}",
        f"- Asterisk {asterisk.version_text}, Python {machine.python_version()}, SQLite {sqlite3.sqlite_version}",
        *([f"- {note}"] if note else []),
        "",
        table(figures),
        "",
        f"From the end of the last prompt to the INVITE at the consultant's phone: {last}.",
        "",
        f"Idle, in CPU time a second, subtracted above: {idles}.",
    ]
    return "\n".join(lines) + "\n"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in cpu.splitlines() if line.startswith("model name")]
    model = f" ({names[0]})" if names else ""
    return f"{os.cpu_count()} cores{model}, {memory:.0f} GiB, {machine.system()} {machine.release()}"


if __name__ == "__main__":
    try:
        bench(prog_name="python -m taxiphone.bench.calls")
    except TaxiphoneError as error:
        console.say(f"bench: {error}")
        raise SystemExit(error.exit_code) from None
