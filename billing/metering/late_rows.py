"""Asterisk's row of a hang-up that came after the call was priced, and what it says of the end of the talk.

A talk that is over is priced as soon as a leg has left the bridge. The row with the cause of its hang-up follows within
milliseconds, perhaps a read later; where the cause is a fault of the line, the call's row and price must still hear of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from taxiphone.billing.corrections import FELL_SILENT, correct
from taxiphone.billing.evidence import proof
from taxiphone.billing.pricing.talk import HANGUP, asked_for
from taxiphone.store.calls import CONSULTANT_LEG, Status
from taxiphone.store.models import Call


def process(session: Session, rows: Iterable[Mapping[str, Any]]) -> None:
    """Look at the calls that were priced before these rows (columns of `CelRow`) were read; most have none such.

    Where the talk was cut, the call says so from now on; where it was billed into a silence, it is rated again.
    """
    for row in rows:
        if row["event"] != HANGUP or asked_for(row["extra"].get("hangupcause")):
            continue
        channel: str = row["channel"]
        ours = or_(Call.client_channel == channel, Call.id == channel.split(CONSULTANT_LEG, maxsplit=1)[0])
        for call in session.scalars(select(Call).where(ours, Call.status == Status.RATED)).all():
            _correct(session, call)


def _correct(session: Session, call: Call) -> None:
    found = proof.talk_of(session, call)
    if found is None:
        return
    call.dropped = proof.was_dropped(call, found)
    if proof.heard(call, found).end == call.talk_to:
        return
    correct(session, call, FELL_SILENT)
