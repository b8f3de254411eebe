"""The evidence of a call's talk: Asterisk's rows, and the program's call events with two clocks.

Asterisk's rows say when the talk took place. The call events say what the program saw, by the wall clock and the monotonic
clock. They show whether the wall clock was set during the talk (`two_clocks.reconcile`), and the minimum duration of the
talk if rows are missing. `alive` is written right after Asterisk confirmed that both legs are in the talk. Other call events
don't prove this: `bridging` is written before the talk, and `ended` may be written long after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, bindparam, select

from taxiphone.billing.call_row import CallRow
from taxiphone.billing.evidence import two_clocks
from taxiphone.billing.evidence.cel import LogRow, event_of
from taxiphone.billing.evidence.two_clocks import Observed
from taxiphone.billing.pricing import talk as talks
from taxiphone.billing.pricing.talk import NO_END, Event, Talk, talk
from taxiphone.store.calls import ALIVE, add_event, consultant_leg, talk_bridge
from taxiphone.store.prepared import Prepared
from taxiphone.store.tables import CALL_EVENT, CEL_ROW
from taxiphone.store.types import Moment, boot, moment, monotonic_of, monotonic_us, steady

BRIDGING, BRIDGED, PARTED, PRICED = "bridging", "bridged", "parted", "priced"
LEFT = "left"
CUT_BY_CLOCK = "cut when the clock was set"  # a detail of LEFT
_AFTER = (PRICED, "ended")
_NOTHING = "Asterisk's log has nothing about this talk: it was priced up to the last proof of it that the program has"
_SET_BACK = timedelta(seconds=1)  # rows written out of order differ by less than this


class Legs(Protocol):
    """The part of a call that names its legs."""

    @property
    def id(self) -> str:
        """The call's id."""

    @property
    def client_channel(self) -> str:
        """The unique id of the client's leg."""

    @property
    def consultant_channel(self) -> str | None:
        """The unique id of the leg of the phone that accepted; None if none has."""


class Stamp(Protocol):
    """The part of a call event that says when it was recorded, by both clocks."""

    @property
    def at(self) -> datetime:
        """The wall clock."""

    @property
    def monotonic_us(self) -> int:
        """The monotonic clock."""

    @property
    def boot(self) -> str | None:
        """The boot from which the monotonic clock counts."""


class SeenEvent(NamedTuple):
    """A call event (`store.models.CallEvent`)."""

    what: str
    detail: str | None
    at: datetime
    monotonic_us: int
    boot: str | None


CallEvents = Sequence[SeenEvent]

_ROWS = Prepared(
    select(*(CEL_ROW.c[name] for name in LogRow._fields))
    .where(CEL_ROW.c.channel.in_([bindparam("client"), bindparam("consultant")]))
    .order_by(CEL_ROW.c.id),
    LogRow._make,
)
_EVENTS = Prepared(
    select(*(CALL_EVENT.c[name] for name in SeenEvent._fields))
    .where(CALL_EVENT.c.call_id == bindparam("call"))
    .order_by(CALL_EVENT.c.id),
    SeenEvent._make,
)


def legs(call: Legs) -> tuple[str, str]:
    """Return the unique ids of the client's and the consultant's leg: the phone that accepted, else the first."""
    return call.client_channel, call.consultant_channel or consultant_leg(call.id)


def rows_of(connection: Connection, call: Legs) -> list[LogRow]:
    """Return Asterisk's rows of the call's two legs in the order in which they were read, without duplicates."""
    client, consultant = legs(call)
    rows = _ROWS.all(connection, {"client": client, "consultant": consultant})
    return list({(row.event, row.at, row.channel, str(row.extra)): row for row in rows}.values())


def call_events(connection: Connection, call_id: str) -> CallEvents:
    """Return the call events up to the price. Later ones are ignored."""
    events = _EVENTS.all(connection, {"call": call_id})
    priced = next((index for index, event in enumerate(events) if event.what == PRICED), len(events))
    return events[: priced + 1]


def talk_of(
    connection: Connection,
    call: Legs,
    rows: Iterable[LogRow] | None = None,
    *,
    over_by: Moment | None = None,
    noted: CallEvents | None = None,
) -> Talk | None:
    """Return the talk, as far as rows and call events agree; `doubt` says where they don't.

    Without an end in the rows, the talk lasts until the last proof that it continued. Without any rows, only the call
    events count.

    Args:
        connection: a connection.
        call: the call.
        rows: the call's rows, if already loaded.
        over_by: a moment at which the talk was over, if that isn't recorded yet (`note_priced`).
        noted: the call's events, if already loaded.
    """
    logged = list(rows_of(connection, call) if rows is None else rows)
    events = [event_of(row) for row in logged]
    bridge, noted = talk_bridge(call.id), call_events(connection, call.id) if noted is None else noted
    seen = _seen(noted, over_by)
    found = talk(events, *legs(call), bridge, as_written=_set_back(logged))
    if found is None:
        return _only_seen(seen)
    if found.complete:
        found = two_clocks.reconcile(found, seen)
        cut = any(event.what == LEFT and event.detail == CUT_BY_CLOCK for event in noted)
        # Asterisk hung up both legs, so neither side left first.
        return replace(found, left_first=None, cut_by_clock=True) if cut else found
    least = two_clocks.proven(seen)
    if least is None:
        proofs = [Event(ALIVE, event.at, call.client_channel) for event in noted if event.what == ALIVE]
        return talk([*events, *proofs], *legs(call), bridge)
    return _as_proven(found.start, least, NO_END)


def awaits_program(events: CallEvents) -> bool:
    """Whether the program saw the talk begin but hasn't recorded its end yet, which it soon will if it is running."""
    names = {event.what for event in events}
    return BRIDGED in names and not names & {PARTED, LEFT, *_AFTER}


def note_priced(connection: Connection, call_id: str, events: CallEvents, over_by: Moment) -> None:
    """Record by both clocks a moment at which the talk was over, if the program saw a talk."""
    if any(event.boot is not None and event.what in {BRIDGING, BRIDGED} for event in events):
        add_event(connection, call_id, PRICED, when=over_by)


def ended_ago(connection: Connection, call_id: str) -> timedelta | None:
    """Return how long ago a priced talk ended by the monotonic clock; None if that wasn't recorded since this boot."""
    for event in reversed(call_events(connection, call_id)):
        if event.what in {PARTED, PRICED} and event.boot is not None and event.boot == boot():
            return since(event)
    return None


def in_talk(connection: Connection, call_id: str, at: datetime) -> datetime:
    """Convert a time of `store.types.steady` to the talk's own: the wall clock at its start plus the time since."""
    begun = next((event for event in call_events(connection, call_id) if event.what == BRIDGED), None)
    if begun is None or begun.boot is None or begun.boot != boot():
        return at
    return begun.at + timedelta(microseconds=monotonic_of(at) - begun.monotonic_us)


def steadily(event: Stamp) -> datetime:
    """Return when an event was recorded, as `store.types.steady` of this process, or by the wall clock if unknown."""
    if event.boot is None or event.boot != boot():
        return event.at
    return steady() - timedelta(microseconds=monotonic_us() - event.monotonic_us)


def since(event: Stamp) -> timedelta:
    """Return how long ago an event was recorded, by the monotonic clock if that was in this boot of the machine."""
    then, at = _moment(event), moment()
    same_boot = then.boot is not None and then.boot == at.boot
    return two_clocks.passed(then, at) if same_boot else at.at - then.at


def _seen(events: CallEvents, over_by: Moment | None) -> Observed:
    def first(*names: str) -> Moment | None:
        return next((_moment(event) for event in events if event.what in names), None)

    return Observed(
        before=first(BRIDGING),
        bridged=first(BRIDGED, ALIVE),
        inside=tuple(_moment(event) for event in events if event.what == ALIVE),
        parted=first(PARTED),
        after=(*(_moment(event) for event in events if event.what in _AFTER), *filter(None, [over_by])),
    )


def _moment(event: Stamp) -> Moment:
    return Moment(event.at, event.monotonic_us, event.boot)


def _only_seen(seen: Observed) -> Talk | None:
    """Return the talk by the call events alone; None if they have no talk or don't show its duration."""
    least = two_clocks.proven(seen)
    if least is None or seen.bridged is None:
        return None
    return _as_proven(seen.bridged.at, least, _NOTHING)


def _as_proven(start: datetime, least: timedelta, doubt: str) -> Talk:
    """Return a talk whose end is not in the log, with its proven duration."""
    end = start + least
    return Talk(
        start=start,
        end=end,
        microseconds=least // timedelta(microseconds=1),
        stretches=((start, end),),
        left_first=None,
        complete=False,
        doubt=doubt,
    )


def _set_back(rows: list[LogRow]) -> bool:
    """Whether the wall clock was set back while the rows of one file were written."""
    latest: dict[str, datetime] = {}
    for row in sorted(rows, key=lambda row: (row.file, row.offset)):
        if row.at < latest.get(row.file, row.at) - _SET_BACK:
            return True
        latest[row.file] = max(row.at, latest.get(row.file, row.at))
    return False


def heard(call: CallRow, found: Talk) -> Talk:
    """Return the talk up to where both sides could be heard, which is the most that is billed."""
    return talks.heard(found, until=call.heard_until, rtp_timeout=call.rtp_timeout)


def was_dropped(call: CallRow, found: Talk) -> bool:
    """Whether the line dropped, so that the client may continue the consultation."""
    return talks.dropped(found, fault=call.fault, silent=call.heard_until is not None)
