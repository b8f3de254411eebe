"""Checks who a phone number belongs to, and whether a client, a consultant or the platform may be given it.

The `for_` functions return the number in E.164 and raise `UsageError` if it can't be assigned. Numbers are in four tables, so
no constraint of the database keeps one from being a client's and the platform's at once. Whoever assigns a number first takes
one lock, which the `for_` functions do (`lock`).
"""

from __future__ import annotations

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from taxiphone.directory import dialling, numbers
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.store.models import Client, ClientNumber, Consultant, ConsultantPhone, Did

_ADVISORY_LOCK = 7420


def lock(session: Session) -> None:
    """Let other transactions that assign numbers wait until this one ends. SQLite has only one writer anyway."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def is_platforms(session: Session, settings: Settings, number: str) -> bool:
    """Tell whether a number (E.164) is the one that the platform calls from, or one that clients dial."""
    return number == settings.platform.cli or session.get(Did, number) is not None


def consultant_with(session: Session, number: str) -> Consultant | None:
    """Return a consultant who has this phone (E.164), as the first or a further one."""
    further = select(ConsultantPhone.consultant_id).where(ConsultantPhone.number == number)
    return session.scalar(
        select(Consultant)
        .where(or_(Consultant.phone == number, Consultant.id.in_(further)))
        .order_by(Consultant.id)
        .limit(1)
    )


def for_client(session: Session, settings: Settings, text: str, owner: Client | None = None) -> str:
    """Validate a number that a client calls from: neither the platform's nor another client's."""
    if numbers.keypad_word(text):
        raise UsageError(
            f"{text!r} is what carriers send instead of a withheld number, so every hidden caller would be treated as this "
            "client. To call from a hidden number, a client needs a PIN. Run: taxiphone client pin"
        )
    number = numbers.e164(text, numbers.home_region(settings))
    lock(session)
    if is_platforms(session, settings, number):
        raise UsageError(f"{number} is a number of the platform, so it can't be a client's.")
    entry = session.get(ClientNumber, number)
    if entry is not None and entry.client is not owner:
        raise UsageError(f"{number} already belongs to the client {entry.client.name} ({entry.client.code}).")
    return number


def for_consultant(session: Session, settings: Settings, text: str) -> str:
    """Validate a consultant's phone: not the platform's, and allowed to be dialled.

    Two consultants may share a phone, for example in one practice.
    """
    phone = numbers.e164(text, numbers.home_region(settings))
    lock(session)
    if is_platforms(session, settings, phone):
        raise UsageError(f"{phone} is a number of the platform, so it can't be a consultant's phone.")
    refusal = dialling.refusal(phone, settings.platform)
    if refusal is not None:
        raise UsageError(f"{phone} may not be dialled: it {refusal}.")
    return phone


def for_platform(session: Session, settings: Settings, text: str) -> str:
    """Validate a number that clients dial: not registered yet, and neither a client's nor a consultant's."""
    number = numbers.e164(text, numbers.home_region(settings))
    lock(session)
    if session.get(Did, number) is not None:
        raise UsageError(f"{number} is already a number of the platform. See: taxiphone number list")
    owner = session.get(ClientNumber, number)
    if owner is not None:
        raise UsageError(f"{number} belongs to the client {owner.client.name} ({owner.client.code}).")
    consultant = consultant_with(session, number)
    if consultant is not None:
        raise UsageError(f"{number} is a phone of the consultant {consultant.name} ({consultant.code}).")
    return number
