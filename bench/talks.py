"""`make bench-talks`: how many recorded talks the machine holds at the same time without losing a packet.

After the last step all talks end, and the recordings that wait to be converted to MP3 are counted until all are done.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import click
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from taxiphone.ari_app.client import AriClient
from taxiphone.bench import packets
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
from taxiphone.recordings.capture import OPEN, RecordingStatus
from taxiphone.store.models import Recording

_DIAL_RATE = 2.0
_HANG_UP_RATE = 20.0
# The client presses 1 every second until the question for the recording has come and gone.
_YES = "1" + "ww1" * 6
_SETTLE_SECONDS = 5.0
_CONNECTED_SECONDS = 10.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Step:
    """A number of talks that were held for a while.

    Attributes:
        side: the name of the side.
        talks: the number of talks that were wanted.
        talking: how many there were.
        recorded: how many of them are recorded.
        seconds: how long the packets were counted.
        platform: the streams at the side's Asterisk.
        phones: the streams at the telephones' Asterisk.
        cpu: processor time meanwhile.
    """

    side: str
    talks: int
    talking: int
    recorded: int
    seconds: float
    platform: Streams
    phones: Streams
    cpu: Processors

    @property
    def failure(self) -> str | None:
        """Why the talks were not held; None if they were."""
        if self.talking < self.talks:
            return f"{self.talks - self.talking} did not talk"
        if lost := self.platform.lost + self.phones.lost:
            return f"{lost} packets lost"
        if missing := self.platform.missing + self.phones.missing:
            return f"{missing} packets missing"
        return None


@dataclass(frozen=True)
class Backlog:
    """The conversions after all talks have ended.

    Attributes:
        waiting: recordings without an MP3 at that time.
        minutes: duration of all recordings together.
        ready: how many became MP3s.
        failed: how many did not.
        seconds: from the last hang-up until the last of them was done, or until this was given up.
    """

    waiting: int
    minutes: float
    ready: int
    failed: int
    seconds: float


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
    backlog: Backlog


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
        backlog = asyncio.create_task(_backlog(both, wait), name="backlog")
        prices = await talks.priced()
    return Ramp(steps, prices, await backlog)


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
    recorded = await both.platform.database.query(_asked) if side.program is not None else 0
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


async def _backlog(both: BenchSet, wait: float) -> Backlog:
    """Wait until all recordings are converted."""
    begin = time.monotonic()
    waiting = left = await both.platform.database.query(_asked)
    while left and time.monotonic() - begin < wait:
        console.note(f"{left} recordings wait for their MP3")
        await asyncio.sleep(max(_LOOK_SECONDS, min(waiting / 20, 10.0)))
        left = await both.platform.database.query(_asked)
    seconds = time.monotonic() - begin
    ready, milliseconds, failed = await both.platform.database.query(_done)
    return Backlog(waiting, milliseconds / 60_000, ready, failed, seconds)


def _asked(session: Session) -> int:
    """The number of recordings that have neither become an MP3 nor failed."""
    return session.scalar(select(func.count()).where(Recording.status.in_(OPEN))) or 0


def _done(session: Session) -> tuple[int, int, int]:
    ready = select(func.count(), func.coalesce(func.sum(Recording.milliseconds), 0)).where(
        Recording.status == RecordingStatus.READY
    )
    others = select(func.count()).where(Recording.status.not_in((RecordingStatus.READY, *OPEN)))
    number_ready, milliseconds = session.execute(ready).one()
    return number_ready, int(milliseconds or 0), session.scalar(others) or 0


# -- what is printed ------------------------------------------------------------------------------------------------


def _lines(found: Ramp) -> list[str]:
    steps, prices, backlog = found.steps, found.prices, found.backlog
    head = (
        *("side", "talks", "recorded", "packets expected", "received by Asterisk", "by phones"),
        *("missing", "lost", "Asterisk", "Taxiphone", "phones", "machine busy", "by others", "held"),
    )
    table = markdown(
        head,
        [
            (
                *(step.side, str(step.talking), str(step.recorded), str(step.platform.expected)),
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
        f"MP3: {backlog.waiting} recordings waited, {backlog.minutes:.0f} minutes in all; {backlog.ready} were ready and "
        f"{backlog.failed} had failed {backlog.seconds:.1f} s later"
        + (
            f", {backlog.minutes * 60 / backlog.seconds:.0f} times as fast as they were spoken."
            if backlog.ready
            else "."
        ),
    ]


if __name__ == "__main__":
    try:
        bench(prog_name="python -m taxiphone.bench.talks")
    except TaxiphoneError as error:
        console.say(f"bench: {error}")
        raise SystemExit(error.exit_code) from None
