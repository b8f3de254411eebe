"""`taxiphone client show`, and what the commands that change a client print."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy.orm import Session

from taxiphone.billing.ledger import balances, postings
from taxiphone.commands.client.rows import row_of, show_client
from taxiphone.commands.console import App, examples, json_option, pass_app
from taxiphone.directory import clients, sign_in
from taxiphone.settings import Settings
from taxiphone.store.models import Client
from taxiphone.store.types import now


@click.command(
    "show", epilog=examples("taxiphone client show 48210377", "taxiphone client show +33639985678")
)
@click.argument("who", metavar="CLIENT")
@json_option
@pass_app
def client_show(app: App, /, who: str, as_json: bool) -> None:
    """Show CLIENT."""
    row = app.database.read(
        lambda session: client_row(session, app.settings, clients.the_client(session, app.settings, who))
    )
    show_client(row, as_json=as_json)


def client_row(session: Session, settings: Settings, found: Client) -> dict[str, Any]:
    """What is printed of one client."""
    balance = balances.balance(session, postings.WALLET, found.id)
    numbers = (entry.number for entry in found.numbers)
    return row_of(settings, found, numbers, balance, sign_in.lockouts(session, found, now()))
