"""Whose a phone number is: the platform's, a client's or a consultant's; what each of them may be given.

Each function returns the number in E.164 and raises `UsageError` with one sentence where it can't be theirs.
"""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from taxiphone.directory import dialling, numbers
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.store.models import Client, ClientNumber, Consultant, ConsultantPhone, Did


def is_platforms(session: Session, settings: Settings, number: str) -> bool:
    """Whether a number (E.164) is the one that the platform calls from, or one that clients dial."""
    return number == settings.platform.cli or session.get(Did, number) is not None


def consultant_with(session: Session, number: str) -> Consultant | None:
    """A consultant who is rung on this number (E.164), be it the first phone or a further one."""
    further = select(ConsultantPhone.consultant_id).where(ConsultantPhone.number == number)
    return session.scalar(
        select(Consultant)
        .where(or_(Consultant.phone == number, Consultant.id.in_(further)))
        .order_by(Consultant.id)
        .limit(1)
    )


def for_client(session: Session, settings: Settings, text: str, owner: Client | None = None) -> str:
    """A number that a client calls from: not the platform's, and no other client's than `owner`'s."""
    if numbers.keypad_word(text):
        raise UsageError(
            f"{text!r} is what carriers send in the place of a withheld number: with it, every hidden caller would be taken "
            "for this client. To call from a hidden number, a client needs a PIN: taxiphone client pin."
        )
    number = numbers.e164(text, numbers.home_region(settings))
    if is_platforms(session, settings, number):
        raise UsageError(f"{number} is the platform's own number; a client calls from another.")
    found = session.get(ClientNumber, number)
    if found is not None and found.client is not owner:
        raise UsageError(f"{number} belongs to the client {found.client.name} ({found.client.code}) already.")
    return number


def for_consultant(session: Session, settings: Settings, text: str) -> str:
    """A phone that is rung for a consultant: not the platform's, and one that may be rung.

    Two consultants may share a phone: those of one practice do.
    """
    phone = numbers.e164(text, numbers.home_region(settings))
    if is_platforms(session, settings, phone):
        raise UsageError(f"{phone} is the platform's own number; a consultant needs another phone.")
    refused = dialling.refusal(phone, settings.platform)
    if refused is not None:
        raise UsageError(f"{phone} may not be rung: it {refused}.")
    return phone


def for_platform(session: Session, settings: Settings, text: str) -> str:
    """A number that clients dial: neither there already, nor a client's, nor a consultant's phone."""
    number = numbers.e164(text, numbers.home_region(settings))
    if session.get(Did, number) is not None:
        raise UsageError(f"{number} is one of the platform's numbers already. See: taxiphone number list")
    owner = session.get(ClientNumber, number)
    if owner is not None:
        raise UsageError(f"{number} is the number of the client {owner.client.name} ({owner.client.code}).")
    rung = consultant_with(session, number)
    if rung is not None:
        raise UsageError(f"{number} is the phone of the consultant {rung.name} ({rung.code}).")
    return number
