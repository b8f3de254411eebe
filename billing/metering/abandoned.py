"""Calls during which Asterisk died. Their end is never logged, so only the proven part of their talk is priced."""

from __future__ import annotations

from sqlalchemy.orm import Session

from taxiphone.billing import rating
from taxiphone.billing.evidence import proof
from taxiphone.billing.pricing.talk import Talk
from taxiphone.store.calls import FINAL, Outcome, Status
from taxiphone.store.models import Call, Receipt


def finish(session: Session, call: Call, talk: Talk | None) -> Receipt | None:
    """Price the talk up to the last proof that it continued, or close the call if there was no talk.

    A call that is rated or closed is left as it is.

    Returns:
        the receipt; None if nothing was charged.
    """
    if Status(call.status) in FINAL:
        return call.receipt
    if talk is None:
        call.outcome = call.outcome or Outcome.FAILED
        if proof.was_alive(session, call):
            call.review = "the program saw a talk that Asterisk's log does not have; nothing was charged"
    return rating.rate(session, call, talk)
