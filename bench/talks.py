"""`make bench-talks`: how many recorded talks the machine holds at the same time without losing a packet.

After the last step all talks end, and the recordings that wait to be converted to MP3 are counted until all are done.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import click

from taxiphone.ari_app.client import AriClient
from taxiphone.bench import backlog, packets
from taxiphone.bench.figures import Processors, markdown, number, percentile
from taxiphone.bench.lines import MOST_LINES
from taxiphone.bench.long_talks import LongTalks
from taxiphone.bench.packets import Streams
from taxiphone.bench.phones import Side
from taxiphone.bench.report import Report, report_options
from taxiphone.bench.rig import BenchSet
from taxiphone.bench.sets import with_bench_set
from taxiphone.bench.traffic import Used
from taxiphone.bench.warm_up import warm_up
from taxiphone.commands import console
from taxiphone.commands.asterisk import installed
from taxiphone.errors import TaxiphoneError

_DIAL_RATE = 2.0
_HANG_UP_RATE = 20.0
# The client presses 1 every second until the question for the recording has come and gone.
_YES = "1" + "ww1" * 6
_LEGS = 2
# Until the last key has been pressed: a key in a talk costs more than speech.
_SETTLE_SECONDS = 8.0
_CONNECTED_SECONDS = 10.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Step:
    """A number of talks that were held for a while.

    Attributes:
        side: the name of the side.
        talks: the number of talks that were wanted.
        talking: how many there were.
        recorded: how many of them are recorded; None: Dial() records none.
        seconds: how long the packets were counted.
        platform: the streams at the side's Asterisk.
        phones: the streams at the telephones' Asterisk.
        cpu: processor time meanwhile.
    """

    side: str
    talks: int
    talking: int
    recorded: int | None
    seconds: float
    platform: Streams
    phones: Streams
    cpu: Processors

    @property
    def failure(self) -> str | None:
        """Why the talks were not held; None if they were."""
        if self.talking < self.talks:
            return f"{self.talks - self.talking} did not talk"
        if self.recorded is not None and self.recorded < self.talks:
            return f"{self.talks - self.recorded} not recorded"
        if min(self.platform.legs, self.phones.legs) < _LEGS * self.talks:
            return "talks ended early"
        if lost := self.platform.lost + self.phones.lost:
            return f"{lost} packets lost"
        if missing := self.platform.missing + self.phones.missing:
            return f"{missing} packets missing"
        return None


@dataclass(frozen=True)
class Ramp:
    """All figures.

    Attributes:
        steps: the one with Dial(), then those with Taxiphone.
        prices: seconds from each hang-up to the commit of the price.
        backlog: the conversions afterwards.
    """

    steps: list[Step]
    prices: list[float]
    backlog: backlog.Backlog


@click.command()
@click.option(
    "--step", type=click.IntRange(1, 100), default=25, show_default=True, help="Talks added in each step."
)
@click.option(
    "--most",
    type=click.IntRange(1, MOST_LINES),
    default=300,
    show_default=True,
    help="Talks in the last step.",
)
@click.option(
    "--hold",
    type=click.FloatRange(1, 600),
    default=20.0,
    show_default=True,
    help="Seconds for which the packets of each step are counted.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 7200),
    default=900.0,
    show_default=True,
    help="Seconds to wait for the MP3s at most.",
)
@report_options
def bench(step: int, most: int, hold: float, wait: float, append: Path | None, note: str | None) -> None:
    """Measure how many recorded talks are held at the same time without losing a packet.

    Both sides speak all the time. The number of talks is raised until a packet is lost or a call doesn't lead to a talk. A
    first step is made with a plain Dial(), without recording.
    """
    asterisk = installed()
    command = f'make bench-talks BENCH="--step {step} --most {most} --hold {hold:g} --wait {wait:g}"'
    report = Report("Recorded talks: `make bench-talks`", command, append, note)

    async def measure(both: BenchSet) -> Ramp:
        await warm_up(both)
        return await ramp(both, step=step, most=most, hold=hold, wait=wait)

    found = with_bench_set(asterisk, measure, lines=max(most, 2), recorded=True)
    report.publish(_lines(found), f"Asterisk {asterisk.version_text}")


async def ramp(both: BenchSet, *, step: int, most: int, hold: float, wait: float) -> Ramp:
    """Raise the number of talks until they are not held, end them all, and wait for their MP3s.

    Args:
        both: the test set, whose consultants allow recordings.
        step: the number of talks that are added at a time.
        most: the number of talks in the last step.
        hold: seconds for which the packets of each step are counted.
        wait: seconds to wait for the MP3s at most.
    """
    async with LongTalks(both, both.plain) as talks:
        await talks.start(step, _DIAL_RATE)
        steps = [await _held(both, both.plain, talks, step, hold, both.plain_ari("bench"))]
    async with LongTalks(both, both.taxiphone) as talks:
        ari = both.ari("bench")
        for wanted in range(step, most + 1, step):
            console.note(f"{wanted} recorded talks")
            await talks.start(step, _DIAL_RATE, _YES)
            steps.append(await _held(both, both.taxiphone, talks, wanted, hold, ari))
            console.note(f"    the machine was {steps[-1].cpu.busy:.0%} busy: {steps[-1].failure or 'held'}")
            if steps[-1].failure:
                break
        console.note(f"all talks end, {_HANG_UP_RATE:g} a second")
        await talks.hang_up(_HANG_UP_RATE)
        converting = asyncio.create_task(backlog.converted(both.platform.database, wait), name="backlog")
        prices = await talks.priced()
    return Ramp(steps, prices, await converting)


async def _held(
    both: BenchSet, side: Side, talks: LongTalks, wanted: int, hold: float, ari: AriClient
) -> Step:
    """Count the packets of all talks for a while."""
    await asyncio.sleep(_SETTLE_SECONDS)
    listening = asyncio.create_task(ari.run(lambda _event: None), name="packets")
    try:
        await ari.wait_connected(_CONNECTED_SECONDS)
        first = [await packets.count(each) for each in (ari, both.phones.ari)]
        before = Used.now(both, side)
        await asyncio.sleep(hold)
        after = Used.now(both, side)
        last = [await packets.count(each) for each in (ari, both.phones.ari)]
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    recorded = await both.platform.database.query(backlog.waiting) if side.program is not None else None
    return Step(
        side=side.name,
        talks=wanted,
        talking=talks.talking,
        recorded=recorded,
        seconds=after.at - before.at,
        platform=packets.between(first[0], last[0]),
        phones=packets.between(first[1], last[1]),
        cpu=after.since(before),
    )


# -- what is printed ------------------------------------------------------------------------------------------------


def _lines(found: Ramp) -> list[str]:
    steps, prices, mp3s = found.steps, found.prices, found.backlog
    head = (
        *("side", "talks", "recorded", "packets expected", "received by Asterisk", "by phones"),
        *("missing", "lost", "Asterisk", "Taxiphone", "phones", "machine busy", "by others", "held"),
    )
    table = markdown(
        head,
        [
            (
                *(step.side, str(step.talking), number(step.recorded, 0), str(step.platform.expected)),
                *(str(step.platform.received), str(step.phones.received)),
                *(
                    str(step.platform.missing + step.phones.missing),
                    str(step.platform.lost + step.phones.lost),
                ),
                *(
                    number(used * 1000 / step.seconds / max(step.talking, 1))
                    for used in (step.cpu.asterisk, step.cpu.program, step.cpu.phones)
                ),
                *(f"{step.cpu.busy:.0%}", f"{step.cpu.others:.0%}", step.failure or "yes"),
            )
            for step in steps
        ],
    )
    own = steps[1:]
    held = max((step.talking for step in own if step.failure is None), default=0)
    more = "" if own and own[-1].failure else " or more"
    p50, p99 = (number(percentile([each * 1000 for each in prices], share)) for share in (50, 99))
    return [
        table,
        "",
        f"Held: {held}{more} recorded talks at once.",
        "",
        (
            f"All talks then ended, {_HANG_UP_RATE:g} a second: hang-up to committed price {p50} ms (p50), {p99} ms (p99), "
            f"{len(prices)} talks priced."
        ),
        "",
        f"MP3: {mp3s.waiting} recordings waited, {mp3s.minutes:.0f} minutes in all; {mp3s.ready} were ready and "
        f"{mp3s.failed} had failed {mp3s.seconds:.1f} s later"
        + (
            f", {mp3s.minutes * 60 / mp3s.seconds:.0f} times as fast as they were spoken."
            if mp3s.ready
            else "."
        ),
    ]


if __name__ == "__main__":
    try:
        bench(prog_name="python -m taxiphone.bench.talks")
    except TaxiphoneError as error:
        console.say(f"bench: {error}")
        raise SystemExit(error.exit_code) from None
