"""What an earlier process recorded about a talk that is still in progress."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from taxiphone.ari_app.agreement import Agreement
from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.rtp_watchdog import Earlier, Noted
from taxiphone.billing import holds
from taxiphone.billing.evidence import proof
from taxiphone.errors import LedgerError
from taxiphone.settings import Settings
from taxiphone.store import calls
from taxiphone.store.calls import ALIVE
from taxiphone.store.models import Call, CallEvent, Client, Consultant
from taxiphone.store.sessions import in_session

RECORDING_PAUSED, RECORDING_RESUMED = "recording paused", "recording resumed"
"""Call events: the recording was paused by key, or resumed."""


@dataclass(frozen=True)
class TakenOver:
    """A talk that an earlier process began.

    Attributes:
        client: who pays.
        consultant: who is paid.
        language: the client's language.
        recorded: whether the talk is recorded.
        accepted: what was fixed when the consultant accepted.
        seconds: seconds since the two were bridged, as far as is known, by the monotonic clock.
        muted: whether the recording is paused.
        packets: the last recorded counts of both sides' RTP packets.
    """

    client: Client
    consultant: Consultant
    language: str
    recorded: bool
    accepted: holds.Accepted
    seconds: float
    muted: bool
    packets: Earlier

    def agreement(self, leg: Leg) -> Agreement:
        """What the talk is held under; `leg` is the consultant's."""
        return Agreement(self.client, self.consultant, leg, self.recorded, self.accepted)


async def talk_in_progress(settings: Settings, database: DatabaseWithTimeout, call_id: str) -> TakenOver:
    """Read what was recorded about a talk, and record that it was taken over.

    Raises:
        LedgerError: the call has no client or no consultant, or is over.
        SQLAlchemyError: the database failed.
    """

    def work(session: Session) -> TakenOver:
        call = session.get_one(Call, call_id, options=(joinedload(Call.client), joinedload(Call.consultant)))
        if call.client is None or call.consultant is None:
            raise LedgerError(f"call {call_id} has no client or no consultant.")
        began = _latest(session, call_id, proof.BRIDGED, proof.BRIDGING)
        changed = _latest(session, call_id, RECORDING_PAUSED, RECORDING_RESUMED)
        packets = _packets(session, call_id)
        calls.add_event(session.connection(), call_id, "taken over")
        return TakenOver(
            client=call.client,
            consultant=call.consultant,
            language=call.language,
            recorded=call.recording_asked,
            accepted=holds.accept(session.connection(), settings, call_id),
            seconds=0.0 if began is None else max(0.0, proof.since(began).total_seconds()),
            muted=changed is not None and changed.what == RECORDING_PAUSED,
            packets=packets,
        )

    return await database.write_to_the_end(in_session(work))


def _latest(session: Session, call_id: str, *kinds: str) -> CallEvent | None:
    query = (
        select(CallEvent)
        .where(CallEvent.call_id == call_id, CallEvent.what.in_(kinds))
        .order_by(CallEvent.id.desc())
        .limit(1)
    )
    return session.scalar(query)


def _packets(session: Session, call_id: str) -> Earlier:
    """The last recorded counts of the client's packets, and of the consultant's, newest first."""
    query = (
        select(CallEvent)
        .where(CallEvent.call_id == call_id, CallEvent.what == ALIVE, CallEvent.detail.startswith("packets "))
        .order_by(CallEvent.id.desc())
        .limit(2)
    )
    recorded: list[tuple[datetime, list[str]]] = [
        (proof.steadily(event), (event.detail or "").split()) for event in session.scalars(query)
    ]
    client, consultant = (
        tuple(Noted(at, int(words[position])) for at, words in recorded) for position in (1, 2)
    )
    return client, consultant
