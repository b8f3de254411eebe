"""A call's row: its id, its statuses and their allowed order, and the call events that the program records.

The status is written before the command to Asterisk that it announces. If the program dies in between, the row may be a
step ahead of what happened, but never behind. The status is a record and does not control the flow of a call.
"""

from __future__ import annotations

import enum
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, insert, literal, update
from sqlalchemy.exc import NoResultFound

from taxiphone.store.models import Call
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.tables import CALL, CALL_EVENT
from taxiphone.store.types import Moment, moment

log = logging.getLogger(__name__)

_ADD_EVENT: Prepared[Any] = Prepared(
    insert(CALL_EVENT), tuple, ("call_id", "at", "monotonic_us", "boot", "what", "detail")
)

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # without 0/o and 1/l/i, because ids are read out on the phone


class Status(enum.StrEnum):
    """How far a call is."""

    RECEIVED = "received"  # the call is in the application
    OFFERED = "offered"  # client and consultant are known; the price is being announced
    RINGING = "ringing"  # the consultant's phone is ringing
    ACCEPTED = "accepted"  # the tariff is copied into the call, and the credit is held
    TALKING = "talking"  # the legs are being bridged
    OVER = "over"  # the talk is over; anybody still on the line hears the summary
    ENDED = "ended"  # all legs are hung up; the meter hasn't priced the call yet
    RATED = "rated"  # priced and posted; the receipt is written
    CLOSED = "closed"  # there was no talk; nothing was charged, and the hold was released


class Outcome(enum.StrEnum):
    """How a call ended, in one word."""

    TALKED = "talked"
    CALLER_GONE = "caller_gone"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    NOT_ACCEPTED = "not_accepted"  # answered, but nobody pressed 1: perhaps voicemail
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNAVAILABLE = "unavailable"  # the consultant isn't taking calls now
    NO_CHOICE = "no_choice"  # the client didn't choose a price or a consultant
    UNKNOWN_NUMBER = "unknown_number"
    UNKNOWN_CALLER = "unknown_caller"
    UNKNOWN_CODE = "unknown_code"
    WRONG_PIN = "wrong_pin"  # or an unknown client code
    PIN_PAUSED = "paused"  # locked out after too many wrong PINs
    BLOCKED = "blocked"
    ACCOUNT_CLOSED = "account_closed"
    NO_CREDIT = "no_credit"
    PRICE_CHANGED = "price_changed"  # between the announcement and the consultant's acceptance
    LIMIT_REACHED = "limit_reached"  # the client's own daily limit
    APOLOGY = "apology"  # the program was stopping or not running; the caller heard an apology
    ALL_LINES_BUSY = "all_lines_busy"  # as many calls as the platform takes at once were in progress
    TOO_MANY_CALLS = "too_many_calls"  # the client has too many calls at once
    FAILED = "failed"  # an error in the program or in Asterisk


ALIVE = "alive"
"""The call event that both legs were in the bridge, recorded every few seconds of a talk."""

FINAL = frozenset({Status.RATED, Status.CLOSED})
OPEN = tuple(status for status in Status if status not in FINAL)
"""All other statuses. A query with these uses the index on the status; one with `not_in(FINAL)` would read all calls."""

IN_PROGRESS = tuple(status for status in OPEN if status != Status.ENDED)
"""The statuses in which somebody may still be on the line."""

NEXT: dict[Status, frozenset[Status]] = {
    Status.RECEIVED: frozenset({Status.OFFERED, Status.ENDED}),
    Status.OFFERED: frozenset({Status.RINGING, Status.ENDED}),
    Status.RINGING: frozenset({Status.ACCEPTED, Status.ENDED}),
    Status.ACCEPTED: frozenset({Status.TALKING, Status.ENDED}),
    Status.TALKING: frozenset({Status.OVER, Status.ENDED}),
    Status.OVER: frozenset({Status.ENDED}),
    Status.ENDED: FINAL,
    Status.RATED: frozenset(),
    Status.CLOSED: frozenset(),
}


def new_id(at: datetime) -> str:
    """Generate a call's id, such as `261122-7gq4mk`: the day (UTC) and six random characters."""
    return f"{at:%y%m%d}-" + "".join(secrets.choice(_ALPHABET) for _ in range(6))


CONSULTANT_LEG = ".consultant"  # appended to a call's id to make the id of the consultant's leg


def consultant_leg(call_id: str, phone: int = 1) -> str:
    """Return the unique id of a consultant's leg, given the position of the phone.

    It is derived from the call's id, so that it is known before the leg exists and can be found in Asterisk's log.
    """
    return call_id + CONSULTANT_LEG + (f".{phone}" if phone > 1 else "")


def talk_bridge(call_id: str) -> str:
    """Return the id of the bridge in which the two talk."""
    return f"{call_id}.talk"


def finish(call: Call, status: Status) -> None:
    """Set the status to rated or closed, whatever the current one is. Only the meter does this.

    Raises:
        ValueError: the call is already rated or closed, or `status` is neither.
    """
    if status not in FINAL or Status(call.status) in FINAL:
        raise ValueError(f"call {call.id} can't go from {call.status} to {status}")
    call.status = status
    call.unpriced = None


@dataclass(frozen=True, slots=True)
class Noted:
    """A call event that is not written yet.

    Attributes:
        what: what the program did or saw.
        detail: more about it.
        when: by both clocks.
    """

    what: str
    detail: str | None
    when: Moment


def step(connection: Connection, call_id: str, status: Status | None, **columns: object) -> None:
    """Move a call to `status`, where `NEXT` allows it, and set other columns, in one statement.

    If the meter has finished the call in the meantime, its status stays: Asterisk's log may be read before the program's
    step, and takes precedence.

    Raises:
        sqlalchemy.exc.NoResultFound: there is no such call.
    """
    values = {f"new_{name}": value for name, value in columns.items()}
    found = _step(status, tuple(columns)).first(connection, {"call": call_id, **values})
    if found is None:
        raise NoResultFound(f"there is no call {call_id}")
    if status is not None and found != status and Status(found) not in FINAL:
        log.error("call %s: status %r can't be followed by %r", call_id, found, status)


@cache
def _step(status: Status | None, columns: tuple[str, ...]) -> Prepared[str]:
    """Build the statement of `step`. Building one takes longer than executing it."""
    values: dict[str, ColumnElement[Any]] = {name: bindparam(f"new_{name}") for name in columns}
    if status is not None:
        before = [literal(each, CALL.c.status.type) for each in Status if status in NEXT[each]]
        values["status"] = case(
            (CALL.c.status.in_(before), literal(status, CALL.c.status.type)), else_=CALL.c.status
        )
    moved = update(CALL).where(CALL.c.id == bindparam("call")).values(values).returning(CALL.c.status)
    return Prepared(moved, scalar)


def add_event(
    connection: Connection, call_id: str, what: str, detail: str | None = None, *, when: Moment | None = None
) -> None:
    """Record what the program did or saw, by both clocks; `when` defaults to now."""
    add_events(connection, call_id, [Noted(what, detail, when or moment())])


def add_events(connection: Connection, call_id: str, events: Sequence[Noted]) -> None:
    """Record what the program did or saw, in this order. The call's row must be in the database."""
    for event in events:
        if event.what != ALIVE:
            log.info(
                "call %s: %s%s", call_id, event.what, "" if event.detail is None else f" ({event.detail})"
            )
        _ADD_EVENT.run(
            connection,
            {
                "call_id": call_id,
                "at": event.when.at,
                "monotonic_us": event.when.monotonic_us,
                "boot": event.when.boot,
                "what": event.what,
                "detail": None if event.detail is None else event.detail[:200],
            },
        )
