"""Checks the length of a talk in Asterisk's log against the program's readings of two clocks. Pure: no clock, no I/O.

Asterisk stamps its log with the wall clock, which somebody may set during a talk. The program reads the wall clock and the
monotonic clock at the same moments and keeps both. From these readings follow the shortest and the longest that the talk
can have lasted, and by how much the wall clock was set. If the log does not fit, the shortest length that does is billed,
and the call is marked for review.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from taxiphone.billing.pricing.talk import Talk
from taxiphone.store.types import Moment

TOLERANCE = timedelta(seconds=1)
"""The two clocks are read by two programs, a moment apart; and a leap second is none of the client's."""
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Observed:
    """What the program saw of a talk, each by both clocks.

    Attributes:
        before: the two were about to be bridged.
        bridged: both had just entered the bridge.
        inside: moments at which both were in it.
        parted: the first had just left it, or was about to be taken out; None where the program wasn't there to see it.
        after: moments at which the talk was over.
    """

    before: Moment | None = None
    bridged: Moment | None = None
    inside: tuple[Moment, ...] = ()
    parted: Moment | None = None
    after: tuple[Moment, ...] = ()

    def of_one_boot(self) -> Observed:
        """Without the readings of other boots: their monotonic clock began anew."""
        first = self.bridged or self.before
        boot = None if first is None else first.boot

        def same(each: Moment | None) -> bool:
            return each is not None and boot is not None and each.boot == boot

        return Observed(
            self.before if same(self.before) else None,
            self.bridged if same(self.bridged) else None,
            tuple(filter(same, self.inside)),
            self.parted if same(self.parted) else None,
            tuple(filter(same, self.after)),
        )


def passed(begin: Moment, end: Moment) -> timedelta:
    """The time between two readings of one boot, by the monotonic clock."""
    return timedelta(microseconds=end.monotonic_us - begin.monotonic_us)


def step(begin: Moment, end: Moment) -> timedelta:
    """By how much the wall clock was set between two readings of one boot; positive: forward."""
    return (end.at - begin.at) - passed(begin, end)


def proven(seen: Observed) -> timedelta | None:
    """How long a talk lasted at least; None if the program didn't see it begin, or saw nothing of it afterwards."""
    seen = seen.of_one_boot()
    begin, last = seen.bridged, _last_inside(seen)
    if begin is None or last is None:
        return None
    return max(_NONE, passed(begin, last))


def reconcile(found: Talk, seen: Observed) -> Talk:
    """The talk as it is billed: as the log has it, or the shortest that fits what the program saw, with `doubt` set.

    Args:
        found: by the log; complete.
        seen: by the program. If it saw nothing, the log counts alone.
    """
    seen = seen.of_one_boot()
    logged, sane = found.end - found.start, all(end >= begin for begin, end in found.stretches)
    begin, over = seen.before or seen.bridged, _first_after(seen)
    if begin is None or over is None:
        return found if sane else _cut(found, _NONE, "the wall clock was set back in this talk")
    least = proven(seen) or _NONE
    most = passed(begin, over)
    set_by = step(seen.bridged or begin, over)
    best = None if seen.parted is None or seen.bridged is None else passed(seen.bridged, seen.parted)

    def fits(length: timedelta) -> bool:
        return least - TOLERANCE <= length <= most + TOLERANCE

    was_set = abs(set_by) > TOLERANCE
    agrees = best is not None and abs(logged - best) <= TOLERANCE
    if sane and fits(logged) and (agrees or not was_set):
        return found
    lengths = [] if best is None else [best]
    if was_set:
        lengths += [length for length in (logged, logged - set_by) if fits(length)]
    if not was_set or not lengths:  # nothing explains it: the shorter of the two
        lengths += [logged] if sane else []
        lengths += [least] if best is None else []
    shortest = max(_NONE, min(lengths))
    if was_set:
        why = f"the wall clock was set {_said(set_by)} in this talk or after it"
    else:
        why = "Asterisk's clock and this program's differ"
    return _cut(found, shortest, f"{why}: the log says {_seconds(logged):.6f} s")


def _cut(found: Talk, length: timedelta, why: str) -> Talk:
    """The same talk with another length, counted from its beginning."""
    microsecond = timedelta(microseconds=1)
    microseconds = (
        min(found.microseconds, length // microsecond) if _adds_up(found) else length // microsecond
    )
    end = found.start + timedelta(microseconds=microseconds)
    return replace(
        found,
        end=end,
        microseconds=microseconds,
        stretches=((found.start, end),),
        doubt=f"{why}; {_seconds(end - found.start):.6f} s are proven and billed",
    )


def _adds_up(found: Talk) -> bool:
    """Whether the log has several stretches, each with a length, so that the time between them is not talk."""
    return len(found.stretches) > 1 and all(end >= begin for begin, end in found.stretches)


def _last_inside(seen: Observed) -> Moment | None:
    return max(_moments(seen.inside, seen.parted), key=_monotonic, default=None)


def _first_after(seen: Observed) -> Moment | None:
    return min(seen.after, key=_monotonic, default=None)


def _moments(several: Iterable[Moment], one: Moment | None) -> list[Moment]:
    return [*several, *([] if one is None else [one])]


def _monotonic(each: Moment) -> int:
    return each.monotonic_us


def _said(set_by: timedelta) -> str:
    return f"{'forward' if set_by > _NONE else 'back'} by {_seconds(abs(set_by)):.3f} s"


def _seconds(length: timedelta) -> Decimal:
    return Decimal(length // timedelta(microseconds=1)).scaleb(-6)
