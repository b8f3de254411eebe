"""Decides in one transaction whether a consultant can be rung now, and sets the call's status to ringing."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, exists, func, literal, select

from taxiphone.directory import consultants, dialling, lookup
from taxiphone.settings import Settings
from taxiphone.store import calls
from taxiphone.store.calls import IN_PROGRESS, Outcome, Status
from taxiphone.store.models import Consultant
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.tables import CALL, CONSULTANT
from taxiphone.store.types import now

log = logging.getLogger(__name__)


class _People(NamedTuple):
    client_id: int | None
    consultant_id: int
    available: bool
    paused_until: datetime | None


class _Others(NamedTuple):
    ringing: int
    engaged: bool


# Locked, so that of two simultaneous calls one sees the other.
_PEOPLE: Prepared[_People] = Prepared(
    select(CALL.c.client_id, CALL.c.consultant_id, CONSULTANT.c.available, CONSULTANT.c.paused_until)
    .join(CONSULTANT, CONSULTANT.c.id == CALL.c.consultant_id)
    .where(CALL.c.id == bindparam("call"))
    .with_for_update(of=CONSULTANT, key_share=True),
    _People._make,
)
_IN_PROGRESS = select(func.count()).where(
    CALL.c.client_id == bindparam("client"),
    CALL.c.outcome.is_(None),
    CALL.c.status.in_([literal(each.value) for each in IN_PROGRESS]),
    CALL.c.id != bindparam("call"),
)
OTHERS_IN_PROGRESS: Prepared[int] = Prepared(_IN_PROGRESS, scalar)
"""The number of other calls of a client that are in progress."""
_ENGAGED = exists().where(
    CALL.c.consultant_id == bindparam("consultant"),
    CALL.c.status.in_([literal(each.value) for each in (Status.RINGING, Status.ACCEPTED, Status.TALKING)]),
    CALL.c.outcome.is_(None),
    CALL.c.id != bindparam("call"),
)
_OTHERS: Prepared[_Others] = Prepared(
    select(_IN_PROGRESS.where(CALL.c.status == literal(Status.RINGING.value)).scalar_subquery(), _ENGAGED),
    _Others._make,
)


@dataclass(frozen=True)
class Ringing:
    """What is to be rung.

    Attributes:
        phones: the consultant's phones (E.164) that may be rung, in their order.
        refused: the position of each phone that may not be rung, from 1, and why.
        outcome: how the call ends, because nothing can be rung now; None if the call's status is ringing.
    """

    phones: list[str]
    refused: dict[int, str]
    outcome: Outcome | None

    def report(self, call_id: str, consultant: Consultant) -> None:
        """Log the phones that may not be rung: the settings have changed since they were added to the directory."""
        for position, why in self.refused.items():
            log.error(
                "call %s: phone %d of consultant %s is not rung: it %s. Change the settings, or the phone: "
                "taxiphone consultant set %s --help",
                *(call_id, position, consultant.code, why, consultant.code),
            )


def begin_ringing(
    connection: Connection, settings: Settings, call_id: str, consultant: Consultant
) -> Ringing:
    """Set a call's status to ringing, if one of the consultant's phones can be rung now."""
    phones = lookup.phones(connection, consultant)
    refusals = [dialling.refusal(phone, settings.platform) for phone in phones]
    allowed = [phone for phone, why in zip(phones, refusals, strict=True) if why is None]
    refused = {position: why for position, why in enumerate(refusals, 1) if why is not None}
    outcome = _reserve(connection, settings, call_id) if allowed else Outcome.UNREACHABLE
    return Ringing(allowed, refused, outcome)


def _reserve(connection: Connection, settings: Settings, call_id: str) -> Outcome | None:
    [people] = _PEOPLE.all(connection, {"call": call_id})
    [(ringing, engaged)] = _OTHERS.all(
        connection, {"call": call_id, "client": people.client_id, "consultant": people.consultant_id}
    )
    if ringing >= settings.call.most_ringing_per_client:
        return Outcome.TOO_MANY_CALLS
    if not consultants.is_free(people.available, people.paused_until, now()):
        return Outcome.UNAVAILABLE
    if engaged:
        calls.add_event(connection, call_id, "engaged")
        return Outcome.BUSY
    calls.step(connection, call_id, Status.RINGING)
    calls.add_event(connection, call_id, "consultant is free")
    return None
