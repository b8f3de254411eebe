"""Calls that are over and can't be priced. The reason is stored in the call's row, logged once, and reported until resolved.

The hold of such a call remains. The meter tries again every minute; `taxiphone call rate ID` tries at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from taxiphone.billing import call_row
from taxiphone.billing.metering import call_end
from taxiphone.billing.rating import Charged
from taxiphone.errors import LedgerError, TaxiphoneError, UsageError
from taxiphone.store.calls import OPEN, Status
from taxiphone.store.models import Call

log = logging.getLogger(__name__)

AGAIN_SECONDS = 60  # until the next attempt to price a call that could not be priced
SUMMARY_SECONDS = 3600  # between two log lines about the same calls
_LONGEST = 200  # characters of a reason, the length of the column
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A call that could not be priced at the last attempt; `why` is one clause."""

    call_id: str
    why: str


def find(session: Session) -> list[Unpriced]:
    """Return every call that is over and could not be priced, oldest first."""
    query = (
        select(Call.id, Call.unpriced)
        .where(Call.unpriced.is_not(None), Call.status.in_(OPEN))
        .order_by(Call.arrived_at, Call.id)
    )
    return [Unpriced(call_id, why or "") for call_id, why in session.execute(query)]


def note(session: Session, call_id: str, error: Exception) -> None:
    """Store in the call's row why it could not be priced, until it is priced or closed."""
    call = session.get_one(Call, call_id)
    why = reason(error)
    if call.unpriced != why:
        call.unpriced = why


def reason(error: Exception) -> str:
    """Format an error as one clause; an unexpected one with its type."""
    if isinstance(error, DBAPIError):
        text = f"the database refused it: {error.orig}"
    elif isinstance(error, TaxiphoneError | ValueError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:_LONGEST].rstrip(".")


def named(call_ids: Sequence[str]) -> str:
    """Format some ids for a sentence: `a, b and 3 more`."""
    more = len(call_ids) - _NAMED
    return ", ".join(call_ids[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def settle(connection: Connection, call_id: str) -> Charged | None:
    """Try at once to price a call that is over and could not be priced.

    Returns:
        what was charged; None if there was no talk and the call was closed.

    Raises:
        UsageError: it is already priced, or was closed without a talk.
        LedgerError: it is not over according to Asterisk's log, or still can't be priced. Nothing was posted.
    """
    call = call_row.read(connection, call_id, lock=True)
    if call.status == Status.RATED:
        raise UsageError(f"call {call.id} is already priced. To re-rate it, add --again.")
    if call.status == Status.CLOSED:
        raise UsageError(f"nobody talked in call {call.id}, so there is nothing to price.")
    try:
        with connection.begin_nested():
            final, charged = call_end.price_if_over(connection, call)
    except (TaxiphoneError, ValueError, ArithmeticError, LookupError, IntegrityError, DataError) as error:
        raise LedgerError(
            f"call {call.id} still can't be priced: {reason(error)}. Nothing was posted, and the hold stays. "
            f"To release it and charge nothing: taxiphone ledger release-holds --call {call.id}"
        ) from None
    if not final:
        raise LedgerError(
            f"call {call.id} is not over by Asterisk's log (it is {call.status}). It will be priced when it is."
        )
    return charged


class DeferredCalls:
    """The calls that a running meter could not price: when to try each again, and what was logged about it.

    Not thread-safe: use it only in the thread that reads the log.

    Args:
        again_seconds: seconds between two attempts.
        summary_seconds: seconds between two log lines about the same calls.
    """

    def __init__(
        self, again_seconds: float = AGAIN_SECONDS, summary_seconds: float = SUMMARY_SECONDS
    ) -> None:
        self._again_seconds, self._summary_seconds = again_seconds, summary_seconds
        self._tried: dict[str, float] = {}
        self._logged: dict[str, str] = {}
        self._summarized_at = time.monotonic()

    def due(self, call_id: str) -> bool:
        """Whether to try this call now."""
        tried = self._tried.get(call_id)
        return tried is None or time.monotonic() - tried >= self._again_seconds

    def defer(self, call_id: str, error: Exception) -> None:
        """Note that a call could not be priced. Log it if the reason is new; otherwise once an hour, with all others."""
        at, why = time.monotonic(), reason(error)
        self._tried[call_id] = at
        if self._logged.get(call_id) != why:
            self._logged[call_id] = why
            known = isinstance(error, TaxiphoneError | ValueError | DBAPIError)
            log.error(
                "call %s is over and can't be priced: %s. Its hold stays; the meter tries again every minute. "
                "To try at once: taxiphone call rate %s",
                call_id,
                why,
                call_id,
                exc_info=None if known else error,
            )
        elif at - self._summarized_at >= self._summary_seconds:
            # A call that another process has priced isn't tried any more, so its last attempt is old.
            left = [other for other, tried in self._tried.items() if at - tried <= 3 * self._again_seconds]
            log.error(
                "%d call(s) still can't be priced: %s. See: taxiphone ledger check", len(left), named(left)
            )
            self._summarized_at = at

    def settled(self, call_id: str) -> None:
        """Note that a call has been priced or closed."""
        self._tried.pop(call_id, None)
        self._logged.pop(call_id, None)
