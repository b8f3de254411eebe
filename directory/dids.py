"""Finds, adds and changes the platform's numbers, which clients dial (DIDs).

Every function works in the caller's transaction. Functions that change something validate everything first and raise
`UsageError` before any change.
"""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from taxiphone.directory import lookup, numbers, ownership, saving, validation
from taxiphone.directory.consultants import the_consultant
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.speech.prompt_texts import Languages
from taxiphone.store.models import Did


def did(session: Session, number: str | None) -> Did | None:
    """Return the platform's number with these digits (E.164)."""
    return None if number is None else session.get(Did, number)


def readings(settings: Settings, text: str) -> list[str]:
    """Return the numbers in E.164 that a dialled number can mean, in order of likelihood."""
    return numbers.dialled(text, numbers.home_region(settings), settings.trunk.number_format)


def did_dialled(connection: Connection, settings: Settings, text: str) -> tuple[str, Did | None]:
    """Return the dialled number and the platform's number, if it is one; see `lookup.dialled`."""
    return lookup.dialled(connection, readings(settings, text), text)


def add_number(
    session: Session,
    settings: Settings,
    *,
    number: str,
    consultant_code: str | None = None,
    language: str | None = None,
) -> Did:
    """Add a number that clients dial. It belongs to the consultant with the given code, or is shared by all.

    Raises:
        UsageError: a value is invalid; nothing was added.
    """
    plain = ownership.for_platform(session, settings, number)
    consultant = None if consultant_code is None else the_consultant(session, consultant_code)
    added = Did(
        number=plain,
        consultant=consultant,
        language=validation.language(
            language or settings.platform.language, Languages.of_state(settings.state)
        ),
    )
    saving.insert(
        session, added, f"{plain} was added at the same time. See: taxiphone number list", Did.number
    )
    return added


def set_number(
    session: Session,
    settings: Settings,
    number: str,
    *,
    expected_version: int | None = None,
    consultant_code: str | None = None,
    everybody: bool = False,
    language: str | None = None,
) -> Did:
    """Change the consultant or the language of one of the platform's numbers.

    Args:
        session: a session in a transaction that writes.
        settings: the settings.
        number: the number, in any notation.
        expected_version: the version that the change is based on; None if it was read in this transaction.
        consultant_code: the consultant whose number it becomes.
        everybody: share the number.
        language: the new language.

    Raises:
        UsageError: there is no such number or consultant; nothing was changed.
        OutdatedError: the number has another version; nothing was changed.
    """
    plain = numbers.e164(number, numbers.home_region(settings))
    found = did(session, plain)
    if found is None:
        raise UsageError(f"{plain} is not one of the platform's numbers. See: taxiphone number list")
    saving.edit(session, found, expected_version)
    if consultant_code is not None:
        found.consultant = the_consultant(session, consultant_code)
    elif everybody:
        found.consultant = None
    if language is not None:
        found.language = validation.language(language, Languages.of_state(settings.state))
    session.flush()
    return found
