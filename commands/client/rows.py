"""How a client is printed, for people and for programs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from taxiphone.billing.ledger import postings
from taxiphone.billing.pricing import money
from taxiphone.commands.console import show_one
from taxiphone.directory import sign_in
from taxiphone.settings import Settings
from taxiphone.store.models import Client, SignIn
from taxiphone.store.types import now


def client_row(session: Session, settings: Settings, found: Client) -> dict[str, Any]:
    """All that is shown of a client; of the PIN, only whether there is one."""
    balance = postings.balance(session, postings.WALLET, found.id)
    return _row(settings, found, balance, pauses(session, found))


def all_clients(session: Session, settings: Settings) -> list[dict[str, Any]]:
    """Every client by name, with as many queries as for one client."""
    found = session.scalars(
        select(Client).options(selectinload(Client.numbers)).order_by(Client.name, Client.id)
    )
    balances = postings.kept(session, postings.WALLET)
    paused = sign_in.lockouts(session, now())
    return [
        _row(
            settings,
            each,
            balances.get(str(each.id), 0),
            [_pause(paused[key]) for key in sorted(sign_in.keys_of(each)) if key in paused],
        )
        for each in found
    ]


def _row(settings: Settings, found: Client, balance: int, paused: list[dict[str, Any]]) -> dict[str, Any]:
    digits = settings.currency_digits
    return {
        "code": found.code,
        "name": found.name,
        "numbers": sorted(entry.number for entry in found.numbers),
        "language": found.language,
        "balance": money.from_minor(balance, digits),
        "currency": settings.platform.currency,
        "daily_limit": None if found.daily_limit is None else money.from_minor(found.daily_limit, digits),
        "pin": found.pin_hash is not None,
        "pauses": paused,
        "blocked": found.blocked,
        "closed_at": found.closed_at,
    }


def pauses(session: Session, found: Client) -> list[dict[str, Any]]:
    """The pauses after wrong PINs: the code or number that no PIN is accepted from, and until when."""
    return [_pause(row) for row in sign_in.lockouts(session, now(), found).values()]


def _pause(row: SignIn) -> dict[str, Any]:
    return {"of": row.key.partition(":")[2], "until": row.paused_until, "failures": row.failures}


def show_client(row: dict[str, Any], *, as_json: bool) -> None:
    """Print one client."""
    if not as_json:
        told = [
            f"{each['of']} until {each['until']:%Y-%m-%d %H:%M:%S}Z ({each['failures']} wrong)"
            for each in row["pauses"]
        ]
        row = {**row, "pauses": told}
    show_one(row, as_json=as_json)
