"""Decides from Asterisk's rows and the call's status whether a call is over, and prices it then."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from taxiphone.billing.evidence import cel, proof
from taxiphone.billing.pricing.talk import Talk, is_over
from taxiphone.billing.rating import rate
from taxiphone.store.calls import Status
from taxiphone.store.models import Call, Receipt
from taxiphone.store.types import moment

PARTED = (Status.OVER, Status.ENDED)  # the program lets no further talk begin
Rate = Callable[[Session, Call, Talk | None], Receipt | None]


def price_if_over(session: Session, call: Call, cut_off: Rate | None = None) -> Receipt | None:
    """Price or close a call that is over by its rows, or with `cut_off` one that is over although they do not say so.

    Returns:
        the receipt; None if the call is not over, or was closed because nobody talked.
    """
    rows, over_by = proof.rows_of(session, call), moment()
    events, found = (
        [cel.event_of(row) for row in rows],
        proof.talk_of(session, call, rows, over_by=over_by),
    )
    parted = found is not None and found.complete and call.status in PARTED
    over = is_over(events, *proof.legs(call), talked=found is not None, parted=parted)
    if not over and cut_off is None:
        return None
    proof.note_priced(session, call, over_by)
    price_it = rate if over or cut_off is None else cut_off
    return price_it(session, call, found)
