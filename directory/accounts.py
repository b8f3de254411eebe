"""Operations on a client's account: set its PIN, close it and reopen it.

Every function works in the caller's transaction.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.directory import saving, sign_in
from taxiphone.errors import UsageError
from taxiphone.store.calls import OPEN
from taxiphone.store.models import Call, Client
from taxiphone.store.types import now


def guessable(client: Client) -> tuple[str, ...]:
    """Return the client's code and numbers, which others may know, so that no PIN is a part of them."""
    return (client.code, *(entry.number for entry in client.numbers))


def set_pin(session: Session, client: Client, pin_hash: str) -> None:
    """Set the hash of the client's PIN and reset the failures counted for the previous PIN."""
    client.pin_hash = pin_hash
    sign_in.reset_failures(session, client)


def close(session: Session, client: Client) -> None:
    """Close the account, so that no more calls are accepted. An account that is closed already keeps its date.

    Raises:
        UsageError: a call of the client is not priced yet, so an amount is still to be charged or released.
    """
    # Locked, so that a call that is being accepted is seen, or sees that the account is closed.
    saving.edit(session, client, None)
    unfinished = select(Call).where(Call.client_id == client.id, Call.status.in_(OPEN))
    call = session.scalar(unfinished.order_by(Call.arrived_at).limit(1))
    if call is not None:
        raise UsageError(
            f"call {call.id} of {client.name} is not finished and priced yet (status: {call.status}), so the account was not "
            f"closed. To prevent new calls, run: taxiphone client set {client.code} --block. Then try again."
        )
    client.closed_at = client.closed_at or now()


def reopen(session: Session, client: Client) -> None:
    """Reopen a closed account."""
    saving.edit(session, client, None)
    client.closed_at = None
