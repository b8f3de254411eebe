"""Finds out, for a call that has arrived, whose number was dialled and who calls. Reads only, without the ORM's sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Connection, Table, bindparam, select
from sqlalchemy.orm.attributes import set_committed_value

from taxiphone.store.detached import columns, detached
from taxiphone.store.models import Client, ClientNumber, Consultant, ConsultantPhone, Did

_DID, _CONSULTANT = cast(Table, Did.__table__), cast(Table, Consultant.__table__)
_CLIENT, _NUMBER = cast(Table, Client.__table__), cast(Table, ClientNumber.__table__)
_PHONE = cast(Table, ConsultantPhone.__table__)
_WIDTH = len(_DID.c)

_DIALLED = (
    select(*columns(Did), *columns(Consultant))
    .select_from(_DID.outerjoin(_CONSULTANT))
    .where(_DID.c.number.in_(bindparam("readings", expanding=True)))
)
_CALLING = select(*columns(Client)).join(_NUMBER).where(_NUMBER.c.number == bindparam("number"))
_FURTHER_PHONES = (
    select(_PHONE.c.number)
    .where(_PHONE.c.consultant_id == bindparam("consultant"))
    .order_by(_PHONE.c.position)
)


def dialled(connection: Connection, readings: Sequence[str], text: str) -> tuple[str, Did | None]:
    """Return the dialled number, in E.164 if possible, and the platform's number with its consultant, if it is one.

    If the digits sent by the carrier are ambiguous, a reading that is a number of the platform is preferred.

    Args:
        connection: the connection of a transaction.
        readings: what the number can mean (`dids.readings`).
        text: the number as the carrier sent it.
    """
    found = connection.execute(_DIALLED, {"readings": list(readings)}).all() if readings else []
    if not found:
        return readings[0] if readings else text, None
    likeliest = min(found, key=lambda row: readings.index(row[0]))
    did = detached(Did, likeliest[:_WIDTH])
    if did is not None:
        set_committed_value(did, "consultant", detached(Consultant, likeliest[_WIDTH:]))
    return likeliest[0], did


def client_calling(connection: Connection, number: str | None) -> Client | None:
    """Return the client who calls from this number (E.164)."""
    row = None if number is None else connection.execute(_CALLING, {"number": number}).first()
    return None if row is None else detached(Client, row)


def phones(connection: Connection, consultant: Consultant) -> list[str]:
    """Return the consultant's phones (E.164) in their order."""
    further = connection.execute(_FURTHER_PHONES, {"consultant": consultant.id}).scalars()
    return [consultant.phone, *further]
