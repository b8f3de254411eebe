"""Derives a talk from Asterisk's channel events (CEL). Pure: events in, a talk out.

A talk lasts while both legs are in the bridge: from when the second enters until the first leaves. If a leg leaves and comes
back, the talk has several stretches, whose durations add up. A leg that is hung up has left, even if Asterisk wrote no
BRIDGE_EXIT. Other bridges and channels, such as those of announcements, are ignored. Times are Asterisk's, to the
microsecond; no clock is read here.

`heard` limits a talk to the time during which both sides could be heard, and `dropped` tells whether the line dropped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

BRIDGE_ENTER, BRIDGE_EXIT = "BRIDGE_ENTER", "BRIDGE_EXIT"
HANGUP, CHAN_END = "HANGUP", "CHAN_END"
GONE = frozenset({HANGUP, CHAN_END})
CLIENT, CONSULTANT, BOTH = "client", "consultant", "both"
NO_END = "Asterisk's log has no end of this talk: it was priced up to the last proof that it was in progress"
# Asterisk hung up a leg that had stopped sending packets (chan_pjsip: requested channel unavailable).
RTP_TIMED_OUT = 44
# Q.850: not set (Asterisk's own time-out), normal clearing, busy, no answer, rejected, unspecified.
_ASKED_FOR = frozenset({None, 0, 16, 17, 19, 21, 31})
_MICROSECOND = timedelta(microseconds=1)
# A leg that is hung up leaves the bridge just before. One that was taken out of the bridge may be hung up much later.
_MOMENT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Event:
    """The fields of a CEL row that a talk is derived from.

    Attributes:
        event: the event's name, such as BRIDGE_ENTER.
        at: when it happened, by Asterisk's clock.
        channel: the unique id of the leg.
        bridge: the bridge's id, for BRIDGE_ENTER and BRIDGE_EXIT.
        cause: the cause (ITU-T Q.850), for HANGUP; 16 is normal clearing.
    """

    event: str
    at: datetime
    channel: str
    bridge: str | None = None
    cause: int | None = None


@dataclass(frozen=True, slots=True)
class Talk:
    """When the two talked.

    Attributes:
        start: when both were first in the bridge.
        end: when the last stretch ended; without an end in the log, the time of the last event.
        microseconds: the duration of all stretches together.
        stretches: (start, end) of each stretch.
        left_first: who ended the last stretch: `client`, `consultant` or `both`; None without an end.
        complete: whether the log contains the end.
        ended_by: the cause of the hang-up that ended the last stretch; None if a leg was taken out of the bridge, or the
            hang-up isn't in the log yet.
        doubt: why a person should review the talk: the log doesn't show its duration, or the clocks differ.
        cut_by_clock: whether Asterisk's time-out ended the talk too early because the wall clock was set forward.
    """

    start: datetime
    end: datetime
    microseconds: int
    stretches: tuple[tuple[datetime, datetime], ...]
    left_first: str | None
    complete: bool
    ended_by: int | None = None
    doubt: str | None = None
    cut_by_clock: bool = False

    @property
    def seconds(self) -> Decimal:
        """The exact duration of the talk."""
        return Decimal(self.microseconds).scaleb(-6)


def talk(
    events: Iterable[Event], client: str, consultant: str, bridge: str, *, as_written: bool = False
) -> Talk | None:
    """Return the talk of two legs in a bridge; None if they were never in it together.

    Args:
        events: the events, in any order; those of other channels are ignored.
        client: the unique id of the client's leg.
        consultant: the unique id of the consultant's leg.
        bridge: the bridge's id.
        as_written: whether to trust the order of the events rather than their times, because the wall clock was set back.
            A stretch may then end before it begins.
    """
    legs = {client: CLIENT, consultant: CONSULTANT}
    leg_events = [event for event in events if event.channel in legs]
    if not as_written:
        leg_events.sort(key=_at)
    inside: frozenset[str] = frozenset()
    since: datetime | None = None
    stretches: list[tuple[datetime, datetime]] = []
    left: str | None = None
    for at, together in itertools.groupby(leg_events, key=_at):
        after = _moved(inside, list(together), bridge)
        if since is None and len(after) == len(legs):
            since = at
        elif since is not None and len(after) < len(legs):
            stretches.append((since, at))
            since = None
            gone = [legs[channel] for channel in inside - after]
            left = gone[0] if len(gone) == 1 else BOTH
        inside = after
    if since is not None:
        stretches.append((since, leg_events[-1].at))
        left = None
    if not stretches:
        return None
    return Talk(
        start=stretches[0][0],
        end=stretches[-1][1],
        microseconds=sum((end - start) // _MICROSECOND for start, end in stretches),
        stretches=tuple(stretches),
        left_first=left,
        complete=since is None,
        ended_by=None if left is None else _ended_by(leg_events, legs, left, stretches[-1][1]),
    )


def heard(found: Talk, *, until: datetime | None = None, rtp_timeout: int | None = None) -> Talk:
    """Limit a talk to the time during which both sides could be heard.

    Args:
        found: the talk according to Asterisk's rows.
        until: when the last packet of a side that fell silent arrived, if known.
        rtp_timeout: seconds without a packet after which Asterisk hangs up a leg. If it did so and `until` is unknown, the
            talk is shortened by this time.
    """
    if until is None and rtp_timeout is not None and found.ended_by == RTP_TIMED_OUT:
        until = found.end - timedelta(seconds=rtp_timeout)
    if until is None or until >= found.end:
        return found
    stretches = tuple((start, min(end, until)) for start, end in found.stretches if start < until)
    stretches = stretches or ((found.start, found.start),)
    return replace(
        found,
        end=stretches[-1][1],
        microseconds=sum((end - start) // _MICROSECOND for start, end in stretches),
        stretches=stretches,
    )


def asked_for(cause: int | None) -> bool:
    """Whether somebody hung up on purpose, judging by the cause (ITU-T Q.850)."""
    return cause in _ASKED_FOR


def dropped(found: Talk, *, fault: str | None = None, silent: bool = False) -> bool:
    """Whether the talk ended although neither side hung up on purpose, so that it may be continued.

    Args:
        found: the talk.
        fault: a network fault detected during the talk.
        silent: whether one side fell silent.
    """
    by_itself = not found.complete or found.cut_by_clock or not asked_for(found.ended_by)
    return by_itself or fault is not None or silent


def is_over(
    events: Iterable[Event], client: str, consultant: str, *, talked: bool, parted: bool = False
) -> bool:
    """Whether no more talk can follow: the client's leg has ended, or the consultant's has after a talk.

    If the consultant's leg ends without a talk (busy, no answer), the call isn't over: the client is still connected.

    Args:
        events: the events of the two legs.
        client: the unique id of the client's leg.
        consultant: the unique id of the consultant's leg.
        talked: whether they were in the bridge together.
        parted: whether the talk has an end in the log, and the call's status says that it was the last. The call is then
            over although both legs may still be up, hearing the price.
    """
    gone = {event.channel for event in events if event.event in GONE}
    return client in gone or (talked and (parted or consultant in gone))


def _moved(inside: frozenset[str], together: list[Event], bridge: str) -> frozenset[str]:
    """Return who is in the bridge after events with the same time, whatever their order."""
    after = set(inside)
    for channel in {event.channel for event in together}:
        moves = [e.event for e in together if e.channel == channel and e.bridge == bridge]
        balance = (channel in inside) + moves.count(BRIDGE_ENTER) - moves.count(BRIDGE_EXIT)
        gone = any(e.event in GONE for e in together if e.channel == channel)
        if balance > 0 and not gone:
            after.add(channel)
        else:
            after.discard(channel)
    return frozenset(after)


def _ended_by(events: list[Event], legs: dict[str, str], left: str, end: datetime) -> int | None:
    """Return the hang-up cause of the leg that left first; if both left at once, preferably an unintended one."""
    causes = [
        event.cause
        for event in events
        if event.event == HANGUP and left in {legs[event.channel], BOTH} and end <= event.at <= end + _MOMENT
    ]
    return next((cause for cause in causes if not asked_for(cause)), causes[0] if causes else None)


def _at(event: Event) -> datetime:
    return event.at
