"""Hang-up rows that are read after the call was priced.

A talk is priced as soon as a leg has left the bridge. The row with the hang-up cause follows within milliseconds, but may be
read later. If the cause shows that the line failed, the call and its price are corrected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, or_, select
from sqlalchemy.orm import Session

from taxiphone.billing import call_row
from taxiphone.billing.corrections import FELL_SILENT, correct
from taxiphone.billing.evidence import proof
from taxiphone.billing.pricing.talk import HANGUP, asked_for
from taxiphone.store.calls import CONSULTANT_LEG, Status
from taxiphone.store.models import Call
from taxiphone.store.sessions import in_session


def process(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Correct the calls that were priced before these rows (columns of `CelRow`) were read; usually there are none.

    A call whose line dropped is marked as dropped. If a silence was billed, the call is re-rated.
    """
    channels = [
        row["channel"]
        for row in rows
        if row["event"] == HANGUP and not asked_for(row["extra"].get("hangupcause"))
    ]
    if channels:
        in_session(lambda session: _correct_all(session, channels))(connection)


def _correct_all(session: Session, channels: Iterable[str]) -> None:
    for channel in channels:
        has_leg = or_(Call.client_channel == channel, Call.id == channel.split(CONSULTANT_LEG, maxsplit=1)[0])
        for call in session.scalars(select(Call).where(has_leg, Call.status == Status.RATED)).all():
            _correct(session, call)


def _correct(session: Session, call: Call) -> None:
    connection = session.connection()
    row = call_row.read(connection, call.id)
    talk = proof.talk_of(connection, row)
    if talk is None:
        return
    call.dropped = proof.was_dropped(row, talk)
    if proof.heard(row, talk).end == call.talk_to:
        return
    correct(session, call, FELL_SILENT)
