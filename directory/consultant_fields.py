"""The fields of a consultant that can be set, and the consultant's phones."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TypedDict

from sqlalchemy.orm import Session

from taxiphone.directory import numbers, ownership, validation
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.speech.prompt_texts import Languages
from taxiphone.store.models import Consultant, ConsultantPhone

# Phones rung at once each take a channel of the trunk. Phones rung in turn each make the client wait.
MOST_PHONES = 8


class ConsultantOptions(TypedDict, total=False):
    """Optional fields. None removes the consultant's package, or their own commission."""

    language: str
    free_minutes: int
    package_price: Decimal | None
    package_minutes: int | None
    recording_allowed: bool
    commission: Decimal | None
    available: bool
    ring_at_once: bool


class ConsultantFields(ConsultantOptions, total=False):
    """All fields except the further phones."""

    name: str
    phone: str
    price_per_minute: Decimal


def now(consultant: Consultant) -> ConsultantFields:
    """Return the current fields of a consultant."""
    return {
        "language": consultant.language,
        "free_minutes": consultant.free_minutes,
        "package_price": consultant.package_price,
        "package_minutes": consultant.package_minutes,
        "recording_allowed": consultant.recording_allowed,
        "commission": consultant.commission,
        "available": consultant.available,
        "ring_at_once": consultant.ring_at_once,
        "name": consultant.name,
        "phone": consultant.phone,
        "price_per_minute": consultant.price_per_minute,
    }


def checked(session: Session, settings: Settings, fields: ConsultantFields) -> ConsultantFields:
    """Validate the fields and return them as they are stored.

    Raises:
        UsageError: a field is invalid.
    """
    digits = settings.currency_digits
    package = (fields.get("package_price"), fields.get("package_minutes"))
    if (package[0] is None) != (package[1] is None):
        raise UsageError(
            "a package needs a price and minutes: give both --package-price and --package-minutes."
        )
    valid: ConsultantFields = {
        **fields,
        "name": validation.name(fields["name"]),
        "phone": ownership.for_consultant(session, settings, fields["phone"]),
        "language": validation.language(fields["language"], Languages.of_state(settings.state)),
        "price_per_minute": validation.price("the price per minute", fields["price_per_minute"], digits),
        "free_minutes": validation.minutes("free minutes", fields.get("free_minutes", 0), least=0),
    }
    if package[0] is not None and package[1] is not None:
        valid["package_price"] = validation.amount("the package's price", package[0], digits)
        valid["package_minutes"] = validation.minutes("the package's minutes", package[1], least=1)
    commission = fields.get("commission")
    if commission is not None:
        valid["commission"] = validation.share("the commission", commission)
    return valid


def phones_after(
    session: Session,
    settings: Settings,
    have: list[str],
    *,
    first: str | None = None,
    more: Iterable[str] = (),
    gone: Iterable[str] = (),
) -> list[str]:
    """Return a consultant's phones (E.164) after a change, in the order in which they are rung.

    Args:
        session: the transaction.
        settings: the settings.
        have: the phones before the change.
        first: replaces the first phone.
        more: phones added at the end.
        gone: phones that are removed. If the first one is removed, the next one becomes the first.

    Raises:
        UsageError: a phone may not be dialled, would be listed twice, or can't be removed because the consultant doesn't have
            it; or no phone would remain.
    """
    region, phones = numbers.home_region(settings), list(have)
    for phone in dict.fromkeys(numbers.e164(text, region) for text in gone):
        if phone not in phones:
            raise UsageError(f"{phone} is not a phone of this consultant.")
        phones.remove(phone)
    if first is not None:
        rest = phones[1:] if phones[:1] == have[:1] else phones
        phones = [ownership.for_consultant(session, settings, first), *rest]
    phones += [ownership.for_consultant(session, settings, text) for text in more]
    for phone in phones:
        if phones.count(phone) > 1:
            raise UsageError(f"{phone} is already a phone of this consultant.")
    if not phones:
        raise UsageError("a consultant needs at least one phone: give another one with --phone.")
    if len(phones) > MOST_PHONES:
        raise UsageError(f"a consultant can have at most {MOST_PHONES} phones.")
    return phones


def set_more_phones(consultant: Consultant, further: list[str]) -> None:
    """Set the consultant's further phones (validated, E.164), in their order."""
    rows = {entry.number: entry for entry in consultant.more_phones}
    for number in rows.keys() - set(further):
        consultant.more_phones.remove(rows[number])
    for position, number in enumerate(further, start=1):
        if number in rows:
            rows[number].position = position
        else:
            consultant.more_phones.append(ConsultantPhone(number=number, position=position))
