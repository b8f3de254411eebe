"""How a client is printed, for people and for programs."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from taxiphone.billing import ledger, money
from taxiphone.console import show_one
from taxiphone.directory import sign_in
from taxiphone.settings import Settings
from taxiphone.store.models import Client
from taxiphone.store.types import now


def client_row(session: Session, settings: Settings, found: Client) -> dict[str, Any]:
    """All that is told of a client; of the PIN only whether there is one."""
    digits = settings.currency_digits
    return {
        "code": found.code,
        "name": found.name,
        "numbers": sorted(entry.number for entry in found.numbers),
        "language": found.language,
        "balance": money.from_minor(ledger.balance(session, ledger.WALLET, found.id), digits),
        "currency": settings.platform.currency,
        "daily_limit": None if found.daily_limit is None else money.from_minor(found.daily_limit, digits),
        "pin": found.pin_hash is not None,
        "pauses": pauses(session, found),
        "blocked": found.blocked,
        "closed_at": found.closed_at,
    }


def pauses(session: Session, found: Client) -> list[dict[str, Any]]:
    """From whom no PIN is taken just now: the client's code, or one of their numbers, and until when."""
    at = now()
    return [
        {
            "of": row.key.partition(":")[2],
            "until": row.paused_until,
            "failures": row.failures,
        }
        for row in sign_in.counts(session, found)
        if row.paused_until is not None and row.paused_until > at
    ]


def show_client(row: dict[str, Any], *, as_json: bool) -> None:
    """Print one client."""
    if not as_json:
        told = [
            f"{each['of']} until {each['until']:%Y-%m-%d %H:%M:%S}Z ({each['failures']} wrong)"
            for each in row["pauses"]
        ]
        row = {**row, "pauses": told}
    show_one(row, as_json=as_json)
