"""Who is who: finding and keeping consultants, clients and the platform's numbers.

Every function works in the caller's transaction. What changes something checks all of it first and raises
`UsageError` with one sentence, so that nothing is left half-done. Amounts are decimals of the platform's currency.
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
    """What can be changed of a client; a daily limit (minor units) of None takes it away."""

    name: str
    language: str
    blocked: bool
    daily_limit: int | None
    add_phones: Iterable[str]
    remove_phones: Iterable[str]


# -- finding ------------------------------------------------------------------------------------------------------


def client_calling(session: Session, number: str | None) -> Client | None:
    """The client who calls from this number (E.164)."""
    found = None if number is None else session.get(ClientNumber, number)
    return None if found is None else found.client


def did(session: Session, number: str | None) -> Did | None:
    """The platform's number that was dialled (E.164)."""
    return None if number is None else session.get(Did, number)


def did_dialled(session: Session, settings: Settings, text: str) -> tuple[str, Did | None]:
    """The number that was dialled, from what the carrier sent, and the platform's number that it is, if it is one.

    In E.164, as far as it can be read. Digits that can be read in two ways are the platform's number, if one of them is.
    """
    read = numbers.dialled(text, numbers.home_region(settings), settings.trunk.number_format)
    found = next((each for each in (did(session, number) for number in read) if each is not None), None)
    if found is not None:
        return found.number, found
    return read[0] if read else text, None


def consultant_by_code(session: Session, code: str) -> Consultant | None:
    """The consultant whose code a client keyed in."""
    return session.scalar(select(Consultant).where(Consultant.code == code))


def last_consultant(session: Session, client: Client) -> Consultant | None:
    """Whom the client talked with the last time; None where they have not talked with anybody yet."""
    return session.scalar(
        select(Consultant)
        .join(Call, Call.consultant_id == Consultant.id)
        .where(Call.client_id == client.id, Call.outcome == Outcome.TALKED)
        .order_by(Call.arrived_at.desc(), Call.id.desc())
        .limit(1)
    )


def client_by(session: Session, settings: Settings, text: str) -> Client | None:
    """The client with this code, or with this number in any way a person writes it."""
    found = session.scalar(select(Client).where(Client.code == text.strip()))
    return found or client_calling(session, _number(text, settings))


def _number(text: str, settings: Settings) -> str | None:
    try:
        return numbers.e164(text, numbers.home_region(settings))
    except UsageError:
        return None


def the_consultant(session: Session, code: str) -> Consultant:
    """Like `consultant_by_code`.

    Raises:
        UsageError: there is none.
    """
    found = consultant_by_code(session, code)
    if found is None:
        raise UsageError(f"there is no consultant with the code {code!r}. See: taxiphone consultant list")
    return found


def the_client(session: Session, settings: Settings, text: str) -> Client:
    """Like `client_by`.

    Raises:
        UsageError: there is none.
    """
    found = client_by(session, settings, text)
    if found is None:
        raise UsageError(f"there is no client with the code or number {text!r}. See: taxiphone client list")
    return found


# -- consultants --------------------------------------------------------------------------------------------------


def phones(session: Session, consultant: Consultant) -> list[str]:
    """The consultant's phones (E.164): the first, then the further ones in their order."""
    further = select(ConsultantPhone.number).where(ConsultantPhone.consultant_id == consultant.id)
    return [consultant.phone, *session.scalars(further.order_by(ConsultantPhone.position))]


def takes_calls(consultant: Consultant, at: datetime) -> bool:
    """Whether the consultant is available and, at that time, not paused; the end of the pause is outside it."""
    return consultant.available and (consultant.paused_until is None or consultant.paused_until <= at)


def pause(session: Session, consultant_id: int, until: datetime) -> None:
    """Put no calls through to the consultant until then."""
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
    """Add a consultant; the code is drawn where none is given.

    Raises:
        UsageError: something of it can't be; nothing was added.
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
        code = validation.draw_code(4, lambda drawn: consultant_by_code(session, drawn) is not None)
    validation.code(code, shortest=2)
    taken = f"there is a consultant with the code {code} already. Choose another, or leave --code out."
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
    """Change what is given of a consultant; calls under way keep the tariff they were accepted with.

    To be made available also ends the consultant's own pause.

    Raises:
        UsageError: there is no such consultant, or a change can't be; nothing was changed.
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
    _flush(session, "the consultant's phones were changed at the same moment. Try again.")
    return consultant


# -- clients ------------------------------------------------------------------------------------------------------


def add_client(
    session: Session, settings: Settings, *, name: str, phones: Iterable[str], language: str | None = None
) -> Client:
    """Add a client, known by the numbers that they call from, with a code that nobody guesses.

    Raises:
        UsageError: something of it can't be, or a number is another client's; nothing was added.
    """
    client = Client(
        code=validation.draw_code(
            8, lambda drawn: session.scalar(select(Client.id).where(Client.code == drawn)) is not None
        ),
        name=validation.name(name),
        language=validation.language(
            language or settings.platform.language, Languages.of_state(settings.state)
        ),
    )
    taken = [ownership.for_client(session, settings, phone) for phone in phones]
    _insert(session, client, "somebody else added a client at the same moment. Try again.")
    for number in dict.fromkeys(taken):
        client.numbers.append(ClientNumber(number=number))
    _flush(session, _NUMBER_GIVEN_AWAY)
    return client


def set_client(session: Session, settings: Settings, who: str, **changes: Unpack[ClientChanges]) -> Client:
    """Change what is given of a client.

    Raises:
        UsageError: there is no such client, or a change can't be; nothing was changed.
    """
    client = the_client(session, settings, who)
    has = {entry.number: entry for entry in client.numbers}
    gone = [numbers.e164(phone, numbers.home_region(settings)) for phone in changes.get("remove_phones", ())]
    for number in gone:
        if number not in has:
            raise UsageError(f"{number} is not a number of {client.name}'s.")
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
    "one of the numbers was given to another client at the same moment. See: taxiphone client list"
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
    """Add a number that clients dial: one consultant's own, or everybody's where no code is given.

    Raises:
        UsageError: something of it can't be; nothing was added.
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
    _insert(session, added, f"{plain} was added at the same moment. See: taxiphone number list")
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
    """Give one of the platform's numbers to a consultant, or to everybody, or another language.

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
    """Write now; another transaction that was quicker (PostgreSQL) makes it the sentence `taken`."""
    try:
        session.flush()
    except IntegrityError:
        raise UsageError(taken) from None
