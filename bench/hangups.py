"""`make bench-hangups`: how long after the hang-up a talk is priced, if many talks end at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from taxiphone.bench import raw
from taxiphone.bench.figures import markdown, number, percentile
from taxiphone.bench.lines import MOST_LINES
from taxiphone.bench.long_talks import LongTalks
from taxiphone.bench.report import Report, database_option, report_options
from taxiphone.bench.rig import BenchSet
from taxiphone.bench.sets import with_bench_set
from taxiphone.bench.traffic import Used
from taxiphone.bench.warm_up import warm_up
from taxiphone.commands import console
from taxiphone.commands.asterisk import installed
from taxiphone.errors import TaxiphoneError

_RAW_SECONDS = 2.0
# Calls a second while the talks are begun.
_DIAL_RATE = 3.0
# Talks begun before the machine is looked at, and the share of it that they may need.
_GROUP, _FULL = 20, 0.75


@click.command()
@click.option(
    "--talks",
    type=click.IntRange(2, MOST_LINES),
    default=100,
    show_default=True,
    help="Talks that are in progress before the first hang-up.",
)
@click.option(
    "--rate", type=click.FloatRange(0.1, 100), default=20.0, show_default=True, help="Hang-ups a second."
)
@database_option
@report_options
def bench(talks: int, rate: float, database: str, append: Path | None, note: str | None) -> None:
    """Measure how long after the hang-up a talk is priced, if many talks end at the same time.

    The time begins when the consultant's phone hangs up, according to the telephones' event log, and ends when another
    connection to the database can read the receipt.
    """
    asterisk = installed()
    title = f"Hang-up to price: `make bench-hangups`, {'SQLite' if database == 'sqlite' else 'PostgreSQL'}"
    command = f'make bench-hangups BENCH="--talks {talks} --rate {rate:g} --database {database}"'
    report = Report(title, command, append, note)

    async def measure(both: BenchSet) -> list[str]:
        return await _measure(both, talks, rate)

    lines = with_bench_set(asterisk, measure, lines=talks, postgres=database == "postgresql")
    report.publish(lines, f"Asterisk {asterisk.version_text}")


async def _begin(both: BenchSet, talks: LongTalks, wanted: int) -> None:
    """Begin talks, but no more once those in progress need most of the machine."""
    for begun in range(0, wanted, _GROUP):
        before = Used.now(both, both.taxiphone)
        all_talk = await talks.start(min(_GROUP, wanted - begun), _DIAL_RATE)
        used = Used.now(both, both.taxiphone).since(before)
        share = used.busy - used.others
        if not all_talk or (share > _FULL and begun + _GROUP < wanted):
            console.note(f"    only {talks.talking} of them, which need {share:.0%} of the machine")
            return


async def _measure(both: BenchSet, number_of_talks: int, rate: float) -> list[str]:
    await warm_up(both)
    raw.prepare(both.platform.database)
    commits = await asyncio.to_thread(raw.commits, both.platform.database, _RAW_SECONDS)
    async with LongTalks(both, both.taxiphone) as talks:
        console.note(f"{number_of_talks} talks begin, {_DIAL_RATE:g} a second")
        await _begin(both, talks, number_of_talks)
        talking = talks.talking
        console.note(f"{talking} talks end, {rate:g} a second")
        before = Used.now(both, both.taxiphone)
        await talks.hang_up(rate)
        took = await talks.priced()
        used = Used.now(both, both.taxiphone).since(before)
    rows = [("hang-up to committed price", took), ("a transaction of one row, without calls", commits)]
    return [
        markdown(
            ("ms", "number", "p50", "p99", "max"),
            [
                (
                    name,
                    str(len(seconds)),
                    *(
                        number(percentile([each * 1000 for each in seconds], share))
                        for share in (50, 99, 100)
                    ),
                )
                for name, seconds in rows
            ],
        ),
        "",
        (
            f"{talking} talks of {number_of_talks} were in progress, {len(took)} were priced. While they ended, the machine was "
            f"{used.busy:.0%} busy, {used.others:.0%} by programs other than Taxiphone, Asterisk and the telephones."
        ),
    ]


if __name__ == "__main__":
    try:
        bench(prog_name="python -m taxiphone.bench.hangups")
    except TaxiphoneError as error:
        console.say(f"bench: {error}")
        raise SystemExit(error.exit_code) from None
