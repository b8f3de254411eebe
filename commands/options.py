"""Option types that several commands share: exact amounts, days, and which options were given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import click

from taxiphone.billing.ledger.keys import check_given, new_key
from taxiphone.commands.console import note
from taxiphone.exact import exact

# Lets "-5" reach the check that says what is wrong with it; otherwise click reports "no such option".
Command = TypeVar("Command", bound=Callable[..., Any])

NEGATIVE = {"ignore_unknown_options": True}


def amount(text: str) -> Decimal:
    """An exact decimal, such as 1.55, as `taxiphone.exact` reads it. Its range is checked by the directory.

    Raises:
        click.BadParameter: it is not one.
    """
    try:
        return exact(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


def whole(text: str) -> int:
    """A whole number, read like `amount`. Python's int() would also accept 1_0 and the digits of other scripts.

    Raises:
        click.BadParameter: it is not one. Its range is checked by the directory.
    """
    number = amount(text)
    if number != int(number):
        raise click.BadParameter(f"{text!r} is not a whole number.")
    return int(number)


def amount_or_none(text: str) -> Decimal | str:
    """Like `amount`, or the word "none", which removes a setting."""
    return text if text == "none" else amount(text)


def key_option(text: str) -> Callable[[Command], Command]:
    """Give a command that moves money its `--key`."""
    return click.option("--key", help=text)


def key_or_new(key: str | None) -> str:
    """Return the key given, or a new one. A new one is printed, so that the command can be repeated with it."""
    if key is None:
        key = new_key()
        note(f"To repeat this command without paying twice, add: --key {key}")
    check_given(key)
    return key


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given on the command line; click passes None or () for the others."""
    return {key: value for key, value in options.items() if value not in (None, ())}


class Day(click.ParamType[date]):
    """A day, such as 2026-11-22."""

    name = "date"

    def convert(self, value: str | date, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Parse the day."""
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
        except ValueError:
            self.fail(f"{value!r} is not a day such as 2026-11-22.", param, ctx)
