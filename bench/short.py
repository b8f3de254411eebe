"""`make bench-short`: a minute of calls that fails if a call has become much more expensive. It runs in CI.

It compares Taxiphone with a plain Dial() of the same minute, and their ratio with what was recorded (recorded.json), so that it
depends little on the machine's speed and load. Counts don't depend on them at all, so their limit is narrow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import click

from taxiphone.bench import figures, traffic
from taxiphone.bench.figures import Figures, summarise
from taxiphone.bench.rig import BenchSet
from taxiphone.bench.sets import with_bench_set
from taxiphone.bench.warm_up import warm_up
from taxiphone.commands import console
from taxiphone.commands.asterisk import installed
from taxiphone.errors import TaxiphoneError

RECORDED = Path(__file__).with_name("recorded.json")
# Of the calls, as a busy machine may lose one.
_TALKED = 0.9
# How many times the recorded figure is too much.
_CPU_LIMIT, _RING_LIMIT, _COUNT_LIMIT = 2.0, 3.0, 1.5
# The ring delay is not compared if other programs used more of the machine than this: it grows several times with the load.
_OTHERS = 0.25
_COUNTED = ("transactions", "reads", "requests", "events")


@click.command()
@click.option(
    "--calls", type=click.IntRange(2, 200), default=20, show_default=True, help="Calls through each side."
)
@click.option(
    "--rate", type=click.FloatRange(0.1, 10), default=2.0, show_default=True, help="Calls a second."
)
@click.option(
    "--record", is_flag=True, help="Store the figures as those to compare with, instead of comparing them."
)
def bench(calls: int, rate: float, record: bool) -> None:
    """Fail if a call costs much more than recorded, compared with a plain Dial() of the same minute.

    If the figures are too high, the measurement is repeated once.
    """
    asterisk = installed()

    async def measure(both: BenchSet) -> tuple[Figures, Figures]:
        waits, _ = await warm_up(both)
        sides = (both.plain, both.taxiphone)
        idle = await traffic.idle(both, sides)
        found = []
        for side in sides:
            console.note(f"{side.name}: {calls} calls at {rate:g}/s")
            name = f"short-{side.trunk}"
            run = await traffic.run(both, side, name, rate=rate, calls=calls, without_calls=idle[side.name])
            found.append(summarise(run, waits[side.name]))
        return found[0], found[1]

    def attempt() -> list[str]:
        dial, own = with_bench_set(asterisk, measure, lines=max(2, calls))
        console.say(figures.table([dial, own]))
        console.say(figures.counted([own]))
        if record:
            RECORDED.write_text(json.dumps(compared(dial, own), indent=4) + "\n", encoding="utf-8")
            return []
        return list(regressions(dial, own, json.loads(RECORDED.read_text(encoding="utf-8"))))

    try:
        found = attempt()
    except TaxiphoneError as error:
        found = [str(error)]
    if not found:
        return
    for sentence in (*found, "It is measured once more."):
        console.note(sentence)
    if found := attempt():
        raise TaxiphoneError(
            f"{'; '.join(found)}. A call costs much more than recorded in bench/recorded.json (docs/benchmarks.md). If that is "
            "intended, run: make bench-short BENCH=--record"
        )


def compared(dial: Figures, own: Figures) -> dict[str, float]:
    """The figures that are recorded: CPU time as a multiple of that of Dial()'s Asterisk, delays in milliseconds."""
    return {
        "program_cpu_x_dial": round((own.cpu_program + own.cpu_database) / dial.cpu, 2),
        "asterisk_cpu_x_dial": round(own.cpu_asterisk / dial.cpu, 2),
        "ring_p50_ms": round(own.ring_p50, 1),
        "dial_ring_p50_ms": round(dial.ring_p50, 1),
        **{name: round(own.counts.get(name, 0.0), 1) for name in _COUNTED},
    }


def regressions(dial: Figures, own: Figures, recorded: dict[str, float]) -> Iterator[str]:
    """Describe each figure that is much worse than recorded.

    Args:
        dial: the figures of the plain Dial().
        own: Taxiphone's figures.
        recorded: what `compared` returned when it was recorded.
    """
    for row in (dial, own):
        if row.talked < _TALKED * row.calls:
            yield f"{row.side}: only {row.talked} of {row.calls} calls led to a talk"
    now = compared(dial, own)
    # If Dial() rings later than when it was recorded, the machine is slow, and Taxiphone may ring later as well.
    slower = max(1.0, now["dial_ring_p50_ms"] / recorded["dial_ring_p50_ms"])
    quiet = max(dial.others, own.others) <= _OTHERS
    limits = {
        "program_cpu_x_dial": _CPU_LIMIT,
        "asterisk_cpu_x_dial": _CPU_LIMIT,
        "ring_p50_ms": _RING_LIMIT * slower if quiet else math.inf,
        **dict.fromkeys(_COUNTED, _COUNT_LIMIT),
    }
    for name, times in limits.items():
        limit = recorded[name] * times
        if not now[name] <= limit:
            yield f"{name} is {now[name]:g}, recorded was {recorded[name]:g}, the limit is {limit:.1f}"


if __name__ == "__main__":
    try:
        bench(prog_name="python -m taxiphone.bench.short")
    except TaxiphoneError as error:
        console.say(f"bench: {error}")
        raise SystemExit(error.exit_code) from None
