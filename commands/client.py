"""`taxiphone client`: who calls, from which numbers, with how much credit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click
from sqlalchemy.orm import Session

from taxiphone.billing.ledger import postings
from taxiphone.billing.pricing import money
from taxiphone.commands.client_rows import all_clients, client_row, show_client
from taxiphone.commands.console import App, examples, json_option, out, pass_app, show, show_one
from taxiphone.commands.options import NEGATIVE, amount, amount_or_none, given
from taxiphone.directory import people, validation
from taxiphone.errors import UsageError
from taxiphone.speech import names

_LONGEST_KEY = 50


@click.group()
def client() -> None:
    """Clients: who calls, from which numbers, with how much credit.

    A client is addressed by the code that `client add` prints, or by one of their numbers.
    """


@client.command(
    "add",
    epilog=examples("taxiphone client add Paul --number +33639985678 --number 0199005566 --language fr"),
)
@click.argument("name")
@click.option(
    "--number", "phones", multiple=True, required=True, help="A phone they call from; may come again."
)
@click.option("--language", metavar="LANG", help="What the client hears, such as fr or en.")
@json_option
@pass_app
def client_add(app: App, /, name: str, phones: tuple[str, ...], language: str | None, as_json: bool) -> None:
    """Add the client NAME, known by the numbers that they call from.

    To call from any other number, or a hidden one, a client needs a PIN: taxiphone client pin.
    """
    row = app.database.do(
        lambda session: client_row(
            session,
            app.settings,
            people.add_client(session, app.settings, name=name, phones=phones, language=language),
        )
    )
    names.try_make(app.settings, "client", row["code"], row["name"])
    show_client(row, as_json=as_json)
    if not as_json:
        out.print(
            f"\nTo call from a hidden or another number, the client needs a PIN: taxiphone client pin {row['code']}"
        )


@client.command("list")
@json_option
@pass_app
def client_list(app: App, /, as_json: bool) -> None:
    """List the clients by name, with their credit."""
    rows = app.database.read(lambda session: all_clients(session, app.settings))
    columns = ("code", "name", "numbers", "language", "balance", "blocked", "closed_at")
    empty = "No clients yet. Add one: taxiphone client add --help"
    show(rows, columns, as_json=as_json, empty=empty)


@client.command(
    "show", epilog=examples("taxiphone client show 48210377", "taxiphone client show +33639985678")
)
@click.argument("who", metavar="CLIENT")
@json_option
@pass_app
def client_show(app: App, /, who: str, as_json: bool) -> None:
    """Show a client, by code or by one of their numbers."""
    row = app.database.read(
        lambda session: client_row(session, app.settings, people.the_client(session, app.settings, who))
    )
    show_client(row, as_json=as_json)


@client.command(
    "set",
    epilog=examples(
        "taxiphone client set 48210377 --block",
        "taxiphone client set 48210377 --add-number +33199005566",
        "taxiphone client set 48210377 --daily-limit 30",
    ),
)
@click.argument("who", metavar="CLIENT")
@click.option("--name", help="Another name.")
@click.option("--language", metavar="LANG", help="Another language.")
@click.option("--add-number", "add_phones", multiple=True, help="One more phone they call from.")
@click.option("--remove-number", "remove_phones", multiple=True, help="A phone they call from no more.")
@click.option("--block/--unblock", "blocked", default=None, help="Whether their calls are refused.")
@click.option(
    "--daily-limit",
    metavar="AMOUNT|none",
    type=amount_or_none,
    help="What they want to spend in a day at most, or none.",
)
@json_option
@pass_app
def client_set(app: App, /, who: str, as_json: bool, **changes: Any) -> None:
    """Change a client; only what is given changes."""
    wanted = given(changes)
    if not wanted:
        raise UsageError("nothing to change was given. See: taxiphone client set --help")
    if "daily_limit" in wanted:
        wanted["daily_limit"] = _limit(wanted["daily_limit"], app.settings.currency_digits)
    row = app.database.do(
        lambda session: client_row(
            session, app.settings, people.set_client(session, app.settings, who, **wanted)
        )
    )
    if "name" in wanted:
        names.try_make(app.settings, "client", row["code"], row["name"])
    show_client(row, as_json=as_json)


@client.command(
    "top-up",
    context_settings=NEGATIVE,
    epilog=examples(
        "taxiphone client top-up 48210377 20", "taxiphone client top-up +33639985678 20.00 --key invoice-2291"
    ),
)
@click.argument("who", metavar="CLIENT")
@click.argument("amount", type=amount)
@click.option("--key", help="Names this payment: a second top-up with the same key adds nothing.")
@json_option
@pass_app
def client_top_up(app: App, /, who: str, amount: Decimal, key: str | None, as_json: bool) -> None:
    """Put AMOUNT on a client's wallet and print the new balance.

    Give the payment's own number as --key where there is one: then the command can be repeated without harm.
    """
    digits, currency = app.settings.currency_digits, app.settings.platform.currency
    minor = money.to_minor(validation.amount("the amount", amount, digits), digits)
    if minor == 0:
        raise UsageError("the amount is nothing; give more than 0.")
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        raise UsageError(f"a key is one line of 1 to {_LONGEST_KEY} characters.")

    def work(session: Session) -> dict[str, Any]:
        found = people.the_client(session, app.settings, who)
        balance = postings.top_up(session, found.id, minor, currency, key)
        return {
            "code": found.code,
            "name": found.name,
            "balance": money.from_minor(balance, digits),
            "currency": currency,
        }

    show_one(app.database.do(work), as_json=as_json)


def _limit(wanted: Decimal | str, digits: int) -> int | None:
    """In minor units, more than nothing."""
    if isinstance(wanted, str):
        return None
    minor = money.to_minor(validation.amount("the daily limit", wanted, digits), digits)
    if minor == 0:
        raise UsageError("a daily limit is more than 0. To refuse a client's calls: --block; no limit: none.")
    return minor
