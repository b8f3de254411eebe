"""What `taxiphone doctor` looks at in the directory: numbers that let strangers in, or cost somebody money."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.directory import dialling, numbers, people
from taxiphone.server.checks import check_dialled_numbers
from taxiphone.server.checks.findings import Finding
from taxiphone.settings import Settings
from taxiphone.store.models import ClientNumber, Consultant


def check(session: Session, settings: Settings) -> list[Finding]:
    """Everything below, for a database at this program's schema; one finding where nothing is wrong."""
    found = [*hidden_callers(session, settings), *phones_not_rung(session, settings)] or [
        Finding(ok=True, what="the clients' numbers and the consultants' phones can be used")
    ]
    return [*found, check_dialled_numbers.check(session, settings.trunk)]


def hidden_callers(session: Session, settings: Settings) -> Iterator[Finding]:
    """Clients' numbers that stand for a withheld one, or that nobody can have, added before these were refused."""
    region = numbers.home_region(settings)
    # As the same keys would have been read inside the country: that may as well be the client's own number.
    national = {numbers.as_national(word, region) for word in numbers.KEYPAD_WORDS}
    for entry in session.scalars(select(ClientNumber).order_by(ClientNumber.number)):
        client, number = entry.client, entry.number
        remove = f"taxiphone client set {client.code} --remove-number {number}"
        if numbers.keypad_word(number):
            yield Finding(
                ok=False,
                what=f"the client {client.code} has the number {number}, which carriers send for every withheld number",
                advice=f"Whoever hides their number could spend this client's credit until: {remove}",
            )
        elif number in national or not numbers.assigned(number):
            yield Finding(
                ok=None,
                what=f"the client {client.code} has the number {number}, which may be what a carrier sends for withheld numbers",
                advice=f"Ask whether it is theirs. If it is not: {remove}",
            )


def phones_not_rung(session: Session, settings: Settings) -> Iterator[Finding]:
    """Consultants' phones that the settings do not let the platform ring, or not any more."""
    for consultant in session.scalars(select(Consultant).order_by(Consultant.code)):
        for phone in people.phones(session, consultant):
            refused = dialling.refusal(phone, settings.platform)
            if refused is not None:
                yield Finding(
                    ok=False,
                    what=f"{phone} of the consultant {consultant.code} is never rung: it {refused}",
                    advice="Give them another phone (taxiphone consultant set --help), or change [platform] in the settings.",
                )
