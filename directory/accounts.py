"""What is done to a client's account: a PIN for it, the end of a pause, closing and opening it.

Every function works in the caller's transaction.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.directory import sign_in
from taxiphone.errors import UsageError
from taxiphone.store.calls import OPEN
from taxiphone.store.models import Call, Client
from taxiphone.store.types import now


def known(client: Client) -> tuple[str, ...]:
    """What others may know of the client, so that no PIN is a part of it: the code and the numbers."""
    return (client.code, *(entry.number for entry in client.numbers))


def set_pin(session: Session, client: Client, pin_hash: str) -> None:
    """Give the client another PIN, by its hash. What was counted against the one before is forgotten."""
    client.pin_hash = pin_hash
    sign_in.forgive(session, client)


def close(session: Session, client: Client) -> None:
    """Close the account: no call any more. One that is closed already keeps its day.

    Raises:
        UsageError: a call of theirs is not priced yet, so that money is still to be taken or given back.
    """
    unfinished = select(Call).where(Call.client_id == client.id, Call.status.in_(OPEN))
    call = session.scalar(unfinished.order_by(Call.arrived_at).limit(1))
    if call is not None:
        raise UsageError(
            f"the call {call.id} of {client.name}'s is not over and priced yet (it is {call.status}); nothing was closed. "
            f"So that no other begins: taxiphone client set {client.code} --block. Then close the account again."
        )
    client.closed_at = client.closed_at or now()


def reopen(client: Client) -> None:
    """Let a closed account call again."""
    client.closed_at = None
