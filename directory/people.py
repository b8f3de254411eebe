"""Who is who: finding and keeping consultants, clients and the platform's numbers.

Every function works in the caller's transaction. What changes something checks all of it first and raises
`UsageError` with one sentence, so that nothing is left half-done. Amounts are decimals of the platform's currency.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from taxiphone.directory import checks, numbers
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.store.models import Base, Client, ClientNumber, Consultant, Did


class ConsultantOptions(TypedDict, total=False):
    """What a consultant may have; None takes a package or an own commission away."""

    language: str
    free_minutes: int
    package_price: Decimal | None
    package_minutes: int | None
    recording_allowed: bool
    commission: Decimal | None
    available: bool


class ConsultantFields(ConsultantOptions, total=False):
    """All that can be changed of a consultant."""

    name: str
    phone: str
    price_per_minute: Decimal


# -- finding ------------------------------------------------------------------------------------------------------


def client_calling(session: Session, number: str | None) -> Client | None:
    """The client who calls from this number (E.164)."""
    found = None if number is None else session.get(ClientNumber, number)
    return None if found is None else found.client


def did(session: Session, number: str | None) -> Did | None:
    """The platform's number that was dialled (E.164)."""
    return None if number is None else session.get(Did, number)


def consultant_by_code(session: Session, code: str) -> Consultant | None:
    """The consultant whose code a client keyed in."""
    return session.scalar(select(Consultant).where(Consultant.code == code))


def client_by(session: Session, settings: Settings, text: str) -> Client | None:
    """The client with this code, or with this number in any way a person writes it."""
    found = session.scalar(select(Client).where(Client.code == text.strip()))
    return found or client_calling(session, numbers.caller(text, home(settings)))


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


def home(settings: Settings) -> str | None:
    """The region where a number without a country code belongs: the one of the platform's own number."""
    return numbers.region_of(settings.platform.cli)


# -- consultants --------------------------------------------------------------------------------------------------


def add_consultant(
    session: Session,
    settings: Settings,
    *,
    name: str,
    phone: str,
    price_per_minute: Decimal,
    code: str | None = None,
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
    checked = _checked(session, settings, fields)
    if code is None:
        code = checks.draw_code(4, lambda drawn: consultant_by_code(session, drawn) is not None)
    checks.code(code, shortest=2)
    taken = f"there is a consultant with the code {code} already. Choose another, or leave --code out."
    if consultant_by_code(session, code) is not None:
        raise UsageError(taken)
    consultant = Consultant(code=code, **checked)
    _insert(session, consultant, taken)
    return consultant


def set_consultant(
    session: Session, settings: Settings, code: str, **changes: Unpack[ConsultantFields]
) -> Consultant:
    """Change what is given of a consultant; calls under way keep the tariff they were accepted with.

    Raises:
        UsageError: there is no such consultant, or a change can't be; nothing was changed.
    """
    consultant = the_consultant(session, code)
    now: ConsultantFields = {
        "language": consultant.language,
        "free_minutes": consultant.free_minutes,
        "package_price": consultant.package_price,
        "package_minutes": consultant.package_minutes,
        "recording_allowed": consultant.recording_allowed,
        "commission": consultant.commission,
        "available": consultant.available,
        "name": consultant.name,
        "phone": consultant.phone,
        "price_per_minute": consultant.price_per_minute,
    }
    for key, value in _checked(session, settings, {**now, **changes}).items():
        setattr(consultant, key, value)
    session.flush()
    return consultant


def _checked(session: Session, settings: Settings, fields: ConsultantFields) -> ConsultantFields:
    """A copy of the fields, each as it is stored; a UsageError for the first that can't be."""
    digits = settings.currency_digits
    package = (fields.get("package_price"), fields.get("package_minutes"))
    if (package[0] is None) != (package[1] is None):
        raise UsageError(
            "a package has a price and minutes: give both, --package-price and --package-minutes."
        )
    checked: ConsultantFields = {
        **fields,
        "name": checks.name(fields["name"]),
        "phone": _consultant_phone(session, settings, fields["phone"]),
        "language": checks.language(fields["language"]),
        "price_per_minute": checks.price("the price per minute", fields["price_per_minute"], digits),
        "free_minutes": checks.minutes("free minutes", fields.get("free_minutes", 0), least=0),
    }
    if package[0] is not None and package[1] is not None:
        checked["package_price"] = checks.amount("the package's price", package[0], digits)
        checked["package_minutes"] = checks.minutes("the package's minutes", package[1], least=1)
    commission = fields.get("commission")
    if commission is not None:
        checked["commission"] = checks.share("the commission", commission)
    return checked


def _consultant_phone(session: Session, settings: Settings, text: str) -> str:
    phone = numbers.e164(text, home(settings))
    if phone == settings.platform.cli or did(session, phone) is not None:
        raise UsageError(f"{phone} is the platform's own number; a consultant needs another phone.")
    prefixes = settings.platform.dial_prefixes
    if not numbers.may_dial(phone, prefixes):
        raise UsageError(
            f"{phone} may not be rung: it is a premium-rate number or begins with none of {', '.join(prefixes)}. "
            "See [platform] dial_prefixes in taxiphone.toml."
        )
    return phone


# -- clients ------------------------------------------------------------------------------------------------------


def add_client(
    session: Session, settings: Settings, *, name: str, phones: Iterable[str], language: str | None = None
) -> Client:
    """Add a client, known by the numbers that they call from, with a code that nobody guesses.

    Raises:
        UsageError: something of it can't be, or a number is another client's; nothing was added.
    """
    client = Client(
        code=checks.draw_code(
            8, lambda drawn: session.scalar(select(Client.id).where(Client.code == drawn)) is not None
        ),
        name=checks.name(name),
        language=checks.language(language or settings.platform.language),
    )
    taken = [_client_number(session, settings, phone) for phone in phones]
    _insert(session, client, "somebody else added a client at the same moment. Try again.")
    for number in dict.fromkeys(taken):
        client.numbers.append(ClientNumber(number=number))
    _flush(
        session,
        "one of the numbers was given to another client at the same moment. See: taxiphone client list",
    )
    return client


def set_client(
    session: Session,
    settings: Settings,
    who: str,
    *,
    name: str | None = None,
    language: str | None = None,
    blocked: bool | None = None,
    add_phones: Iterable[str] = (),
    remove_phones: Iterable[str] = (),
) -> Client:
    """Change what is given of a client.

    Raises:
        UsageError: there is no such client, or a change can't be; nothing was changed.
    """
    client = the_client(session, settings, who)
    has = {entry.number: entry for entry in client.numbers}
    gone = [numbers.e164(phone, home(settings)) for phone in remove_phones]
    for number in gone:
        if number not in has:
            raise UsageError(f"{number} is not a number of {client.name}'s.")
    new = [_client_number(session, settings, phone, client) for phone in add_phones]
    name = client.name if name is None else checks.name(name)
    language = client.language if language is None else checks.language(language)
    client.name, client.language = name, language
    if blocked is not None:
        client.blocked = blocked
    for number in set(gone):
        client.numbers.remove(has[number])
    for number in dict.fromkeys(new):
        if number not in has:
            client.numbers.append(ClientNumber(number=number))
    _flush(
        session,
        "one of the numbers was given to another client at the same moment. See: taxiphone client list",
    )
    return client


def _client_number(session: Session, settings: Settings, text: str, owner: Client | None = None) -> str:
    number = numbers.e164(text, home(settings))
    if number == settings.platform.cli or did(session, number) is not None:
        raise UsageError(f"{number} is the platform's own number; a client calls from another.")
    found = client_calling(session, number)
    if found is not None and found is not owner:
        raise UsageError(f"{number} belongs to the client {found.name} ({found.code}) already.")
    return number


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
    plain = numbers.e164(number, home(settings))
    taken = f"{plain} is one of the platform's numbers already. See: taxiphone number list"
    if did(session, plain) is not None:
        raise UsageError(taken)
    owner = client_calling(session, plain)
    if owner is not None:
        raise UsageError(f"{plain} is the number of the client {owner.name} ({owner.code}).")
    rung = session.scalar(select(Consultant).where(Consultant.phone == plain).limit(1))
    if rung is not None:
        raise UsageError(f"{plain} is the phone of the consultant {rung.name} ({rung.code}).")
    consultant = None if consultant_code is None else the_consultant(session, consultant_code)
    added = Did(
        number=plain,
        consultant=consultant,
        language=checks.language(language or settings.platform.language),
    )
    _insert(session, added, taken)
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
    plain = numbers.e164(number, home(settings))
    found = did(session, plain)
    if found is None:
        raise UsageError(f"{plain} is not one of the platform's numbers. See: taxiphone number list")
    if consultant_code is not None:
        found.consultant = the_consultant(session, consultant_code)
    elif everybody:
        found.consultant = None
    if language is not None:
        found.language = checks.language(language)
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
