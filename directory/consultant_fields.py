"""What can be given and changed of a consultant: the fields as they are stored, and the further phones."""

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

MOST_PHONES = 8  # rung at once, each is a leg on the trunk; one after the other, each lets the client wait


class ConsultantOptions(TypedDict, total=False):
    """What a consultant may have; None takes a package or an own commission away."""

    language: str
    free_minutes: int
    package_price: Decimal | None
    package_minutes: int | None
    recording_allowed: bool
    commission: Decimal | None
    available: bool
    ring_at_once: bool


class ConsultantFields(ConsultantOptions, total=False):
    """All that can be changed of a consultant, the further phones aside."""

    name: str
    phone: str
    price_per_minute: Decimal


def now(consultant: Consultant) -> ConsultantFields:
    """What the consultant has."""
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
    """A copy of the fields, each as it is stored.

    Raises:
        UsageError: for the first that can't be.
    """
    digits = settings.currency_digits
    package = (fields.get("package_price"), fields.get("package_minutes"))
    if (package[0] is None) != (package[1] is None):
        raise UsageError(
            "a package has a price and minutes: give both, --package-price and --package-minutes."
        )
    kept: ConsultantFields = {
        **fields,
        "name": validation.name(fields["name"]),
        "phone": ownership.for_consultant(session, settings, fields["phone"]),
        "language": validation.language(fields["language"], Languages.of_state(settings.state)),
        "price_per_minute": validation.price("the price per minute", fields["price_per_minute"], digits),
        "free_minutes": validation.minutes("free minutes", fields.get("free_minutes", 0), least=0),
    }
    if package[0] is not None and package[1] is not None:
        kept["package_price"] = validation.amount("the package's price", package[0], digits)
        kept["package_minutes"] = validation.minutes("the package's minutes", package[1], least=1)
    commission = fields.get("commission")
    if commission is not None:
        kept["commission"] = validation.share("the commission", commission)
    return kept


def phones_after(
    session: Session,
    settings: Settings,
    have: list[str],
    *,
    first: str | None = None,
    more: Iterable[str] = (),
    gone: Iterable[str] = (),
) -> list[str]:
    """A consultant's phones (E.164), in the order in which they are rung, after a change.

    `have` are the ones before it. `gone` are rung no more; where the first goes, the next one is the first. `first` is
    put in the place of the one before, `more` at the end.

    Raises:
        UsageError: one can't be rung, is there already or is not there, or none is left.
    """
    region, left = numbers.home_region(settings), list(have)
    for phone in dict.fromkeys(numbers.e164(text, region) for text in gone):
        if phone not in left:
            raise UsageError(f"{phone} is not a phone of this consultant's.")
        left.remove(phone)
    if first is not None:
        rest = left[1:] if left[:1] == have[:1] else left
        left = [ownership.for_consultant(session, settings, first), *rest]
    left += [ownership.for_consultant(session, settings, text) for text in more]
    for phone in left:
        if left.count(phone) > 1:
            raise UsageError(f"{phone} is one of this consultant's phones already.")
    if not left:
        raise UsageError("a consultant needs a phone: give another with --phone.")
    if len(left) > MOST_PHONES:
        raise UsageError(f"a consultant can have {MOST_PHONES} phones at most.")
    return left


def set_more_phones(consultant: Consultant, further: list[str]) -> None:
    """Make these (E.164, checked) the consultant's further phones, in their order."""
    rows = {entry.number: entry for entry in consultant.more_phones}
    for number in rows.keys() - set(further):
        consultant.more_phones.remove(rows[number])
    for position, number in enumerate(further, start=1):
        if number in rows:
            rows[number].position = position
        else:
            consultant.more_phones.append(ConsultantPhone(number=number, position=position))
