"""When two legs talked, read from Asterisk's channel events (CEL). Pure: events in, a talk out.

A talk goes on while both legs are in the bridge: from the moment the second has entered to the moment the first leaves.
A leg that leaves and comes back makes several stretches, and they add up. A leg that is hung up has left, even where
Asterisk wrote no BRIDGE_EXIT. Other bridges and other channels (an announcement's, say) do not count. Times are Asterisk's,
to the microsecond; nothing here asks a clock.

How far a talk was heard (`heard`) and whether it ended as nobody asked for (`dropped`) are read from it too.
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
NO_END = "Asterisk's log has no end of this talk: it was priced to the last proof that it went on"
# Asterisk hung up a leg that sent no packet any more (chan_pjsip: requested channel unavailable).
RTP_TIMED_OUT = 44
# Q.850: not set (Asterisk's own cut at the end of the credit), normal clearing, busy, no answer, rejected, unspecified.
_ASKED_FOR = frozenset({None, 0, 16, 17, 19, 21, 31})
_MICROSECOND = timedelta(microseconds=1)
# A leg that is hung up leaves the bridge by that, a moment before; one that was taken out may be hung up much later.
_MOMENT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Event:
    """A row of Asterisk's channel event log, as far as a talk needs it.

    Attributes:
        event: its name, such as BRIDGE_ENTER.
        at: when, by Asterisk.
        channel: the unique id of the leg.
        bridge: of BRIDGE_ENTER and BRIDGE_EXIT, the bridge's id.
        cause: of HANGUP, the cause (ITU-T Q.850); 16 is a normal one.
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
        start: both are in the bridge for the first time.
        end: the first leaves it for the last time; where no end was written, the last event that was.
        microseconds: of all stretches together.
        stretches: (start, end) of each.
        left_first: who ended the last stretch: `client`, `consultant` or `both`; None where nobody did.
        complete: the end was written.
        ended_by: the cause of the hang-up that ended the last stretch; None where a leg was taken out of the bridge, or
            the hang-up is not written yet.
        doubt: why a person should look at it: the log doesn't say how long the talk was, or the clocks differ.
        cut_by_clock: the wall clock was set forward, and Asterisk's time-out ended the talk too early.
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
        """The length of the talk, exact."""
        return Decimal(self.microseconds).scaleb(-6)


def talk(
    events: Iterable[Event], client: str, consultant: str, bridge: str, *, as_written: bool = False
) -> Talk | None:
    """The talk of two legs in a bridge; None where they were never in it together.

    Args:
        events: in any order; only those of the two legs count.
        client: the unique id of the client's leg.
        consultant: the unique id of the consultant's leg.
        bridge: the bridge's id.
        as_written: the events are in the order in which they happened, whatever their times say: the wall clock was set
            back meanwhile. A stretch may then end before it begins.
    """
    legs = {client: CLIENT, consultant: CONSULTANT}
    ours = [event for event in events if event.channel in legs]
    if not as_written:
        ours.sort(key=_at)
    inside: frozenset[str] = frozenset()
    since: datetime | None = None
    stretches: list[tuple[datetime, datetime]] = []
    left: str | None = None
    for at, together in itertools.groupby(ours, key=_at):
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
        stretches.append((since, ours[-1].at))
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
        ended_by=None if left is None else _ended_by(ours, legs, left, stretches[-1][1]),
    )


def heard(found: Talk, *, until: datetime | None = None, rtp_timeout: int | None = None) -> Talk:
    """The talk as far as each side could be heard; the same one where nothing cut it short.

    Args:
        found: by Asterisk's rows.
        until: when the last packet of a side came that then fell silent, where somebody saw that.
        rtp_timeout: seconds without a packet after which Asterisk hangs a leg up. Where it did that, and nobody saw the
            silence begin, the talk ends so much earlier.
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
    """Whether a hang-up with this cause (ITU-T Q.850) is somebody's wish, as far as is known."""
    return cause in _ASKED_FOR


def dropped(found: Talk, *, fault: str | None = None, silent: bool = False) -> bool:
    """Whether the talk ended as neither side asked for, so that it may be continued.

    Args:
        found: the talk. Its end is not written, or a fault of the line or of a clock ended it.
        fault: of the network, seen in the talk.
        silent: one side fell silent.
    """
    by_itself = not found.complete or found.cut_by_clock or not asked_for(found.ended_by)
    return by_itself or fault is not None or silent


def is_over(
    events: Iterable[Event], client: str, consultant: str, *, talked: bool, parted: bool = False
) -> bool:
    """Whether no more talk can come: the client's leg has ended, or the consultant's has after they talked.

    A consultant's leg that ends without a talk (busy, no answer) is not the end: the client is still there, being told.

    Args:
        events: of the two legs.
        client: the unique id of the client's leg.
        consultant: the unique id of the consultant's leg.
        talked: they were in the bridge together.
        parted: the talk has its end, and who runs the call has said that none follows: then it is over although both
            legs are still up, being told what it cost.
    """
    gone = {event.channel for event in events if event.event in GONE}
    return client in gone or (talked and (parted or consultant in gone))


def _moved(inside: frozenset[str], together: list[Event], bridge: str) -> frozenset[str]:
    """Who is in the bridge after events of one and the same microsecond, in whatever order they were written."""
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
    """The cause of who left first; of two at once, the one that nobody asked for."""
    causes = [
        event.cause
        for event in events
        if event.event == HANGUP and left in {legs[event.channel], BOTH} and end <= event.at <= end + _MOMENT
    ]
    return next((cause for cause in causes if not asked_for(cause)), causes[0] if causes else None)


def _at(event: Event) -> datetime:
    return event.at
