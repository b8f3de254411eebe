"""`taxiphone quote`: what a talk would cost, or how long a balance lasts, without a call."""

from __future__ import annotations

import click
from sqlalchemy.orm import Session

from taxiphone.billing.pricing import quote as quotes
from taxiphone.billing.pricing.money import to_minor
from taxiphone.billing.pricing.quote_file import read_tariff
from taxiphone.billing.pricing.tariff import Tariff
from taxiphone.billing.pricing.tariff_explained import explain
from taxiphone.billing.pricing.tariff_json import number
from taxiphone.billing.pricing.tariff_price import longest_talk, price
from taxiphone.billing.tariffs_in_force import MODES, PACKAGE, PER_MINUTE, tariff_for
from taxiphone.commands.console import App, examples, json_option, pass_app, print_json, say, show
from taxiphone.directory import clients, consultants
from taxiphone.errors import LedgerError, UsageError

_COLUMNS = ("seconds", "billed_seconds", "lines", "total", "commission", "consultant", "net", "VAT")


@click.command(
    epilog=examples(
        "taxiphone quote --consultant 101 --seconds 60,61,83.4",
        "taxiphone quote --consultant 101 --mode package --client +33612345678 --seconds 3600",
        "taxiphone quote --tariff tariff.json --seconds 3661 --recorded --json",
        "taxiphone quote --tariff tariff.json --credit 20",
    )
)
@click.option("--consultant", metavar="CODE", help="Use this consultant's prices.")
@click.option("--mode", type=click.Choice(MODES), help="Price per minute or package.  [default: per_minute]")
@click.option(
    "--client",
    metavar="NUMBER",
    help="Quote for the client with this number or code. Default: for a new client, who still has the free minutes.",
)
@click.option("--tariff", metavar="FILE", help="Use the tariff in this JSON file; - is standard input.")
@click.option("--seconds", metavar="N[,N...]", help="Durations of the talk; decimals are allowed.")
@click.option("--recorded", is_flag=True, help="Include the recording fee.")
@click.option(
    "--credit",
    metavar="AMOUNT",
    help="Calculate the longest talk that this amount pays for, instead of prices.",
)
@json_option
@pass_app
def quote(
    app: App,
    /,
    consultant: str | None,
    mode: str | None,
    client: str | None,
    tariff: str | None,
    seconds: str | None,
    recorded: bool,
    credit: str | None,
    as_json: bool,
) -> None:
    """Calculate what a talk costs, line by line, or how long a balance lasts.

    Nothing is posted. The tariff is the consultant's current one, or it comes from a file; a file needs neither settings nor a database.
    docs/pricing.md describes the file's keys and the rules of the price.
    """
    if (consultant is None) == (tariff is None):
        raise UsageError("give either --consultant CODE or --tariff FILE.")
    if (seconds is None) == (credit is None):
        raise UsageError("give either --seconds N or --credit AMOUNT.")
    if tariff is not None:
        if mode is not None or client is not None:
            given = "--mode" if mode is not None else "--client"
            raise UsageError(f"{given} can't be combined with --tariff, whose file has the whole tariff.")
        by = read_tariff(tariff, recorded=recorded)
    else:
        by = _in_force(app, consultant or "", mode or PER_MINUTE, client, recorded=recorded)
    if credit is not None:
        _how_long(by, credit, recorded=recorded, as_json=as_json)
    else:
        _how_much(by, seconds or "", recorded=recorded, as_json=as_json)


def _how_much(tariff: Tariff, seconds: str, *, recorded: bool, as_json: bool) -> None:
    lengths = quotes.lengths(seconds)
    rows = quotes.quote(tariff, lengths, recorded=recorded)
    if as_json:
        click.echo(quotes.json_text(rows))
        return
    show(quotes.table_rows(rows), _COLUMNS, as_json=False)
    say(f"\nAmounts in {tariff.currency}, tax included.")
    if len(lengths) == 1:
        for step in explain(tariff, lengths[0], price(tariff, lengths[0], recorded=recorded)):
            say(step.text)


def _how_long(tariff: Tariff, credit: str, *, recorded: bool, as_json: bool) -> None:
    try:
        minor = to_minor(number("--credit", credit), tariff.digits)
    except ValueError as error:
        raise UsageError(f"{error}.") from None
    except UsageError as error:
        raise UsageError(f"--credit: {error}") from None
    longest = longest_talk(tariff, minor, recorded=recorded)
    if as_json:
        print_json({"max_seconds": longest})
    elif longest is None:
        say("The talk could go on without limit.")
    elif longest == 0:
        say("Not enough for any talk: it does not cover the fee or the first block.")
    else:
        say(f"Enough for a talk of {longest} s ({quotes.in_words(longest)}).")


def _in_force(app: App, code: str, mode: str, client: str | None, *, recorded: bool) -> Tariff:
    """The consultant's tariff in the mode, for that client or for a new one."""

    def work(session: Session) -> Tariff:
        who = consultants.the_consultant(session, code)
        if recorded and not who.recording_allowed:
            raise UsageError(f"consultant {who.code} does not allow recordings. Remove --recorded.")
        if mode == PACKAGE and who.package_price is None:
            raise UsageError(f"consultant {who.code} offers no package. Remove --mode.")
        caller = 0 if client is None else clients.the_client(session, app.settings, client).id
        return tariff_for(session.connection(), app.settings, who, caller, mode)

    try:
        with app.database.reading() as session:
            return work(session)
    except LedgerError as error:
        raise UsageError(str(error)) from None
