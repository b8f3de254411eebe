"""Corrects the price of a call if a fault, or a row of Asterisk's log, becomes known after it was priced.

The call is re-rated. If something was refunded meanwhile, the receipt stays as it is and any excess is refunded too. In that
case a correction never charges more.
"""

from __future__ import annotations

import logging

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from taxiphone.billing import continuation
from taxiphone.billing.ledger import balances, refunds
from taxiphone.billing.rerating import rerate, settle_again
from taxiphone.errors import LedgerError
from taxiphone.store.calls import Status
from taxiphone.store.models import Call
from taxiphone.store.retrying import raced

log = logging.getLogger(__name__)

NOT_HEARD = "one side could not be heard"
FELL_SILENT = "one side had fallen silent before the end"


def correct(session: Session, call: Call, reason: str) -> None:
    """Settle a rated call again, in the transaction in which the new fact becomes known.

    If that is not possible, the price stays as it is and the call is marked for review; nothing is raised.

    Args:
        session: a session in a transaction that writes.
        call: the locked call. If it isn't rated yet, nothing is done; the meter will take the new fact into account.
        reason: shown to the client on the receipt or the credit note.
    """
    if call.status != Status.RATED:
        return
    try:
        with session.begin_nested():
            _correct(session, call, reason)
    except (LedgerError, ValueError) as error:
        log.warning("call %s was priced before everything was known: %s", call.id, error)
        call.review = f"priced before it was known that {reason}; the price is unchanged. See: call rate --again, refund"
    except DBAPIError as error:
        if not isinstance(error, IntegrityError) or raced(error):
            raise  # the whole transaction is repeated
        log.exception("call %s was priced before everything was known, and can't be re-rated", call.id)
        call.review = (
            f"priced before it was known that {reason}; the price is unchanged. See: call rate --again"
        )


def _correct(session: Session, call: Call, reason: str) -> None:
    receipt = refunds.lock_receipt(session, call)
    if receipt is None:
        return
    refunded = refunds.refunded(session, call.id)
    if not refunded:
        rerate(session, call, reason)
        return
    connection = session.connection()
    balances.lock_wallet(connection, call.client_id or 0, receipt.currency)
    if continuation.has_later(connection, call.id):
        raise LedgerError("another call continues it, and its price depends on this one")
    _, settlement = settle_again(session, call, receipt)
    total = settlement.price.total
    if not settlement.pending_fee and receipt.recording_pending:
        refunds.waive_recording(session, call)
    excess = receipt.total - refunded - total
    if excess > 0:
        # A repeated correction finds no excess. The key tells a different correction from this one.
        refunds.refund(session, call, excess, reason, f"corrected-to-{total}")
