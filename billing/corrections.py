"""What became known of a call after it was priced settles it again, whatever happened to it meanwhile.

A fault that was noted late, for the database was slow; a row of Asterisk's that came late. Where nothing else has happened
to the price, the call is rated again. Where something was refunded, the receipt stays as it is, and what is still too much
is credited, never charged.
"""

from __future__ import annotations

import logging

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from taxiphone.billing import continuation
from taxiphone.billing.ledger import refunds
from taxiphone.billing.rerating import rerate, settle_again
from taxiphone.errors import LedgerError
from taxiphone.store.calls import Status
from taxiphone.store.models import Call

log = logging.getLogger(__name__)

NOT_HEARD = "one side could not be heard"
FELL_SILENT = "one side had fallen silent before the end"


def correct(session: Session, call: Call, reason: str) -> None:
    """Settle a rated call by what its row and Asterisk's log say now; in the transaction in which that became known.

    What can't be settled leaves the price as it is, and the call to be looked at: the caller's own writing goes on.

    Args:
        session: one that writes.
        call: locked; one that is not rated is left to the meter, which will know.
        reason: for the client, on the receipt or the credit note.
    """
    if call.status != Status.RATED:
        return
    try:
        with session.begin_nested():
            _correct(session, call, reason)
    except (LedgerError, ValueError) as error:
        log.warning("call %s was priced before all was known of it: %s", call.id, error)
        call.review = (
            f"priced before it was known that {reason}; the price stands, see call rate --again and refund"
        )
    except DBAPIError as error:
        if not isinstance(error, IntegrityError):
            raise  # the whole transaction is done again
        log.exception("call %s was priced before all was known of it, and can't be settled again", call.id)


def _correct(session: Session, call: Call, reason: str) -> None:
    receipt = refunds.lock_receipt(session, call)
    if receipt is None:
        return
    back = refunds.refunded(session, call.id)
    if not back:
        rerate(session, call, reason)
        return
    if continuation.has_later(session, call):
        raise LedgerError("another call has gone on with it, whose price rests on this one")
    _, settlement = settle_again(session, call, receipt)
    total = settlement.price.total
    if not settlement.pending_fee and receipt.recording_pending:
        refunds.waive_recording(session, call)
    too_much = receipt.total - back - total
    if too_much > 0:
        # The same correction again finds nothing too much; the key keeps a second one apart from the first.
        refunds.refund(session, call, too_much, reason, f"corrected-to-{total}")
