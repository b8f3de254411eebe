"""A call that Asterisk died in: no end of it will ever be written, so it is finished with what is proven, and no more."""

from __future__ import annotations

from sqlalchemy.orm import Session

from taxiphone.billing import rating
from taxiphone.billing.evidence import proof
from taxiphone.billing.evidence.proof import NO_END
from taxiphone.billing.pricing.talk import Talk
from taxiphone.settings import Settings
from taxiphone.store.calls import FINAL, Outcome, Status
from taxiphone.store.models import Call, Receipt


def finish(session: Session, settings: Settings, call: Call, talk: Talk | None) -> Receipt | None:
    """Price the talk to the last proof that it went on, or close the call where nobody talked; at most once.

    `call.review` says so wherever the end of a talk is not Asterisk's own word.

    Returns:
        the receipt; None where nothing was charged.
    """
    if Status(call.status) in FINAL:
        return call.receipt
    if talk is None:
        call.outcome = call.outcome or Outcome.FAILED
        if proof.was_alive(session, call):
            call.review = "the program saw a talk that Asterisk's log does not have; nothing was charged"
    receipt = rating.rate(session, settings, call, talk)
    if talk is not None and not talk.complete and call.tariff is not None and call.fault is None:
        end = f"{call.talk_to or talk.end:%Y-%m-%d %H:%M:%S} UTC"
        call.review = f"{talk.doubt or NO_END}, at {end}"
        if receipt is None:
            call.review += ", which is its beginning; nothing was charged"
        session.flush()
    return receipt
