"""Lets a unit of work that needs the ORM take part in a transaction that was begun on a plain connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection

if TYPE_CHECKING:
    from sqlalchemy.orm import Session
    from sqlalchemy.orm.session import JoinTransactionMode

Result = TypeVar("Result")


def in_session(work: Callable[[Session], Result]) -> Callable[[Connection], Result]:
    """Return a unit of work that calls `work` with a session on the connection of its transaction.

    On SQLite the session has a savepoint of its own, so that a flush that fails does not take the group's transaction
    with it.
    """

    def unit(connection: Connection) -> Result:
        from sqlalchemy.orm import Session  # noqa: PLC0415 - commands that only read do not need the ORM

        mode: JoinTransactionMode = (
            "create_savepoint" if connection.dialect.name == "sqlite" else "rollback_only"
        )
        with Session(connection, join_transaction_mode=mode, expire_on_commit=False) as session:
            result = work(session)
            session.commit()
            return result

    return unit
