"""A call's row: its id, the statuses that may follow each other, and the call events that the program notes.

The status is written before the command to Asterisk that it announces, so that a program which dies in between
leaves a row that says at most too much, never too little. It is a record, not the control flow.
"""

from __future__ import annotations

import enum
import logging
import secrets
from datetime import datetime

from sqlalchemy.orm import Session

from taxiphone.store.models import Call, CallEvent
from taxiphone.store.types import Moment, moment

log = logging.getLogger(__name__)

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # no 0/o, 1/l/i: ids are read out on the phone


class Status(enum.StrEnum):
    """Where a call stands."""

    RECEIVED = "received"  # it is in the application
    OFFERED = "offered"  # client and consultant are known, the price is being announced
    RINGING = "ringing"  # the consultant's phone is being called
    ACCEPTED = "accepted"  # the tariff is frozen, what it may cost is held
    TALKING = "talking"  # the two are being bridged
    OVER = "over"  # the talk is over; whoever is still on the line hears the summary
    ENDED = "ended"  # the program has let both legs go; the meter has not priced it yet
    RATED = "rated"  # priced, posted, receipt written
    CLOSED = "closed"  # nobody talked; nothing was charged, and what was held was released


class Outcome(enum.StrEnum):
    """How a call ended, in one word."""

    TALKED = "talked"
    CALLER_GONE = "caller_gone"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    NOT_ACCEPTED = "not_accepted"  # answered, but nobody pressed 1: a voicemail
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNAVAILABLE = "unavailable"  # the consultant does not take calls now
    NO_CHOICE = "no_choice"  # asked for a choice between prices, the client made none
    UNKNOWN_NUMBER = "unknown_number"
    UNKNOWN_CALLER = "unknown_caller"
    UNKNOWN_CODE = "unknown_code"
    WRONG_PIN = "wrong_pin"  # or no such client's code
    PIN_PAUSED = "paused"  # too many wrong PINs: later again
    BLOCKED = "blocked"
    ACCOUNT_CLOSED = "account_closed"
    NO_CREDIT = "no_credit"
    PRICE_CHANGED = "price_changed"  # between its announcement and the consultant's acceptance
    LIMIT_REACHED = "limit_reached"  # the client's own limit per day
    APOLOGY = "apology"  # the program was away, or being stopped: Asterisk, or what was left of it, said so
    TOO_MANY_CALLS = "too_many_calls"  # of this client, at once
    FAILED = "failed"  # a fault of ours or of Asterisk's


ALIVE = "alive"
"""The call event that both legs were in the bridge; noted every few seconds of a talk."""

FINAL = frozenset({Status.RATED, Status.CLOSED})
OPEN = tuple(status for status in Status if status not in FINAL)
"""Every other one. A query that names these finds its few calls by the index on the status; `not_in(FINAL)` reads them all."""

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
    """A call's id, such as `261122-7gq4mk`: the day (UTC) and six letters that nobody guesses."""
    return f"{at:%y%m%d}-" + "".join(secrets.choice(_ALPHABET) for _ in range(6))


CONSULTANT_LEG = ".consultant"  # what makes a call's id that of its consultant's leg


def consultant_leg(call_id: str, phone: int = 1) -> str:
    """The unique id of a consultant's leg: of the first phone, or of a further one that is rung for the same call.

    Ours, so that it is known before the leg is, and found in Asterisk's log.
    """
    return call_id + CONSULTANT_LEG + (f".{phone}" if phone > 1 else "")


def talk_bridge(call_id: str) -> str:
    """The id of the bridge in which the two talk; likewise."""
    return f"{call_id}.talk"


def advance(call: Call, status: Status) -> bool:
    """Move a call to `status`; False where that is no step forward from where it stands.

    The meter may finish a call that the program still believes in (Asterisk's log knows first): so a late step of
    the program's is not an error, it just does nothing.
    """
    if status not in NEXT[Status(call.status)]:
        return False
    call.status = status
    return True


def finish(call: Call, status: Status) -> None:
    """The meter's step: rated or closed, from wherever the call stands; Asterisk's log has the last word."""
    if status not in FINAL or Status(call.status) in FINAL:
        raise ValueError(f"call {call.id} can't go from {call.status} to {status}")
    call.status = status
    call.unpriced = None


def add_event(
    session: Session, call_id: str, what: str, detail: str | None = None, *, when: Moment | None = None
) -> None:
    """Note what the program did or saw, by the wall clock and the monotonic one; now, if `when` doesn't say when."""
    when = when or moment()
    if what != ALIVE:
        log.info("call %s: %s%s", call_id, what, "" if detail is None else f" ({detail})")
    session.add(
        CallEvent(
            call_id=call_id,
            at=when.at,
            monotonic_us=when.monotonic_us,
            boot=when.boot,
            what=what,
            detail=None if detail is None else detail[:200],
        )
    )
