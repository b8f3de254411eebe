"""Decides from Asterisk's rows and the call's status whether a call is over, and if so, prices it."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from taxiphone.billing.call_row import CallRow
from taxiphone.billing.evidence import cel, proof
from taxiphone.billing.pricing.talk import Talk, is_over
from taxiphone.billing.rating import Charged, rate
from taxiphone.store.calls import Status
from taxiphone.store.types import moment

PARTED = (Status.OVER, Status.ENDED)  # the program lets no further talk begin
Rate = Callable[[Connection, CallRow, Talk | None], Charged | None]


def price_if_over(
    connection: Connection,
    call: CallRow,
    cut_off: Rate | None = None,
    call_events: proof.CallEvents | None = None,
) -> tuple[bool, Charged | None]:
    """Price or close a call that is over according to its rows.

    Args:
        connection: a connection in a transaction that writes.
        call: the locked call.
        cut_off: if given, the call is known to be over even if its rows don't say so, and is then finished by this function.
        call_events: the call's events, if already loaded.

    Returns:
        whether the call is rated or closed now, and what was charged, if there was a talk.
    """
    rows, over_by = proof.rows_of(connection, call), moment()
    if call_events is None:
        call_events = proof.call_events(connection, call.id)
    events = [cel.event_of(row) for row in rows]
    talk = proof.talk_of(connection, call, rows, over_by=over_by, noted=call_events)
    parted = talk is not None and talk.complete and call.status in PARTED
    over = is_over(events, *proof.legs(call), talked=talk is not None, parted=parted)
    if not over and cut_off is None:
        return False, None
    proof.note_priced(connection, call.id, call_events, over_by)
    finish = rate if over or cut_off is None else cut_off
    return True, finish(connection, call, talk)
