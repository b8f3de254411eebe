"""Changing the wall clock during a talk never bills more than the monotonic clock proves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiphone.billing.evidence.two_clocks import TOLERANCE, Observed, proven, reconcile
from taxiphone.billing.pricing.talk import Talk
from taxiphone.store.types import Moment

ZERO = datetime(2026, 11, 22, 18, tzinfo=UTC)
BOOT = "7e1f6a52-boot"


def seconds(number: float) -> timedelta:
    return timedelta(microseconds=round(number * 1_000_000))


@dataclass
class Clocks:
    """The clocks of one machine: true time in seconds, and changes of the wall clock as (when, by how much)."""

    steps: list[tuple[float, float]] = field(default_factory=list)

    def wall(self, at: float) -> datetime:
        return ZERO + seconds(at) + seconds(sum(by for when, by in self.steps if when <= at))

    def both(self, at: float, boot: str = BOOT) -> Moment:
        return Moment(self.wall(at), 5_000_000 + round(at * 1_000_000), boot)


def logged(clocks: Clocks, begin: float, end: float) -> Talk:
    start, stop = clocks.wall(begin), clocks.wall(end)
    length = (stop - start) // timedelta(microseconds=1)
    return Talk(start, stop, length, ((start, stop),), "client", complete=True, ended_by=16)


def seen(
    clocks: Clocks, begin: float, end: float, *, dies: float | None = None, priced: float | None = None
) -> Observed:
    """Return the call events of a program that dies at `dies`, or never."""

    def lives(at: float) -> bool:
        return dies is None or at < dies

    inside = [at for n in range(1, 400) if (at := begin + 10 * n) < end and lives(at)]
    return Observed(
        before=clocks.both(begin - 0.02),
        bridged=clocks.both(begin + 0.005) if lives(begin + 0.005) else None,
        inside=tuple(map(clocks.both, inside)),
        parted=clocks.both(end + 0.004) if lives(end + 0.004) else None,
        after=(clocks.both(end + 0.1 if priced is None else priced),),
    )


def billed(clocks: Clocks, length: float, **how: float | None) -> tuple[float, bool]:
    """Return the billed seconds of a talk that starts at 100 s, and whether it is marked for review."""
    found = reconcile(logged(clocks, 100, 100 + length), seen(clocks, 100, 100 + length, **how))
    return found.microseconds / 1_000_000, found.doubt is not None


@pytest.mark.parametrize(
    ("steps", "length", "how", "expected"),
    [
        pytest.param([], 60, {}, (60, False), id="nobody sets it"),
        pytest.param([(130, 3600)], 60, {}, (59.999, True), id="an hour forward"),
        pytest.param(
            [(130, -3600)], 600, {}, (599.999, True), id="an hour back: the log ends before it begins"
        ),
        pytest.param([(130, -300)], 600, {}, (599.999, True), id="five minutes back: the log is too short"),
        pytest.param([(130, 5)], 60, {}, (59.999, True), id="five seconds forward"),
        pytest.param([(130, -5)], 60, {}, (59.999, True), id="five seconds back"),
        pytest.param([(130, 0.4)], 60, {}, (60.4, False), id="a small correction by NTP, forward"),
        pytest.param([(130, -0.4)], 60, {}, (59.6, False), id="a small correction by NTP, back"),
        pytest.param([(50, 3600), (170, -3600)], 60, {}, (60, False), id="before and after the talk"),
        pytest.param([(160.05, 3600)], 60, {}, (60, False), id="between the end and the price"),
        pytest.param([(110, 3600), (120, -3600)], 60, {}, (60, False), id="set, and set back"),
        pytest.param(
            [(150, 3600)], 60, {"dies": 125, "priced": 300}, (60, True), id="while the program is dead"
        ),
        pytest.param(
            [(150, -3600)],
            600,
            {"dies": 125, "priced": 900},
            (600, True),
            id="back while the program is dead",
        ),
        pytest.param(
            [(250, 3600)], 60, {"dies": 125, "priced": 300}, (60, True), id="after the talk, while it is dead"
        ),
        pytest.param(
            [(150, 100)],
            60,
            {"dies": 125, "priced": 1000},
            (60, True),
            id="by less than the program was dead",
        ),
        pytest.param([], 600, {"dies": 125, "priced": 3000}, (600, False), id="only the program dies"),
    ],
)
def test_what_is_billed_of_a_talk_when_the_wall_clock_is_set(
    steps: list[tuple[float, float]], length: float, how: dict[str, float], expected: tuple[float, bool]
) -> None:
    assert billed(Clocks(steps), length, **how) == expected


def test_the_clock_of_asterisk_alone_is_wrong() -> None:
    asterisk, program = Clocks([(130, 3600)]), Clocks()
    found = reconcile(logged(asterisk, 100, 160), seen(program, 100, 160))
    assert found.microseconds == 59_999_000
    assert found.doubt == (
        "Asterisk's clock and this program's differ: the log says 3660.000000 s; 59.999000 s are proven and billed"
    )


def test_if_log_and_call_events_differ_without_a_reason_the_shorter_counts() -> None:
    asterisk, program = Clocks([(130, -300)]), Clocks()
    assert reconcile(logged(asterisk, 100, 700), seen(program, 100, 700)).microseconds == 300_000_000


def test_a_program_that_was_busy_when_the_talk_began_or_ended_does_not_shorten_it() -> None:
    clocks = Clocks()
    late = seen(clocks, 100, 160)
    slow = Observed(late.before, clocks.both(103), late.inside, clocks.both(164), (clocks.both(165),))
    found = reconcile(logged(clocks, 100, 160), slow)
    assert (found.microseconds, found.doubt) == (60_000_000, None)


def test_readings_of_another_boot_prove_nothing() -> None:
    clocks = Clocks([(130, 3600)])
    before = seen(clocks, 100, 160, dies=125)
    other = Observed(before.before, before.bridged, before.inside, None, (clocks.both(300, "another boot"),))
    found = reconcile(logged(clocks, 100, 160), other)
    assert found.doubt is None
    assert proven(Observed(None, clocks.both(100), (clocks.both(110, "another boot"),))) is None


def test_a_machine_that_does_not_name_its_boots_is_not_compared() -> None:
    clocks = Clocks()
    nameless = Observed(
        bridged=Moment(ZERO, 1, None), parted=Moment(ZERO, 9, None), after=(Moment(ZERO, 99, None),)
    )
    assert reconcile(logged(clocks, 100, 160), nameless).microseconds == 60_000_000


def test_a_log_with_an_end_before_the_start_bills_nothing_without_call_events() -> None:
    found = reconcile(logged(Clocks([(130, -3600)]), 100, 160), Observed())
    assert found.microseconds == 0
    assert found.doubt is not None


LENGTHS = st.floats(0.5, 600)
STEPS = st.lists(st.tuples(st.floats(50, 900), st.floats(-90_000, 90_000)), max_size=4)


@given(length=LENGTHS, steps=STEPS)
def test_never_more_than_the_monotonic_clock_proves(length: float, steps: list[tuple[float, float]]) -> None:
    found = reconcile(logged(Clocks(steps), 100, 100 + length), seen(Clocks(steps), 100, 100 + length))
    assert found.microseconds >= 0
    assert seconds(found.microseconds / 1e6) <= seconds(length) + TOLERANCE + seconds(0.2)


@given(length=LENGTHS, steps=STEPS, dies=st.floats(100, 4000), later=st.floats(0.1, 4000))
def test_never_more_than_the_time_until_the_program_was_back(
    length: float, steps: list[tuple[float, float]], dies: float, later: float
) -> None:
    clocks, over = Clocks(steps), 100 + length
    witness = seen(clocks, 100, over, dies=dies, priced=over + later)
    found = reconcile(logged(clocks, 100, over), witness)
    assert 0 <= found.microseconds <= (length + later + 1.1) * 1e6


@given(length=LENGTHS, dies=st.floats(100, 4000), later=st.floats(0.1, 90_000))
def test_an_unchanged_clock_changes_nothing(length: float, dies: float, later: float) -> None:
    over = 100 + length
    found = reconcile(logged(Clocks(), 100, over), seen(Clocks(), 100, over, dies=dies, priced=over + later))
    assert found == logged(Clocks(), 100, over)


@given(length=LENGTHS, at=st.floats(0.05, 0.95), by=st.floats(-90_000, 90_000), later=st.floats(0.1, 600))
def test_a_step_while_the_program_is_dead_bills_no_more_than_the_talk(
    length: float, at: float, by: float, later: float
) -> None:
    clocks, over = Clocks([(100 + length * at, by)]), 100 + length
    witness = seen(clocks, 100, over, dies=100.01, priced=over + later)
    assert reconcile(logged(clocks, 100, over), witness).microseconds <= (length + 1.1) * 1e6
