"""`taxiphone client add` and `client set`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from taxiphone.billing.pricing import money
from taxiphone.commands.client.rows import show_client
from taxiphone.commands.client.showing import client_row
from taxiphone.commands.console import App, examples, json_option, pass_app, say
from taxiphone.commands.options import amount_or_none, given
from taxiphone.directory import clients, validation
from taxiphone.errors import UsageError
from taxiphone.speech import names


@click.command(
    "add",
    epilog=examples("taxiphone client add Paul --number +33639985679 --number 0199005566 --language fr"),
)
@click.argument("name")
@click.option(
    "--number",
    "phones",
    multiple=True,
    required=True,
    metavar="NUMBER",
    help="A number that the client calls from. Can be repeated.",
)
@click.option("--language", metavar="LANG", help="The language that the client hears, such as fr or en.")
@json_option
@pass_app
def client_add(app: App, /, name: str, phones: tuple[str, ...], language: str | None, as_json: bool) -> None:
    """Add the client NAME with the numbers that they call from.

    To call from another number or a hidden one, a client needs a PIN: taxiphone client pin.
    """
    row = app.database.do(
        lambda session: client_row(
            session,
            app.settings,
            clients.add_client(session, app.settings, name=name, phones=phones, language=language),
        )
    )
    names.try_make(app.settings, "client", row["code"], row["name"])
    show_client(row, as_json=as_json)
    if not as_json:
        say(
            f"\nTo call from another number or a hidden one, the client needs a PIN: taxiphone client pin {row['code']}"
        )


@click.command(
    "set",
    epilog=examples(
        "taxiphone client set 48210377 --block",
        "taxiphone client set 48210377 --add-number +33199005577",
        "taxiphone client set 48210377 --daily-limit 30",
    ),
)
@click.argument("who", metavar="CLIENT")
@click.option("--name", help="Change the name.")
@click.option("--language", metavar="LANG", help="Change the language.")
@click.option(
    "--add-number",
    "add_phones",
    multiple=True,
    metavar="NUMBER",
    help="Add a number that the client calls from. Can be repeated.",
)
@click.option(
    "--remove-number",
    "remove_phones",
    multiple=True,
    metavar="NUMBER",
    help="Remove a number. Can be repeated.",
)
@click.option("--block/--unblock", "blocked", default=None, help="Refuse or accept the client's calls.")
@click.option(
    "--daily-limit",
    metavar="AMOUNT|none",
    type=amount_or_none,
    help="The most that the client may spend in a day, or none.",
)
@json_option
@pass_app
def client_set(app: App, /, who: str, as_json: bool, **changes: Any) -> None:
    """Change CLIENT; settings that you don't give stay as they are."""
    wanted = given(changes)
    if not wanted:
        raise UsageError("nothing to change. See: taxiphone client set --help")
    if "daily_limit" in wanted:
        wanted["daily_limit"] = _limit(wanted["daily_limit"], app.settings.currency_digits)
    row = app.database.do(
        lambda session: client_row(
            session, app.settings, clients.set_client(session, app.settings, who, **wanted)
        )
    )
    if "name" in wanted:
        names.try_make(app.settings, "client", row["code"], row["name"])
    show_client(row, as_json=as_json)


def _limit(wanted: Decimal | str, digits: int) -> int | None:
    """The limit in minor units; None removes it."""
    if isinstance(wanted, str):
        return None
    minor = money.to_minor(validation.amount("the daily limit", wanted, digits), digits)
    if minor == 0:
        raise UsageError(
            "the daily limit must be more than 0. Use --block to refuse all calls, and none for no limit."
        )
    return minor
