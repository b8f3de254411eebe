"""Gaps: rows of Asterisk's event log that are missing, or may be. Each is reported until a person settles it."""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.errors import UsageError
from taxiphone.store.idempotent import insert_if_new
from taxiphone.store.models import LogGap
from taxiphone.store.types import now

log = logging.getLogger(__name__)

ADVICE = "Calls of that time may be priced too low, or not at all: taxiphone call list. Then: taxiphone ledger gaps --settle"
_LONGEST = 400


def note(session: Session, key: str, text: str) -> None:
    """Record a gap, once per key; `text` is one sentence for the operator."""
    if session.scalars(select(LogGap.id).where(LogGap.key == key)).first() is None:
        log.error("rows of Asterisk's event log may be lost: %s", text)
        insert_if_new(
            session.connection(), LogGap, [{"key": key[:120], "text": text[:_LONGEST], "noticed_at": now()}]
        )


def find(session: Session) -> list[LogGap]:
    """Return every gap that is not settled, oldest first."""
    return list(session.scalars(select(LogGap).where(LogGap.settled_at.is_(None)).order_by(LogGap.id)))


def settle(session: Session, gap_id: int, why: str) -> LogGap:
    """Record that a person has dealt with a gap, so that it is no longer reported.

    Raises:
        UsageError: there is no such gap, or `why` is not one line.
    """
    gap = session.get(LogGap, gap_id)
    if gap is None:
        raise UsageError(f"there is no gap {gap_id} in Asterisk's event log. See: taxiphone ledger gaps")
    if not why.strip() or len(why) > 200 or not why.isprintable():  # noqa: PLR2004 - the column's length
        raise UsageError("a reason is one line of 1 to 200 characters.")
    gap.settled_at, gap.settled_why = now(), why
    return gap
