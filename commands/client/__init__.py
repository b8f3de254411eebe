"""`taxiphone client`: who calls, from which numbers, with how much credit."""

from __future__ import annotations

import click

from taxiphone.commands.lazy import Lazy, LazyGroup

_COMMANDS = {
    "list": Lazy("client.listing:client_list", "List the clients by name, with their balances."),
    "show": Lazy("client.showing:client_show", "Show CLIENT."),
    "add": Lazy("client.editing:client_add", "Add the client NAME with the numbers that they call from."),
    "set": Lazy("client.editing:client_set", "Change CLIENT; settings that you don't give stay as they are."),
    "top-up": Lazy("client.account:top_up", "Add AMOUNT to the wallet of CLIENT and print the new balance."),
    "pin": Lazy("client.account:pin", "Generate a new PIN for CLIENT and print it once."),
    "unlock": Lazy("client.account:unlock", "Accept PINs from CLIENT again after too many wrong ones."),
    "close": Lazy(
        "client.account:close", "Close the account of CLIENT: calls are refused, the balance is kept."
    ),
    "open": Lazy("client.account:reopen", "Reopen the closed account of CLIENT."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def client() -> None:
    """Manage clients: their numbers, PINs and balances.

    CLIENT is the code that `client add` prints, or one of the client's numbers.
    """
