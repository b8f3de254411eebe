"""`make bench-calls`: how many calls a second Taxiphone takes, and what each of them costs, beside a plain Dial().

Both sides alternately take the same calls from the same telephones and are measured by the same code. The ring delay is
taken from the telephones' event log, so both ends are timed by one clock; the CPU time comes from the kernel.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click

from taxiphone.bench import figures, raw, traffic
from taxiphone.bench.figures import Figures, Processors, highest_held, number, summarise
from taxiphone.bench.lines import MOST_LINES
from taxiphone.bench.report import Report, database_option, report_options
from taxiphone.bench.rig import PROMPT_SECONDS, BenchSet
from taxiphone.bench.sets import with_bench_set
from taxiphone.bench.warm_up import warm_up
from taxiphone.commands import console
from taxiphone.commands.asterisk import installed
from taxiphone.commands.console import json_option, print_json
from taxiphone.errors import TaxiphoneError

# Calls a second.
_SLOWEST, _FASTEST = 0.5, 100.0
_RAW_SECONDS = 1.0
# The share of the machine that is used: by anything, if it is the limit; by other programs, if they disturb.
_BUSY, _OTHERS = 0.9, 0.25


@dataclass(frozen=True)
class Measured:
    """All figures.

    Attributes:
        rows: of each run, in order.
        idle: CPU seconds a second of each side without calls.
    """

    rows: list[Figures]
    idle: dict[str, Processors]


def rates_of(_context: click.Context, _option: click.Parameter, value: str) -> tuple[float, ...]:
    """Parse calls a second, separated by commas."""
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
    "--rates",
    callback=rates_of,
    default="4,8,12,17,24,34,48",
    show_default=True,
    help="Calls a second, one run for each, until both sides have failed.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 600),
    default=60.0,
    show_default=True,
    help="How long calls arrive in each run.",
)
@click.option(
    "--lines",
    type=click.IntRange(2, MOST_LINES),
    default=400,
    show_default=True,
    help="Clients, each with a consultant. No line is called twice at once.",
)
@database_option
@report_options
def bench(
    as_json: bool,
    rates: tuple[float, ...],
    seconds: float,
    lines: int,
    database: str,
    append: Path | None,
    note: str | None,
) -> None:
    """Measure how many calls a second Taxiphone takes, and what they cost, compared with a plain Dial().

    Three Asterisks run on the loopback interface, with recordings off and prompts of 20 ms. A rate has failed if a call
    doesn't lead to a talk, or if the 99th percentile of the ring delay exceeds 250 ms. docs/benchmarks.md explains the
    figures.
    """
    asterisk = installed(quiet=as_json)
    options = f"--rates {','.join(f'{rate:g}' for rate in rates)} --seconds {seconds:g} --lines {lines} --database {database}"
    title = f"Calls: `make bench-calls`, {'SQLite' if database == 'sqlite' else 'PostgreSQL'}"
    report = Report(title, f'make bench-calls BENCH="{options}"', append, note)

    async def measure(both: BenchSet) -> Measured:
        return await _measure(both, rates, seconds)

    found = with_bench_set(asterisk, measure, lines=lines, postgres=database == "postgresql")
    if as_json:
        print_json(
            {
                "figures": [asdict(row) for row in found.rows],
                "idle": {side: asdict(used) for side, used in found.idle.items()},
                "asterisk": asterisk.version_text,
            }
        )
    else:
        report.publish(_lines(found), f"Asterisk {asterisk.version_text}")


async def _measure(both: BenchSet, rates: Sequence[float], seconds: float) -> Measured:
    sides = (both.plain, both.taxiphone)
    waits, _ = await warm_up(both)
    idle = await traffic.idle(both, sides)
    raw.prepare(both.platform.database)
    rows: list[Figures] = []
    failed: set[str] = set()
    for rate in rates:
        for side in sides:
            if side.name in failed:
                continue
            calls = max(1, round(rate * seconds))
            console.note(f"{side.name}: {calls} calls at {rate:g}/s")
            commits = await _commits(both) if side.program is not None else []
            found = await traffic.run(
                both,
                side,
                f"{rate:g}-{side.trunk}",
                rate=rate,
                calls=calls,
                without_calls=idle[side.name],
            )
            row = summarise(replace(found, commits=commits), waits[side.name])
            rows.append(row)
            console.note(_progress(row))
            if not row.held:
                failed.add(side.name)
        if len(failed) == len(sides):
            break
    return Measured(rows, idle)


async def _commits(both: BenchSet) -> list[float]:
    return await asyncio.to_thread(raw.commits, both.platform.database, _RAW_SECONDS)


def _progress(row: Figures) -> str:
    return (
        f"    {row.talked} talked, ring p50 {number(row.ring_p50)} ms, p99 {number(row.ring_p99)} ms, CPU per call "
        f"{number(row.cpu)} ms, the machine {row.busy:.0%} busy: {row.failure or 'held'}"
    )


# -- what is printed ------------------------------------------------------------------------------------------------


def _lines(found: Measured) -> list[str]:
    rows, (dial, program) = found.rows, tuple(found.idle)
    last = "; ".join(
        f"at {row.rate:g} calls/s {number(row.last_step_p50)} ms (p50), {number(row.last_step_p99)} ms (p99)"
        for row in rows
        if row.last_step_p50 is not None
    )
    own = [row for row in rows if row.side == program and row.complete]
    idles = "; ".join(
        f"{name}: Asterisk {used.asterisk * 1000:.0f} ms, Taxiphone {used.program * 1000:.0f} ms, database "
        f"{used.database * 1000:.0f} ms, telephones {used.phones * 1000:.0f} ms"
        for name, used in found.idle.items()
    )
    return [
        figures.table(rows),
        "",
        _highest(rows, dial, program),
        "",
        "Taxiphone beside Dial() at the same rate (CPU: as a multiple of the CPU time of Dial()'s Asterisk):",
        "",
        figures.beside_dial(rows, dial),
        "",
        "Taxiphone per call:",
        "",
        figures.counted(own),
        "",
        *(
            [f"ARI's events per call at {own[0].rate:g} calls/s: {figures.events_by_type(own[0])}.", ""]
            if own
            else []
        ),
        f"From the end of the last prompt to the INVITE at the consultant's phone: {last}.",
        "",
        (
            f"A call was dialled at most {max(row.late for row in rows):.0f} ms too late. Every prompt was {PROMPT_SECONDS:g} s "
            "of silence."
        ),
        "",
        _bottleneck(rows),
        "",
        f"Idle, in CPU time a second, subtracted above: {idles}.",
    ]


def _highest(rows: Sequence[Figures], dial: str, program: str) -> str:
    """The highest rate that each side held, and their ratio."""
    held = {side: highest_held(rows, side) for side in (dial, program)}
    told = {
        side: "none of these rates"
        if rate is None
        else f"{rate:g} calls/s"
        + ("" if any(row.side == side and not row.held for row in rows) else " or more")
        for side, rate in held.items()
    }
    text = f"Highest rate held: {dial} {told[dial]}, {program} {told[program]}"
    plain, own = held[dial], held[program]
    return text + (f"; ratio {own / plain:.2f}." if plain and own else ".")


def _bottleneck(rows: Sequence[Figures]) -> str:
    """What limited the rates: the machine, and whether the telephones, which run on it too, had a part in that."""
    texts = []
    for row in rows:
        if row.held:
            continue
        together = row.cpu + row.cpu_phones
        phones = row.cpu_phones / together if together > 0 else 0.0
        cores = os.cpu_count() or 1
        # By what a call costs: the share of the whole run includes its end, when no more calls arrive.
        needed = together / 1000 * row.rate
        limit = "so the limit was not the machine"
        if row.busy >= _BUSY or needed >= _BUSY * cores:
            limit = (
                f"so the machine was the limit, and the telephones used {phones:.0%} of the calls' CPU time"
            )
        if row.others >= _OTHERS:
            limit += "; other programs disturbed this measurement"
        texts.append(
            f"When {row.side} failed at {row.rate:g} calls/s, the machine was {row.busy:.0%} busy, {row.others:.0%} by programs "
            f"other than those measured, the benchmark included. The calls needed {needed:.1f} of {cores} cores; {limit}."
        )
    return " ".join(texts) or "No side failed, so no limit was found."


if __name__ == "__main__":
    try:
        bench(prog_name="python -m taxiphone.bench.calls")
    except TaxiphoneError as error:
        console.say(f"bench: {error}")
        raise SystemExit(error.exit_code) from None
