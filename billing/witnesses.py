"""What is known of a call's talk: Asterisk's rows, and beside them the program's marks that the talk went on.

Asterisk's rows alone say when a talk was. Only where they have no end of it, for Asterisk died, do the marks count: a
mark `alive` is written when Asterisk had just said that both legs are in the talk, and so the talk lasted until then.
Other marks prove nothing of the kind: `bridging` is written before the talk, `ended` perhaps long after it.
"""

from __future__ import annotations

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from taxiphone.billing import talk as talks
from taxiphone.billing.cel import event_of
from taxiphone.billing.talk import Event, Talk, talk
from taxiphone.store.calls import consultant_leg, talk_bridge
from taxiphone.store.models import Call, CelRow, Mark

ALIVE = "alive"


def legs(call: Call) -> tuple[str, str]:
    """The unique ids of the client's leg and of the consultant's: the phone that accepted, else the first."""
    return call.client_channel, call.consultant_channel or consultant_leg(call.id)


def rows_of(session: Session, call: Call) -> list[CelRow]:
    """Asterisk's rows of the call's two legs, in the order of their times."""
    ours = CelRow.channel.in_(legs(call))
    return list(session.scalars(select(CelRow).where(ours).order_by(CelRow.at, CelRow.id)))


def talk_of(session: Session, call: Call, events: list[Event] | None = None) -> Talk | None:
    """When they talked; where no end was written, to the last proof that the talk went on.

    Args:
        session: where.
        call: whose talk.
        events: of Asterisk's rows, where they are at hand.
    """
    if events is None:
        events = [event_of(row) for row in rows_of(session, call)]
    bridge = talk_bridge(call.id)
    found = talk(events, *legs(call), bridge)
    if found is None or found.complete:
        return found
    marks = session.scalars(select(Mark.at).where(Mark.call_id == call.id, Mark.what == ALIVE))
    proofs = [Event(ALIVE, at, call.client_channel) for at in marks]
    return talk([*events, *proofs], *legs(call), bridge)


def heard(call: Call, found: Talk) -> Talk:
    """The call's talk as far as each side could be heard: what is billed of it at most."""
    return talks.heard(found, until=call.heard_until, rtp_timeout=call.rtp_timeout)


def was_dropped(call: Call, found: Talk) -> bool:
    """Whether the call's talk ended as nobody asked for, so that it may be taken up again."""
    return call.fault is not None or call.heard_until is not None or talks.dropped(found)


def was_alive(session: Session, call: Call) -> bool:
    """Whether the program saw a talk."""
    seen = exists().where(Mark.call_id == call.id, Mark.what == ALIVE)
    return bool(session.execute(select(seen)).scalar_one())
