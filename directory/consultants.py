"""Finds, adds and changes consultants.

Every function works in the caller's transaction. Functions that change something validate everything first and raise
`UsageError` before any change.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.directory import consultant_fields, lookup, saving, validation
from taxiphone.directory.consultant_fields import ConsultantFields, ConsultantOptions
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Call, Client, Consultant


def consultant_by_code(session: Session, code: str) -> Consultant | None:
    """Return the consultant with this code."""
    return session.scalar(select(Consultant).where(Consultant.code == code))


def the_consultant(session: Session, code: str) -> Consultant:
    """Return the consultant with this code.

    Raises:
        UsageError: there is no such consultant.
    """
    consultant = consultant_by_code(session, code)
    if consultant is None:
        raise UsageError(f"there is no consultant with the code {code!r}. See: taxiphone consultant list")
    return consultant


def last_consultant(session: Session, client: Client) -> Consultant | None:
    """Return the consultant of the client's last talk; None if there was none."""
    return session.scalar(
        select(Consultant)
        .join(Call, Call.consultant_id == Consultant.id)
        .where(Call.client_id == client.id, Call.outcome == Outcome.TALKED)
        .order_by(Call.arrived_at.desc(), Call.id.desc())
        .limit(1)
    )


def takes_calls(consultant: Consultant, at: datetime) -> bool:
    """Tell whether the consultant is available and not paused at that time. A pause excludes its end."""
    return is_free(consultant.available, consultant.paused_until, at)


def is_free(available: bool, paused_until: datetime | None, at: datetime) -> bool:
    """Tell the same from the columns of the consultant's row."""
    return available and (paused_until is None or paused_until <= at)


def pause(session: Session, consultant_id: int, until: datetime) -> None:
    """Pause the consultant: they get no calls until the given time."""
    session.get_one(Consultant, consultant_id).paused_until = until


def add_consultant(
    session: Session,
    settings: Settings,
    *,
    name: str,
    phone: str,
    price_per_minute: Decimal,
    code: str | None = None,
    more_phones: Iterable[str] = (),
    **options: Unpack[ConsultantOptions],
) -> Consultant:
    """Add a consultant. Without a code, one is generated.

    Raises:
        UsageError: a value is invalid; nothing was added.
    """
    fields: ConsultantFields = {
        "language": settings.platform.language,
        "name": name,
        "phone": phone,
        "price_per_minute": price_per_minute,
        **options,
    }
    checked = consultant_fields.checked(session, settings, fields)
    all_phones = consultant_fields.phones_after(session, settings, [checked["phone"]], more=more_phones)
    if code is None:
        code = validation.generate_code(
            4, lambda generated: consultant_by_code(session, generated) is not None
        )
    validation.code(code, shortest=2)
    code_in_use = f"the code {code} is already in use. Choose another one, or omit --code."
    if consultant_by_code(session, code) is not None:
        raise UsageError(code_in_use)
    consultant = Consultant(code=code, **checked)
    consultant_fields.set_more_phones(consultant, all_phones[1:])
    saving.insert(session, consultant, code_in_use, Consultant.code)
    return consultant


def set_consultant(
    session: Session,
    settings: Settings,
    code: str,
    *,
    expected_version: int | None = None,
    more_phones: Iterable[str] = (),
    remove_phones: Iterable[str] = (),
    **changes: Unpack[ConsultantFields],
) -> Consultant:
    """Change a consultant. Calls in progress keep the tariff with which they were accepted.

    Making a consultant available also ends a pause.

    Args:
        session: a session in a transaction that writes.
        settings: the settings.
        code: the consultant's code.
        expected_version: the version that the change is based on; None if it was read in this transaction.
        more_phones: phones to add.
        remove_phones: phones to remove.
        changes: the new values.

    Raises:
        UsageError: there is no such consultant, or a value is invalid; nothing was changed.
        OutdatedError: the consultant has another version; nothing was changed.
    """
    consultant = the_consultant(session, code)
    saving.edit(session, consultant, expected_version)
    all_phones = consultant_fields.phones_after(
        session,
        settings,
        lookup.phones(session.connection(), consultant),
        first=changes.get("phone"),
        more=more_phones,
        gone=remove_phones,
    )
    fields: ConsultantFields = {**consultant_fields.now(consultant), **changes, "phone": all_phones[0]}
    for key, value in consultant_fields.checked(session, settings, fields).items():
        setattr(consultant, key, value)
    consultant_fields.set_more_phones(consultant, all_phones[1:])
    if changes.get("available"):
        consultant.paused_until = None
    session.flush()
    return consultant
