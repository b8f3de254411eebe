"""How a client is printed, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from taxiphone.billing.pricing import money
from taxiphone.commands.console import show_one
from taxiphone.directory.lockouts import client_keys
from taxiphone.settings import Settings

if TYPE_CHECKING:
    from taxiphone.store.models import Client, SignIn


def row_of(
    settings: Settings,
    found: Client | Row[Any],
    numbers: Iterable[str],
    balance: int,
    lockouts: Iterable[SignIn | Row[Any]],
) -> dict[str, Any]:
    """All that is shown of a client; of the PIN, only whether there is one.

    Args:
        settings: currency and its decimals.
        found: the columns of table `client`.
        numbers: the client's numbers (E.164).
        balance: of the client's wallet, in minor units.
        lockouts: the columns of table `sign_in`, where a lockout of the client's code or numbers is in force.
    """
    digits, numbers = settings.currency_digits, sorted(numbers)
    keys = client_keys(found.code, numbers)
    return {
        "code": found.code,
        "name": found.name,
        "numbers": numbers,
        "language": found.language,
        "balance": money.from_minor(balance, digits),
        "currency": settings.platform.currency,
        "daily_limit": None if found.daily_limit is None else money.from_minor(found.daily_limit, digits),
        "pin": found.pin_hash is not None,
        "pauses": [
            {"of": keys[row.key], "until": row.paused_until, "failures": row.failures} for row in lockouts
        ],
        "blocked": found.blocked,
        "closed_at": found.closed_at,
    }


def show_client(row: dict[str, Any], *, as_json: bool) -> None:
    """Print one client."""
    if not as_json:
        pauses = [
            f"{each['of']} until {each['until']:%Y-%m-%d %H:%M:%S}Z ({each['failures']} wrong)"
            for each in row["pauses"]
        ]
        row = {**row, "pauses": pauses}
    show_one(row, as_json=as_json)
