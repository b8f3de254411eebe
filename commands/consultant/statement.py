"""`taxiphone consultant statement`: what a consultant earned, refunded and was paid, day by day."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import click
from sqlalchemy.orm import Session

from taxiphone.billing import days
from taxiphone.billing.papers import paper_text, statement_data, statements
from taxiphone.billing.papers.paper import operator
from taxiphone.billing.papers.statement_paper import statement_paper
from taxiphone.commands.console import App, examples, json_option, json_text, note, pass_app, say
from taxiphone.commands.files import write_private
from taxiphone.commands.options import Day
from taxiphone.directory.consultants import the_consultant
from taxiphone.errors import UsageError
from taxiphone.settings import Settings

_PROVISIONAL = "This statement is provisional: the period is not over, or ended less than ten minutes ago. Lines may still be added."
_FORMATS = ("text", "csv", "json", "pdf")


@click.command(
    "statement",
    epilog=examples(
        "taxiphone consultant statement 101 --from 2026-11-01 --to 2026-11-30",
        "taxiphone consultant statement 101 --from 2026-11-01 --to 2026-11-30 --output november.pdf",
        "taxiphone consultant statement 101 --from 2026-11-01 --format csv > november.csv",
    ),
)
@click.argument("code")
@click.option("--from", "first", type=Day(), required=True, metavar="DATE", help="The first day.")
@click.option("--to", "last", type=Day(), metavar="DATE", help="The last day. Default: today.")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="The format. Default: by the ending of --output (.pdf, .csv, .json), else text.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file; only you can read it.")
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@json_option
@pass_app
def statement(
    app: App,
    /,
    code: str,
    first: date,
    last: date | None,
    form: str | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Print what the consultant with CODE earned in a period: calls, refunds, payouts and balances.

    Days begin and end in the platform's time zone. Each line is dated by the day on which it was posted. The figures come from the
    ledger: opening balance, shares, corrections and payouts add up to the closing balance. Clients are not named.
    """
    zone = days.zone_of(app.settings)
    last = last or days.today(zone)
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}.")
    if as_json and form not in {None, "json"}:
        raise UsageError("--json can't be combined with another --format.")
    ending = output.suffix.lower().removeprefix(".") if output is not None else ""
    wanted = "json" if as_json else form or (ending if ending in _FORMATS else "text")

    def work(session: Session) -> tuple[bytes, list[str]]:
        consultant = the_consultant(session, code)
        currency = app.settings.platform.currency
        return _written(
            app.settings, statements.statement(session, consultant, currency, first, last, zone), wanted
        )

    data, remarks = app.database.read(work)
    for remark in remarks:
        note(remark)
    if output is not None:
        write_private(output, data, force=force)
        say(f"Wrote {output}.")
        return
    if wanted == "pdf" and sys.stdout.isatty():
        raise UsageError("a PDF can't be printed to a terminal. Give a file with --output.")
    # Text is printed in the terminal's encoding; the other formats are the bytes that the file would have.
    if wanted == "text":
        say(data.decode().rstrip("\n"))
    else:
        click.echo(data, nl=False)


def _written(settings: Settings, found: statements.Statement, form: str) -> tuple[bytes, list[str]]:
    """The file's bytes, and remarks for the user."""
    if form == "json":
        data = statement_data.as_json(found) | {"operator": operator(settings)}
        return (json_text(data) + "\n").encode(), []
    if form == "csv":
        return statement_data.as_csv(found).encode(), [_PROVISIONAL] if found.provisional else []
    paper = statement_paper(settings, found)
    if form == "text":
        return (paper_text.write(paper) + "\n").encode(), []
    from taxiphone.billing.papers import paper_names, paper_pdf  # noqa: PLC0415 - fonts are read for a PDF only

    return paper_pdf.draw(paper), paper_names.replaced_names(paper)
