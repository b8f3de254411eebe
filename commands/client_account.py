"""`taxiphone client pin`, `unlock`, `close`, `open`: what is done to a client's account."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click
from sqlalchemy.orm import Session

from taxiphone.commands.client_rows import client_row, show_client
from taxiphone.commands.console import App, examples, json_option, out, pass_app, print_json, show_one
from taxiphone.directory import accounts, people, pins, sign_in
from taxiphone.store.models import Client

_LONGEST_LINE = 100


@click.command("pin", epilog=examples("taxiphone client pin 48210377", "taxiphone client pin 48210377 --ask"))
@click.argument("who", metavar="CLIENT")
@click.option("--ask", is_flag=True, help="Ask for the PIN instead of drawing one.")
@json_option
@pass_app
def pin(app: App, /, who: str, ask: bool, as_json: bool) -> None:
    """Draw a new PIN for a client and print it, this once.

    With the code and this PIN the client calls from a hidden or unknown number. The PIN before it is void, and a pause
    after wrong PINs is over. With --ask the PIN is asked for twice and not shown; where no terminal is there, it is the
    one line on standard input.
    """

    def the_known(session: Session) -> tuple[str, ...]:
        return accounts.guessable(people.the_client(session, app.settings, who))

    known = app.database.read(the_known)
    chosen = pins.checked(_asked(), known) if ask else pins.generate_pin(known)
    pin_hash = pins.hash_pin(chosen)

    def work(session: Session) -> tuple[str, str]:
        found = people.the_client(session, app.settings, who)
        accounts.set_pin(session, found, pin_hash)
        return found.code, found.name

    code, name = app.database.do(work)
    row = {"code": code, "name": name, "pin": None if ask else chosen}
    if as_json:
        print_json(row)
    elif ask:
        out.print(f"The client with the code {code} has another PIN now.")
    else:
        show_one(row, as_json=False)
        out.print("\nThe PIN is kept as a hash only and can't be shown again.")


@click.command("unlock", epilog=examples("taxiphone client unlock 48210377"))
@click.argument("who", metavar="CLIENT")
@json_option
@pass_app
def unlock(app: App, /, who: str, as_json: bool) -> None:
    """End the pause after wrong PINs, for a client's code and numbers."""
    _change(app, who, sign_in.reset_failures, as_json=as_json)


@click.command("close", epilog=examples("taxiphone client close 48210377"))
@click.argument("who", metavar="CLIENT")
@json_option
@pass_app
def close(app: App, /, who: str, as_json: bool) -> None:
    """Close a client's account: their calls are refused, the credit stays where it is.

    Refused itself while a call of theirs is not over and priced.
    """
    _change(app, who, accounts.close, as_json=as_json)


@click.command("open", epilog=examples("taxiphone client open 48210377"))
@click.argument("who", metavar="CLIENT")
@json_option
@pass_app
def reopen(app: App, /, who: str, as_json: bool) -> None:
    """Open a closed account again."""
    _change(app, who, lambda _session, found: accounts.reopen(found), as_json=as_json)


def _change(app: App, who: str, change: Callable[[Session, Client], None], *, as_json: bool) -> None:
    def work(session: Session) -> dict[str, Any]:
        found = people.the_client(session, app.settings, who)
        change(session, found)
        return client_row(session, app.settings, found)

    show_client(app.database.do(work), as_json=as_json)


def _asked() -> str:
    """A PIN that a person types, or that a program writes; never an argument, which other users of the machine see."""
    if sys.stdin.isatty():
        return str(click.prompt("PIN", hide_input=True, confirmation_prompt="The same PIN again", err=True))
    return sys.stdin.readline(_LONGEST_LINE).rstrip("\r\n")
