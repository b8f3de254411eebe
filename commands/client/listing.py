"""`taxiphone client list`.

It runs SQL on a plain connection, so that a listing starts fast: importing and configuring SQLAlchemy's ORM takes a third of
the time that the command would need with it. A test compares the rows with those of `client show`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import click
from sqlalchemy import Boolean, Connection, bindparam, text

from taxiphone.commands.client.rows import row_of
from taxiphone.commands.console import App, examples, json_option, pass_app, show
from taxiphone.directory.lockouts import CLOCK_TOLERANCE, client_keys
from taxiphone.settings import Settings
from taxiphone.store.types import UtcDateTime, now

_COLUMNS = ("code", "name", "numbers", "language", "balance", "blocked", "closed_at")

_CLIENTS = text("""
    SELECT client.id, code, name, language, daily_limit, pin_hash, blocked, closed_at,
           (SELECT coalesce(sum(balance), 0) FROM account
            WHERE kind = 'wallet' AND owner = CAST(client.id AS VARCHAR)) AS balance
    FROM client ORDER BY name, client.id""").columns(blocked=Boolean, closed_at=UtcDateTime)
_NUMBERS = text("SELECT client_id, number FROM client_number")
_LOCKOUTS = (
    text("SELECT key, failures, paused_until FROM sign_in WHERE paused_until > :at AND last_at <= :latest")
    .bindparams(bindparam("at", type_=UtcDateTime), bindparam("latest", type_=UtcDateTime))
    .columns(paused_until=UtcDateTime)
)


@click.command("list", epilog=examples("taxiphone client list", "taxiphone client list --json"))
@json_option
@pass_app
def client_list(app: App, /, as_json: bool) -> None:
    """List the clients by name, with their balances."""
    with app.database.connection() as connection:
        rows = _rows(connection, app.settings)
    empty = "No clients yet. To add one: taxiphone client add --help"
    show(rows, _COLUMNS, as_json=as_json, empty=empty)


def _rows(connection: Connection, settings: Settings) -> list[dict[str, Any]]:
    """Every client by name, with the same number of queries however many there are."""
    numbers: dict[int, list[str]] = defaultdict(list)
    for client_id, number in connection.execute(_NUMBERS):
        numbers[client_id].append(number)
    at = now()
    in_force = {"at": at, "latest": at + CLOCK_TOLERANCE}
    lockouts = {row.key: row for row in connection.execute(_LOCKOUTS, in_force)}
    return [
        row_of(
            settings,
            client,
            numbers[client.id],
            int(client.balance),
            [
                lockouts[key]
                for key in sorted(client_keys(client.code, numbers[client.id]))
                if key in lockouts
            ],
        )
        for client in connection.execute(_CLIENTS)
    ]
