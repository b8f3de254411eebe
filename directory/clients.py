"""Finds, adds and changes clients.

Every function works in the caller's transaction. Functions that change something validate everything first and raise
`UsageError` before any change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.directory import numbers, ownership, saving, validation
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.speech.prompt_texts import Languages
from taxiphone.store.models import Client, ClientNumber

_NUMBER_GIVEN_AWAY = (
    "one of the numbers was given to another client at the same time. See: taxiphone client list"
)


class ClientChanges(TypedDict, total=False):
    """The fields of a client that can be changed. A daily limit (minor units) of None removes it."""

    name: str
    language: str
    blocked: bool
    daily_limit: int | None
    add_phones: Iterable[str]
    remove_phones: Iterable[str]


def client_calling(session: Session, number: str | None) -> Client | None:
    """Return the client who calls from this number (E.164)."""
    if number is None:
        return None
    return session.scalar(
        select(Client)
        .join(ClientNumber, ClientNumber.client_id == Client.id)
        .where(ClientNumber.number == number)
    )


def client_by(session: Session, settings: Settings, text: str) -> Client | None:
    """Return the client with this code, or with this phone number in any notation."""
    client = session.scalar(select(Client).where(Client.code == text.strip()))
    return client or client_calling(session, _number(text, settings))


def _number(text: str, settings: Settings) -> str | None:
    try:
        return numbers.e164(text, numbers.home_region(settings))
    except UsageError:
        return None


def the_client(session: Session, settings: Settings, text: str) -> Client:
    """Return the client with this code or phone number.

    Raises:
        UsageError: there is no such client.
    """
    client = client_by(session, settings, text)
    if client is None:
        raise UsageError(f"there is no client with the code or number {text!r}. See: taxiphone client list")
    return client


def add_client(
    session: Session, settings: Settings, *, name: str, phones: Iterable[str], language: str | None = None
) -> Client:
    """Add a client with the numbers that they call from and a generated code.

    Raises:
        UsageError: a value is invalid, or a number belongs to another client; nothing was added.
    """
    client = Client(
        code=validation.generate_code(
            8, lambda generated: session.scalar(select(Client.id).where(Client.code == generated)) is not None
        ),
        name=validation.name(name),
        language=validation.language(
            language or settings.platform.language, Languages.of_state(settings.state)
        ),
    )
    new = [ownership.for_client(session, settings, phone) for phone in phones]
    saving.insert(session, client, "another client was added at the same time. Try again.", Client.code)
    for number in dict.fromkeys(new):
        client.numbers.append(ClientNumber(number=number))
    saving.flush(session, _NUMBER_GIVEN_AWAY, ClientNumber.number)
    return client


def set_client(
    session: Session,
    settings: Settings,
    who: str,
    *,
    expected_version: int | None = None,
    **changes: Unpack[ClientChanges],
) -> Client:
    """Change a client.

    Args:
        session: a session in a transaction that writes.
        settings: the settings.
        who: the client's code or number.
        expected_version: the version that the change is based on; None if it was read in this transaction.
        changes: the new values.

    Raises:
        UsageError: there is no such client, or a value is invalid; nothing was changed.
        OutdatedError: the client has another version; nothing was changed.
    """
    client = the_client(session, settings, who)
    saving.edit(session, client, expected_version)
    entries = {entry.number: entry for entry in client.numbers}
    region = numbers.home_region(settings)
    removed = [numbers.e164(phone, region) for phone in changes.get("remove_phones", ())]
    for number in removed:
        if number not in entries:
            raise UsageError(f"{number} is not a number of {client.name}.")
    new = [ownership.for_client(session, settings, phone, client) for phone in changes.get("add_phones", ())]
    name = validation.name(changes.get("name", client.name))
    language = validation.language(
        changes.get("language", client.language), Languages.of_state(settings.state)
    )
    client.name, client.language = name, language
    client.blocked = changes.get("blocked", client.blocked)
    client.daily_limit = changes.get("daily_limit", client.daily_limit)
    for number in set(removed):
        client.numbers.remove(entries[number])
    for number in dict.fromkeys(new):
        if number not in entries:
            client.numbers.append(ClientNumber(number=number))
    saving.flush(session, _NUMBER_GIVEN_AWAY, ClientNumber.number)
    return client
