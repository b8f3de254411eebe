"""Decides in one transaction whether a consultant can be rung now, and sets the call's status to ringing."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Table, bindparam, exists, func, select

from taxiphone.directory import consultants, dialling, lookup
from taxiphone.settings import Settings
from taxiphone.store import calls
from taxiphone.store.calls import IN_PROGRESS, Outcome, Status
from taxiphone.store.models import Call, Consultant
from taxiphone.store.types import now

log = logging.getLogger(__name__)

_CALL, _CONSULTANT = cast(Table, Call.__table__), cast(Table, Consultant.__table__)

# Locked, so that of two simultaneous calls one sees the other.
_PEOPLE = (
    select(_CALL.c.client_id, _CALL.c.consultant_id, _CONSULTANT.c.available, _CONSULTANT.c.paused_until)
    .join(_CONSULTANT, _CONSULTANT.c.id == _CALL.c.consultant_id)
    .where(_CALL.c.id == bindparam("call"))
    .with_for_update(of=_CONSULTANT, key_share=True)
)
OTHERS_IN_PROGRESS = select(func.count()).where(
    _CALL.c.client_id == bindparam("client"),
    _CALL.c.outcome.is_(None),
    _CALL.c.status.in_(IN_PROGRESS),
    _CALL.c.id != bindparam("call"),
)
"""The query for the number of other calls of a client that are in progress."""
_ENGAGED = exists().where(
    _CALL.c.consultant_id == bindparam("consultant"),
    _CALL.c.status.in_((Status.RINGING, Status.ACCEPTED, Status.TALKING)),
    _CALL.c.outcome.is_(None),
    _CALL.c.id != bindparam("call"),
)
_OTHERS = select(OTHERS_IN_PROGRESS.where(_CALL.c.status == Status.RINGING).scalar_subquery(), _ENGAGED)


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
    people = connection.execute(_PEOPLE, {"call": call_id}).one()
    ringing, engaged = connection.execute(
        _OTHERS, {"call": call_id, "client": people.client_id, "consultant": people.consultant_id}
    ).one()
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
