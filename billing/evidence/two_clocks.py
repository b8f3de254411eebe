"""Checks the duration of a talk in Asterisk's log against the program's readings of two clocks. Pure: no clock, no I/O.

Asterisk stamps its log with the wall clock, which may be set during a talk. The program records readings of both the wall
clock and the monotonic clock. They give the shortest and the longest possible duration of the talk, and by how much the wall
clock was set. If the log contradicts them, the shortest duration that doesn't is billed, and the call is marked for review.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from taxiphone.billing.pricing.talk import Talk
from taxiphone.store.types import Moment

TOLERANCE = timedelta(seconds=1)
"""The difference that is ignored: two programs read the clocks a moment apart, and a leap second isn't billed."""
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Observed:
    """What the program saw of a talk, by both clocks.

    Attributes:
        before: a moment just before the legs were bridged.
        bridged: when both had just entered the bridge.
        inside: moments at which both were in the bridge.
        parted: when the first had just left the bridge, or was about to be taken out; None if the program didn't see it.
        after: moments at which the talk was over.
    """

    before: Moment | None = None
    bridged: Moment | None = None
    inside: tuple[Moment, ...] = ()
    parted: Moment | None = None
    after: tuple[Moment, ...] = ()

    def of_one_boot(self) -> Observed:
        """Return the readings of one boot only, since the monotonic clock starts again at each boot."""
        first = self.bridged or self.before
        boot = None if first is None else first.boot

        def same(reading: Moment | None) -> bool:
            return reading is not None and boot is not None and reading.boot == boot

        return Observed(
            self.before if same(self.before) else None,
            self.bridged if same(self.bridged) else None,
            tuple(filter(same, self.inside)),
            self.parted if same(self.parted) else None,
            tuple(filter(same, self.after)),
        )


def passed(begin: Moment, end: Moment) -> timedelta:
    """Return the time between two readings of one boot, by the monotonic clock."""
    return timedelta(microseconds=end.monotonic_us - begin.monotonic_us)


def step(begin: Moment, end: Moment) -> timedelta:
    """Return by how much the wall clock was set between two readings of one boot; positive if forward."""
    return (end.at - begin.at) - passed(begin, end)


def proven(seen: Observed) -> timedelta | None:
    """Return the proven minimum duration of a talk; None if the program didn't see it begin, or nothing after that."""
    seen = seen.of_one_boot()
    begin, last = seen.bridged, _last_inside(seen)
    if begin is None or last is None:
        return None
    return max(_NONE, passed(begin, last))


def reconcile(talk: Talk, seen: Observed) -> Talk:
    """Return the talk to bill: as in the log, or the shortest that fits what the program saw, with `doubt` set.

    Args:
        talk: the complete talk, according to the log.
        seen: what the program saw; if it saw nothing, only the log counts.
    """
    seen = seen.of_one_boot()
    logged, sane = talk.end - talk.start, all(end >= begin for begin, end in talk.stretches)
    begin, over = seen.before or seen.bridged, _first_after(seen)
    if begin is None or over is None:
        return talk if sane else _cut(talk, _NONE, "the wall clock was set back in this talk")
    least = proven(seen) or _NONE
    most = passed(begin, over)
    set_by = step(seen.bridged or begin, over)
    best = None if seen.parted is None or seen.bridged is None else passed(seen.bridged, seen.parted)

    def fits(length: timedelta) -> bool:
        return least - TOLERANCE <= length <= most + TOLERANCE

    was_set = abs(set_by) > TOLERANCE
    agrees = best is not None and abs(logged - best) <= TOLERANCE
    if sane and fits(logged) and (agrees or not was_set):
        return talk
    lengths = [] if best is None else [best]
    if was_set:
        lengths += [length for length in (logged, logged - set_by) if fits(length)]
    if not was_set or not lengths:  # the difference is unexplained: take the shorter duration
        lengths += [logged] if sane else []
        lengths += [least] if best is None else []
    shortest = max(_NONE, min(lengths))
    if was_set:
        why = f"the wall clock was set {_direction(set_by)} in this talk or after it"
    else:
        why = "Asterisk's clock and this program's differ"
    return _cut(talk, shortest, f"{why}: the log says {_seconds(logged):.6f} s")


def _cut(talk: Talk, length: timedelta, why: str) -> Talk:
    """Return the talk with another duration, counted from its beginning."""
    microsecond = timedelta(microseconds=1)
    microseconds = min(talk.microseconds, length // microsecond) if _adds_up(talk) else length // microsecond
    end = talk.start + timedelta(microseconds=microseconds)
    return replace(
        talk,
        end=end,
        microseconds=microseconds,
        stretches=((talk.start, end),),
        doubt=f"{why}; {_seconds(end - talk.start):.6f} s are proven and billed",
    )


def _adds_up(talk: Talk) -> bool:
    """Whether the log has several valid stretches, so that the time between them isn't talk."""
    return len(talk.stretches) > 1 and all(end >= begin for begin, end in talk.stretches)


def _last_inside(seen: Observed) -> Moment | None:
    return max(_moments(seen.inside, seen.parted), key=_monotonic, default=None)


def _first_after(seen: Observed) -> Moment | None:
    return min(seen.after, key=_monotonic, default=None)


def _moments(several: Iterable[Moment], one: Moment | None) -> list[Moment]:
    return [*several, *([] if one is None else [one])]


def _monotonic(reading: Moment) -> int:
    return reading.monotonic_us


def _direction(set_by: timedelta) -> str:
    return f"{'forward' if set_by > _NONE else 'back'} by {_seconds(abs(set_by)):.3f} s"


def _seconds(length: timedelta) -> Decimal:
    return Decimal(length // timedelta(microseconds=1)).scaleb(-6)
