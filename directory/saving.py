"""Writes rows of the directory, and says it in one sentence if another transaction was first."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from taxiphone.errors import UsageError
from taxiphone.store.models import Base


def insert(session: Session, row: Base, taken: str) -> None:
    """Add a row and flush.

    Raises:
        UsageError: a concurrent transaction was first (PostgreSQL); the message is `taken`.
    """
    session.add(row)
    flush(session, taken)


def flush(session: Session, taken: str) -> None:
    """Write the changes of the session.

    Raises:
        UsageError: a concurrent transaction was first (PostgreSQL); the message is `taken`.
    """
    try:
        session.flush()
    except IntegrityError:
        raise UsageError(taken) from None
