"""`taxiphone client list` and `client show`."""

from __future__ import annotations

import click

from taxiphone.commands.client.rows import all_clients, client_row, show_client
from taxiphone.commands.console import App, examples, json_option, pass_app, show

_COLUMNS = ("code", "name", "numbers", "language", "balance", "blocked", "closed_at")


@click.command("list", epilog=examples("taxiphone client list", "taxiphone client list --json"))
@json_option
@pass_app
def client_list(app: App, /, as_json: bool) -> None:
    """List the clients by name, with their balances."""
    rows = app.database.read(lambda session: all_clients(session, app.settings))
    empty = "No clients yet. To add one: taxiphone client add --help"
    show(rows, _COLUMNS, as_json=as_json, empty=empty)


@click.command(
    "show", epilog=examples("taxiphone client show 48210377", "taxiphone client show +33639985678")
)
@click.argument("who", metavar="CLIENT")
@json_option
@pass_app
def client_show(app: App, /, who: str, as_json: bool) -> None:
    """Show CLIENT."""
    from taxiphone.directory import clients  # noqa: PLC0415 - `client list` does not need it

    row = app.database.read(
        lambda session: client_row(session, app.settings, clients.the_client(session, app.settings, who))
    )
    show_client(row, as_json=as_json)
