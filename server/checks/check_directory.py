"""Checks the directory for phone numbers that could let strangers in or cause costs."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.directory import dialling, lookup, numbers
from taxiphone.server.checks import check_dialled_numbers
from taxiphone.server.checks.findings import Finding
from taxiphone.settings import Settings
from taxiphone.store.models import ClientNumber, Consultant


def check(session: Session, settings: Settings) -> list[Finding]:
    """Run all checks of this module. The database must have this program's schema."""
    found = [*hidden_callers(session, settings), *phones_not_rung(session, settings)] or [
        Finding(ok=True, what="all numbers of clients and phones of consultants are valid")
    ]
    return [*found, check_dialled_numbers.check(session, settings.trunk)]


def hidden_callers(session: Session, settings: Settings) -> Iterator[Finding]:
    """Find clients' numbers that mean a withheld number or are unassigned, added before these were rejected."""
    region = numbers.home_region(settings)
    # The same digits as a national number may also be the client's real number.
    national = {numbers.as_national(word, region) for word in numbers.KEYPAD_WORDS}
    for entry in session.scalars(select(ClientNumber).order_by(ClientNumber.number)):
        client, number = entry.client, entry.number
        remove = f"taxiphone client set {client.code} --remove-number {number}"
        if numbers.keypad_word(number):
            yield Finding(
                ok=False,
                what=f"client {client.code} has the number {number}, which carriers send for every withheld number",
                advice=f"Any hidden caller can spend this client's credit. Run: {remove}",
            )
        elif number in national or not numbers.assigned(number):
            yield Finding(
                ok=None,
                what=f"client {client.code} has the number {number}, which a carrier may send for withheld numbers",
                advice=f"Ask the client whether it is their number. If not, run: {remove}",
            )


def phones_not_rung(session: Session, settings: Settings) -> Iterator[Finding]:
    """Find consultants' phones that the settings do not allow to be dialled."""
    for consultant in session.scalars(select(Consultant).order_by(Consultant.code)):
        for phone in lookup.phones(session.connection(), consultant):
            refused = dialling.refusal(phone, settings.platform)
            if refused is not None:
                yield Finding(
                    ok=False,
                    what=f"{phone} of consultant {consultant.code} is never dialled: it {refused}",
                    advice="Set another phone (taxiphone consultant set --help), or change [platform] in the settings.",
                )
