"""Calls that are over and can't be priced: the reason is kept in the call's row, logged once, and reported until it is gone.

What was held for such a call stays held. The meter tries again every minute; `taxiphone call rate ID` tries at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from taxiphone.billing.metering import call_end
from taxiphone.errors import LedgerError, TaxiphoneError, UsageError
from taxiphone.store.calls import FINAL, OPEN, Status
from taxiphone.store.models import Call, Receipt

log = logging.getLogger(__name__)

AGAIN_SECONDS = 60  # until the next attempt to price a call that could not be priced
SUMMARY_SECONDS = 3600  # between two lines in the log about the same calls
_LONGEST = 200  # characters of a reason, as the column has them
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A call that could not be priced the last time that was tried; `why` is one clause."""

    call_id: str
    why: str


def find(session: Session) -> list[Unpriced]:
    """Every call that is over and could not be priced, the oldest first."""
    found = (
        select(Call.id, Call.unpriced)
        .where(Call.unpriced.is_not(None), Call.status.in_(OPEN))
        .order_by(Call.arrived_at, Call.id)
    )
    return [Unpriced(call_id, why or "") for call_id, why in session.execute(found)]


def note(session: Session, call_id: str, error: Exception) -> None:
    """Keep in the call's row why it could not be priced, until it is priced or closed."""
    call = session.get_one(Call, call_id)
    why = reason(error)
    if call.unpriced != why:
        call.unpriced = why


def reason(error: Exception) -> str:
    """An error as one clause: a known one in its own words, another with its kind."""
    if isinstance(error, DBAPIError):
        text = f"the database refused it: {error.orig}"
    elif isinstance(error, TaxiphoneError | ValueError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:_LONGEST].rstrip(".")


def named(call_ids: Sequence[str]) -> str:
    """Some ids for a sentence: `a, b and 3 more`."""
    more = len(call_ids) - _NAMED
    return ", ".join(call_ids[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def settle(session: Session, call: Call) -> Receipt | None:
    """Price a call that is over and was not priced; at once, where the meter would try again within a minute.

    Returns:
        the receipt; None where nobody talked, and the call was closed.

    Raises:
        UsageError: it has its price already, or came to nothing.
        LedgerError: it is not over by Asterisk's log, or still can't be priced. Nothing was posted.
    """
    call = session.get_one(Call, call.id, with_for_update=True, populate_existing=True)
    if call.status == Status.RATED:
        raise UsageError(f"call {call.id} has its price already; --again re-rates it.")
    if call.status == Status.CLOSED:
        raise UsageError(f"nobody talked in call {call.id}, so there is nothing to price.")
    try:
        with session.begin_nested():
            receipt = call_end.price_if_over(session, call)
    except (TaxiphoneError, ValueError, ArithmeticError, LookupError, IntegrityError, DataError) as error:
        raise LedgerError(
            f"call {call.id} still can't be priced: {reason(error)}. Nothing was posted, and the hold stays. "
            f"To release it and charge nothing: taxiphone ledger release-holds --call {call.id}"
        ) from None
    if Status(call.status) not in FINAL:
        raise LedgerError(
            f"call {call.id} is not over by Asterisk's log (it is {call.status}). It will be priced when it is."
        )
    return receipt


class DeferredCalls:
    """The calls that a running meter could not price: when to try each again, and what the log was told of them.

    Not thread-safe: for the one thread that reads the log.

    Args:
        again_seconds: between two attempts.
        summary_seconds: between two lines in the log about the same calls.
    """

    def __init__(
        self, again_seconds: float = AGAIN_SECONDS, summary_seconds: float = SUMMARY_SECONDS
    ) -> None:
        self._again_seconds, self._summary_seconds = again_seconds, summary_seconds
        self._tried: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._summed_up = time.monotonic()

    def due(self, call_id: str) -> bool:
        """Whether to try it now."""
        tried = self._tried.get(call_id)
        return tried is None or time.monotonic() - tried >= self._again_seconds

    def defer(self, call_id: str, error: Exception) -> None:
        """It could not be priced: a line in the log where that is news, and one an hour about all that are left."""
        at, why = time.monotonic(), reason(error)
        self._tried[call_id] = at
        if self._told.get(call_id) != why:
            self._told[call_id] = why
            known = isinstance(error, TaxiphoneError | ValueError | DBAPIError)
            log.error(
                "call %s is over and can't be priced: %s. Its hold stays; the meter tries again every minute. "
                "To try at once: taxiphone call rate %s",
                call_id,
                why,
                call_id,
                exc_info=None if known else error,
            )
        elif at - self._summed_up >= self._summary_seconds:
            # One that was settled by somebody else is not tried any more.
            left = [each for each, tried in self._tried.items() if at - tried <= 3 * self._again_seconds]
            log.error(
                "%d call(s) still can't be priced: %s. See: taxiphone ledger check", len(left), named(left)
            )
            self._summed_up = at

    def settled(self, call_id: str) -> None:
        """It is priced or closed."""
        self._tried.pop(call_id, None)
        self._told.pop(call_id, None)
