"""`taxiphone client top-up`, `pin`, `unlock`, `close` and `open`: the client's account."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import click
from sqlalchemy.orm import Session

from taxiphone.billing.ledger import postings
from taxiphone.billing.pricing import money
from taxiphone.commands.client.rows import show_client
from taxiphone.commands.client.showing import client_row
from taxiphone.commands.console import App, examples, json_option, pass_app, print_json, say, show_one
from taxiphone.commands.options import NEGATIVE, amount, key_option, key_or_new
from taxiphone.directory import accounts, clients, pins, sign_in, validation
from taxiphone.errors import UsageError
from taxiphone.store.models import Client

_LONGEST_LINE = 100


@click.command(
    "top-up",
    context_settings=NEGATIVE,
    epilog=examples(
        "taxiphone client top-up 48210377 20", "taxiphone client top-up +33639985678 20.00 --key invoice-2291"
    ),
)
@click.argument("who", metavar="CLIENT")
@click.argument("amount", type=amount)
@key_option("Identifies this payment of the client's: a second top-up with the same key adds nothing.")
@json_option
@pass_app
def top_up(app: App, /, who: str, amount: Decimal, key: str | None, as_json: bool) -> None:
    """Add AMOUNT to the wallet of CLIENT and print the new balance.

    If the payment has a reference number, give it as --key. Then you can safely repeat the command; with another amount, it is
    refused. Without --key, one is generated and printed.
    """
    digits, currency = app.settings.currency_digits, app.settings.platform.currency
    minor = money.to_minor(validation.amount("the amount", amount, digits), digits)
    if minor == 0:
        raise UsageError("the amount must be more than 0.")
    payment = key_or_new(key)

    def work(session: Session) -> dict[str, Any]:
        found = clients.the_client(session, app.settings, who)
        balance = postings.top_up(session, found.id, minor, currency, payment)
        return {
            "code": found.code,
            "name": found.name,
            "amount": money.from_minor(minor, digits),
            "balance": money.from_minor(balance, digits),
            "currency": currency,
            "key": payment,
        }

    show_one(app.database.do(work), as_json=as_json)


@click.command("pin", epilog=examples("taxiphone client pin 48210377", "taxiphone client pin 48210377 --ask"))
@click.argument("who", metavar="CLIENT")
@click.option("--ask", is_flag=True, help="Ask for the PIN instead of generating one.")
@json_option
@pass_app
def pin(app: App, /, who: str, ask: bool, as_json: bool) -> None:
    """Generate a new PIN for CLIENT and print it once.

    With the code and the PIN, the client can call from any number, also a hidden one. The previous PIN becomes invalid, and a
    pause after wrong PINs ends. With --ask you type the PIN twice, and it is not shown; without a terminal, the PIN is read
    from one line of standard input.
    """

    def the_known(session: Session) -> tuple[str, ...]:
        return accounts.guessable(clients.the_client(session, app.settings, who))

    known = app.database.read(the_known)
    chosen = pins.checked(_asked(), known) if ask else pins.generate_pin(known)
    pin_hash = pins.hash_pin(chosen)

    def work(session: Session) -> tuple[str, str]:
        found = clients.the_client(session, app.settings, who)
        accounts.set_pin(session, found, pin_hash)
        return found.code, found.name

    code, name = app.database.do(work)
    row = {"code": code, "name": name, "pin": None if ask else chosen}
    if as_json:
        print_json(row)
    elif ask:
        say(f"The PIN of client {code} is changed.")
    else:
        show_one(row, as_json=False)
        say("\nOnly a hash of the PIN is stored: it can't be shown again.")


@click.command("unlock", epilog=examples("taxiphone client unlock 48210377"))
@click.argument("who", metavar="CLIENT")
@json_option
@pass_app
def unlock(app: App, /, who: str, as_json: bool) -> None:
    """Accept PINs from CLIENT again after too many wrong ones.

    The pause ends for the client's code and for all of the client's numbers.
    """
    _change(app, who, sign_in.reset_failures, as_json=as_json)


@click.command("close", epilog=examples("taxiphone client close 48210377"))
@click.argument("who", metavar="CLIENT")
@json_option
@pass_app
def close(app: App, /, who: str, as_json: bool) -> None:
    """Close the account of CLIENT: calls are refused, the balance is kept.

    An account can't be closed while one of the client's calls is in progress or not yet priced.
    """
    _change(app, who, accounts.close, as_json=as_json)


@click.command("open", epilog=examples("taxiphone client open 48210377"))
@click.argument("who", metavar="CLIENT")
@json_option
@pass_app
def reopen(app: App, /, who: str, as_json: bool) -> None:
    """Reopen the closed account of CLIENT."""
    _change(app, who, accounts.reopen, as_json=as_json)


def _change(app: App, who: str, change: Callable[[Session, Client], None], *, as_json: bool) -> None:
    def work(session: Session) -> dict[str, Any]:
        found = clients.the_client(session, app.settings, who)
        change(session, found)
        return client_row(session, app.settings, found)

    show_client(app.database.do(work), as_json=as_json)


def _asked() -> str:
    """The PIN from the terminal or from standard input. An argument would be visible to other users of the machine."""
    if sys.stdin.isatty():
        return str(click.prompt("PIN", hide_input=True, confirmation_prompt="Repeat the PIN", err=True))
    return sys.stdin.readline(_LONGEST_LINE).rstrip("\r\n")
