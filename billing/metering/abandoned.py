"""Calls during which Asterisk died. Their end will never be written, so only what is proven of them is priced."""

from __future__ import annotations

from sqlalchemy.orm import Session

from taxiphone.billing import rating
from taxiphone.billing.evidence import proof
from taxiphone.billing.pricing.talk import Talk
from taxiphone.store.calls import FINAL, Outcome, Status
from taxiphone.store.models import Call, Receipt


def finish(session: Session, call: Call, talk: Talk | None) -> Receipt | None:
    """Price the talk to the last proof that it went on, or close the call if nobody talked; at most once.

    Returns:
        the receipt; None where nothing was charged.
    """
    if Status(call.status) in FINAL:
        return call.receipt
    if talk is None:
        call.outcome = call.outcome or Outcome.FAILED
        if proof.was_alive(session, call):
            call.review = "the program saw a talk that Asterisk's log does not have; nothing was charged"
    return rating.rate(session, call, talk)
