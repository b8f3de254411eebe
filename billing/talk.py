"""When two legs talked, read from Asterisk's channel events (CEL). Pure: events in, a talk out.

A talk goes on while both legs are in the bridge: from the moment the second has entered to the moment the first leaves.
A leg that leaves and comes back makes several stretches, and they add up. A leg that is hung up has left, even where
Asterisk wrote no BRIDGE_EXIT. Other bridges and other channels (an announcement's, say) do not count. Times are Asterisk's,
to the microsecond; nothing here asks a clock.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

BRIDGE_ENTER, BRIDGE_EXIT = "BRIDGE_ENTER", "BRIDGE_EXIT"
HANGUP, CHAN_END = "HANGUP", "CHAN_END"
GONE = frozenset({HANGUP, CHAN_END})
CLIENT, CONSULTANT, BOTH = "client", "consultant", "both"
_MICROSECOND = timedelta(microseconds=1)


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
        causes: each leg's hang-up cause (ITU-T Q.850), where one was written: of the client, of the consultant.
        complete: the end was written.
    """

    start: datetime
    end: datetime
    microseconds: int
    stretches: tuple[tuple[datetime, datetime], ...]
    left_first: str | None
    causes: tuple[int | None, int | None]
    complete: bool

    @property
    def seconds(self) -> Decimal:
        """The length of the talk, exact."""
        return Decimal(self.microseconds).scaleb(-6)


def talk(events: Iterable[Event], client: str, consultant: str, bridge: str) -> Talk | None:
    """The talk of two legs in a bridge; None where they were never in it together.

    Args:
        events: in any order; only those of the two legs count.
        client: the unique id of the client's leg.
        consultant: the unique id of the consultant's leg.
        bridge: the bridge's id.
    """
    legs = {client: CLIENT, consultant: CONSULTANT}
    ours = sorted((event for event in events if event.channel in legs), key=_at)
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
        causes=(_cause(ours, client), _cause(ours, consultant)),
        complete=since is None,
    )


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


def _cause(events: list[Event], channel: str) -> int | None:
    return next((e.cause for e in events if e.channel == channel and e.event == HANGUP), None)


def _at(event: Event) -> datetime:
    return event.at
