"""Finds, adds and changes the platform's numbers, which clients dial (DIDs).

Every function works in the caller's transaction. Functions that change something validate everything first and raise
`UsageError` before any change.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from taxiphone.directory import numbers, ownership, saving, validation
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


def did_dialled(session: Session, settings: Settings, text: str) -> tuple[str, Did | None]:
    """Return the dialled number and the platform's number, if it is one; see `did_of`."""
    return did_of(session, readings(settings, text), text)


def did_of(session: Session, readings: Sequence[str], text: str) -> tuple[str, Did | None]:
    """Return the dialled number, in E.164 if possible, and the platform's number with its consultant, if it is one.

    If the digits sent by the carrier are ambiguous, a reading that is a number of the platform is preferred.

    Args:
        session: a session.
        readings: what the number can mean (`readings`).
        text: the number as the carrier sent it.
    """
    found = session.scalars(
        select(Did).where(Did.number.in_(readings)).options(joinedload(Did.consultant))
    ).all()
    if found:
        likeliest = min(found, key=lambda each: readings.index(each.number))
        return likeliest.number, likeliest
    return readings[0] if readings else text, None


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
