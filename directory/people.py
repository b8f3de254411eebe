"""Finds, adds and changes consultants, clients and the platform's numbers.

Every function works in the caller's transaction. Functions that change something validate everything first and raise
`UsageError` before any change. Amounts are decimals in the platform's currency.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from taxiphone.directory import consultant_fields, numbers, ownership, validation
from taxiphone.directory.consultant_fields import ConsultantFields, ConsultantOptions
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.speech.prompt_texts import Languages
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Base, Call, Client, ClientNumber, Consultant, ConsultantPhone, Did


class ClientChanges(TypedDict, total=False):
    """The fields of a client that can be changed. A daily limit (minor units) of None removes it."""

    name: str
    language: str
    blocked: bool
    daily_limit: int | None
    add_phones: Iterable[str]
    remove_phones: Iterable[str]


# -- finding ------------------------------------------------------------------------------------------------------


def client_calling(session: Session, number: str | None) -> Client | None:
    """Return the client who calls from this number (E.164)."""
    found = None if number is None else session.get(ClientNumber, number)
    return None if found is None else found.client


def did(session: Session, number: str | None) -> Did | None:
    """Return the platform's number with these digits (E.164)."""
    return None if number is None else session.get(Did, number)


def did_dialled(session: Session, settings: Settings, text: str) -> tuple[str, Did | None]:
    """Return the dialled number, in E.164 if possible, and the platform's number if it is one.

    If the digits sent by the carrier are ambiguous, a reading that is a number of the platform is preferred.
    """
    read = numbers.dialled(text, numbers.home_region(settings), settings.trunk.number_format)
    found = next((each for each in (did(session, number) for number in read) if each is not None), None)
    if found is not None:
        return found.number, found
    return read[0] if read else text, None


def consultant_by_code(session: Session, code: str) -> Consultant | None:
    """Return the consultant with this code."""
    return session.scalar(select(Consultant).where(Consultant.code == code))


def last_consultant(session: Session, client: Client) -> Consultant | None:
    """Return the consultant of the client's last talk; None if there was none."""
    return session.scalar(
        select(Consultant)
        .join(Call, Call.consultant_id == Consultant.id)
        .where(Call.client_id == client.id, Call.outcome == Outcome.TALKED)
        .order_by(Call.arrived_at.desc(), Call.id.desc())
        .limit(1)
    )


def client_by(session: Session, settings: Settings, text: str) -> Client | None:
    """Return the client with this code, or with this phone number in any notation."""
    found = session.scalar(select(Client).where(Client.code == text.strip()))
    return found or client_calling(session, _number(text, settings))


def _number(text: str, settings: Settings) -> str | None:
    try:
        return numbers.e164(text, numbers.home_region(settings))
    except UsageError:
        return None


def the_consultant(session: Session, code: str) -> Consultant:
    """Return the consultant with this code.

    Raises:
        UsageError: there is no such consultant.
    """
    found = consultant_by_code(session, code)
    if found is None:
        raise UsageError(f"there is no consultant with the code {code!r}. See: taxiphone consultant list")
    return found


def the_client(session: Session, settings: Settings, text: str) -> Client:
    """Return the client with this code or phone number.

    Raises:
        UsageError: there is no such client.
    """
    found = client_by(session, settings, text)
    if found is None:
        raise UsageError(f"there is no client with the code or number {text!r}. See: taxiphone client list")
    return found


# -- consultants --------------------------------------------------------------------------------------------------


def phones(session: Session, consultant: Consultant) -> list[str]:
    """Return the consultant's phones (E.164) in their order."""
    further = select(ConsultantPhone.number).where(ConsultantPhone.consultant_id == consultant.id)
    return [consultant.phone, *session.scalars(further.order_by(ConsultantPhone.position))]


def takes_calls(consultant: Consultant, at: datetime) -> bool:
    """Tell whether the consultant is available and not paused at that time. The end of a pause does not belong to it."""
    return consultant.available and (consultant.paused_until is None or consultant.paused_until <= at)


def pause(session: Session, consultant_id: int, until: datetime) -> None:
    """Give the consultant no calls until the given time."""
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
    rung = consultant_fields.phones_after(session, settings, [checked["phone"]], more=more_phones)
    if code is None:
        code = validation.generate_code(
            4, lambda generated: consultant_by_code(session, generated) is not None
        )
    validation.code(code, shortest=2)
    taken = f"the code {code} is already in use. Choose another one, or omit --code."
    if consultant_by_code(session, code) is not None:
        raise UsageError(taken)
    consultant = Consultant(code=code, **checked)
    consultant_fields.set_more_phones(consultant, rung[1:])
    _insert(session, consultant, taken)
    return consultant


def set_consultant(
    session: Session,
    settings: Settings,
    code: str,
    *,
    more_phones: Iterable[str] = (),
    remove_phones: Iterable[str] = (),
    **changes: Unpack[ConsultantFields],
) -> Consultant:
    """Change a consultant. Calls in progress keep the tariff with which they were accepted.

    Making a consultant available also ends a pause.

    Raises:
        UsageError: there is no such consultant, or a value is invalid; nothing was changed.
    """
    consultant = the_consultant(session, code)
    rung = consultant_fields.phones_after(
        session,
        settings,
        phones(session, consultant),
        first=changes.get("phone"),
        more=more_phones,
        gone=remove_phones,
    )
    fields: ConsultantFields = {**consultant_fields.now(consultant), **changes, "phone": rung[0]}
    for key, value in consultant_fields.checked(session, settings, fields).items():
        setattr(consultant, key, value)
    consultant_fields.set_more_phones(consultant, rung[1:])
    if changes.get("available"):
        consultant.paused_until = None
    _flush(session, "the consultant's phones were changed at the same time. Try again.")
    return consultant


# -- clients ------------------------------------------------------------------------------------------------------


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
    taken = [ownership.for_client(session, settings, phone) for phone in phones]
    _insert(session, client, "another client was added at the same time. Try again.")
    for number in dict.fromkeys(taken):
        client.numbers.append(ClientNumber(number=number))
    _flush(session, _NUMBER_GIVEN_AWAY)
    return client


def set_client(session: Session, settings: Settings, who: str, **changes: Unpack[ClientChanges]) -> Client:
    """Change a client.

    Raises:
        UsageError: there is no such client, or a value is invalid; nothing was changed.
    """
    client = the_client(session, settings, who)
    has = {entry.number: entry for entry in client.numbers}
    gone = [numbers.e164(phone, numbers.home_region(settings)) for phone in changes.get("remove_phones", ())]
    for number in gone:
        if number not in has:
            raise UsageError(f"{number} is not a number of {client.name}.")
    new = [ownership.for_client(session, settings, phone, client) for phone in changes.get("add_phones", ())]
    name = validation.name(changes.get("name", client.name))
    language = validation.language(
        changes.get("language", client.language), Languages.of_state(settings.state)
    )
    client.name, client.language = name, language
    client.blocked = changes.get("blocked", client.blocked)
    client.daily_limit = changes.get("daily_limit", client.daily_limit)
    for number in set(gone):
        client.numbers.remove(has[number])
    for number in dict.fromkeys(new):
        if number not in has:
            client.numbers.append(ClientNumber(number=number))
    _flush(session, _NUMBER_GIVEN_AWAY)
    return client


_NUMBER_GIVEN_AWAY = (
    "one of the numbers was given to another client at the same time. See: taxiphone client list"
)


# -- the platform's numbers -----------------------------------------------------------------------------------------


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
    _insert(session, added, f"{plain} was added at the same time. See: taxiphone number list")
    return added


def set_number(
    session: Session,
    settings: Settings,
    number: str,
    *,
    consultant_code: str | None = None,
    everybody: bool = False,
    language: str | None = None,
) -> Did:
    """Change the consultant or the language of one of the platform's numbers.

    Raises:
        UsageError: there is no such number or consultant; nothing was changed.
    """
    plain = numbers.e164(number, numbers.home_region(settings))
    found = did(session, plain)
    if found is None:
        raise UsageError(f"{plain} is not one of the platform's numbers. See: taxiphone number list")
    if consultant_code is not None:
        found.consultant = the_consultant(session, consultant_code)
    elif everybody:
        found.consultant = None
    if language is not None:
        found.language = validation.language(language, Languages.of_state(settings.state))
    session.flush()
    return found


def _insert(session: Session, row: Base, taken: str) -> None:
    session.add(row)
    _flush(session, taken)


def _flush(session: Session, taken: str) -> None:
    """Flush; if a concurrent transaction was first (PostgreSQL), raise `UsageError` with the message `taken`."""
    try:
        session.flush()
    except IntegrityError:
        raise UsageError(taken) from None
