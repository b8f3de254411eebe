"""Does a transaction again that the database took back for its own reasons: a deadlock, or a connection lost before the commit."""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

Resource = TypeVar("Resource")
Result = TypeVar("Result")

log = logging.getLogger(__name__)

# SQLSTATEs: serialization_failure, deadlock_detected, lock_not_available. Nothing of the transaction was kept.
_TAKEN_BACK = frozenset({"40001", "40P01", "55P03"})
# Another process took this key, or spent this balance, between our read and our write. The next try sees it.
_RACED = frozenset({"uq_posting_key", "uq_posting_reverses_id", "ck_account_never_negative"})
_RACES = 3


def until_done(
    work: Callable[[Resource], Result],
    begin: Callable[[], AbstractContextManager[Resource]],
    patience_seconds: float,
) -> Result:
    """Do `work` in a transaction, and again while nothing of it was kept and the patience lasts.

    Args:
        work: called with what `begin` yields. It must have no effect outside the transaction.
        begin: begins a transaction, which is committed at the end of the block.
        patience_seconds: for how long; 0: once.

    Raises:
        sqlalchemy.exc.DBAPIError: the database can't be reached, or refused. Where the connection was lost at the commit,
            nobody knows whether that took place, so the work is not done again.
    """
    give_up = time.monotonic() + patience_seconds
    for turn in itertools.count(1):
        stage = "connecting"
        try:
            with begin() as resource:
                stage = "working"
                result = work(resource)
                stage = "committing"
        except DBAPIError as error:
            if time.monotonic() >= give_up:
                raise
            if not (turn <= _RACES and raced(error)) and not _left_nothing(error, stage):
                raise
            log.info("a transaction failed and is tried again: %s", error.orig)
        else:
            return result
        # Jitter, so that two transactions that collided do not collide again.
        time.sleep(min(1.0, 0.01 * 2**turn) * random.uniform(0.5, 1))  # noqa: S311 - no secret
    raise AssertionError("unreachable")


def raced(error: DBAPIError) -> bool:
    """Whether another process was faster with the same posting or the same money (PostgreSQL)."""
    return getattr(getattr(error.orig, "diag", None), "constraint_name", None) in _RACED


def _left_nothing(error: DBAPIError, stage: str) -> bool:
    """Whether nothing of a transaction was kept, so that it can be retried."""
    if stage == "connecting" or getattr(error.orig, "sqlstate", None) in _TAKEN_BACK:
        return True
    return stage == "working" and error.connection_invalidated
