"""Finds out, for a call that has arrived, whose number was dialled and who calls. Reads only, without the ORM's sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.orm.attributes import set_committed_value

from taxiphone.settings import Settings
from taxiphone.store.detached import columns, detached
from taxiphone.store.models import Client, Consultant, Did
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.tables import CLIENT_NUMBER, CONSULTANT, CONSULTANT_PHONE, DID

_WIDTH = len(DID.c)
_Columns = tuple[Any, ...]

_DIALLED: Prepared[_Columns] = Prepared(
    select(*columns(Did), *columns(Consultant))
    .select_from(DID.outerjoin(CONSULTANT))
    .where(DID.c.number == bindparam("number")),
    tuple,
)
_CALLING: Prepared[_Columns] = Prepared(
    select(*columns(Client)).join(CLIENT_NUMBER).where(CLIENT_NUMBER.c.number == bindparam("number")), tuple
)
_FURTHER_PHONES: Prepared[str] = Prepared(
    select(CONSULTANT_PHONE.c.number)
    .where(CONSULTANT_PHONE.c.consultant_id == bindparam("consultant"))
    .order_by(CONSULTANT_PHONE.c.position),
    scalar,
)


def dialled(connection: Connection, readings: Sequence[str], text: str) -> tuple[str, Did | None]:
    """Return the dialled number, in E.164 if possible, and the platform's number with its consultant, if it is one.

    If the digits sent by the carrier are ambiguous, a reading that is a number of the platform is preferred.

    Args:
        connection: the connection of a transaction.
        readings: what the number can mean (`dids.readings`).
        text: the number as the carrier sent it.
    """
    for reading in readings:
        row = _DIALLED.first(connection, {"number": reading})
        if row is not None:
            did = detached(Did, row[:_WIDTH])
            if did is not None:
                set_committed_value(did, "consultant", detached(Consultant, row[_WIDTH:]))
            return reading, did
    return readings[0] if readings else text, None


def client_calling(connection: Connection, number: str | None) -> Client | None:
    """Return the client who calls from this number (E.164)."""
    row = None if number is None else _CALLING.first(connection, {"number": number})
    return None if row is None else detached(Client, row)


def language(settings: Settings, client: Client | None, did: Did | None) -> str:
    """Return the language for a caller: the client's own, else the dialled number's, else the platform's."""
    return (client or did or settings.platform).language


def phones(connection: Connection, consultant: Consultant) -> list[str]:
    """Return the consultant's phones (E.164) in their order."""
    return [consultant.phone, *_FURTHER_PHONES.all(connection, {"consultant": consultant.id})]
