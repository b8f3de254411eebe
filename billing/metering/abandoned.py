"""Calls during which Asterisk died. Their end is never logged, so only the proven part of their talk is priced."""

from __future__ import annotations

from sqlalchemy import Connection

from taxiphone.billing import rating
from taxiphone.billing.call_row import CallRow
from taxiphone.billing.evidence import proof
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.rating import Charged
from taxiphone.store.calls import ALIVE


def finish(connection: Connection, call: CallRow, talk: Talk | None) -> Charged | None:
    """Price the talk up to the last proof that it continued, or close the call if there was no talk.

    A call that is rated or closed is left as it is.

    Returns:
        what was charged; None if there was no talk.
    """
    if talk is None and any(event.what == ALIVE for event in proof.call_events(connection, call.id)):
        call = call._replace(
            review="the program saw a talk that Asterisk's log does not have; nothing was charged"
        )
    return rating.rate(connection, call, talk)
