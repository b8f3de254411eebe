"""`taxiphone receipt`: the receipt of a priced call, on the screen and as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from taxiphone.billing.papers import receipt_paper, receipts
from taxiphone.commands.call_lookup import find_call
from taxiphone.commands.console import (
    App,
    examples,
    json_option,
    json_text,
    note,
    pass_app,
    print_json,
    say,
    show_one,
)
from taxiphone.commands.files import write_private
from taxiphone.commands.lazy import LazyGroup
from taxiphone.settings import Settings

_FORMATS = ("text", "json", "pdf")


@click.group(cls=LazyGroup)
def receipt() -> None:
    """Print and export the receipts of priced calls.

    ID is a call's id, or the beginning or the end of it if no other call matches.
    """


@receipt.command("show", epilog=examples("taxiphone receipt show 261122-7gq4mk"))
@click.argument("call_id", metavar="ID")
@json_option
@pass_app
def receipt_show(app: App, /, call_id: str, as_json: bool) -> None:
    """Show the receipt of call ID in the client's language, and the consultant's statement line."""
    if as_json:
        print_json(
            app.database.read(lambda session: _both(session, app.settings, find_call(session, call_id).id))
        )
        return

    def work(session: Session) -> tuple[str, str]:
        found = find_call(session, call_id).id
        client_text = receipt_paper.receipt_text(session, app.settings, found)
        return client_text, receipts.statement_line_text(session, found, app.settings)

    client_text, consultant_text = app.database.read(work)
    say(client_text)
    say(f"\nConsultant: {consultant_text}")


@receipt.command(
    "export",
    epilog=examples(
        "taxiphone receipt export 261122-7gq4mk receipt.pdf",
        "taxiphone receipt export 261122-7gq4mk receipt.json --force",
        "taxiphone receipt export 261122-7gq4mk - --format text",
    ),
)
@click.argument("call_id", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="The format. Default: by the ending of FILE (.pdf, .json, .txt), else text.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@json_option
@pass_app
def receipt_export(
    app: App, /, call_id: str, file: Path, form: str | None, force: bool, as_json: bool
) -> None:
    """Write the receipt of call ID to FILE, in the client's language; - is standard output.

    The PDF is ready to send: it has the operator's details from [invoice] in the settings, the client's name, each line with
    its duration and price, the tax, and refunds. Only you can read the file.
    """
    wanted = form or {".pdf": "pdf", ".json": "json"}.get(file.suffix.lower(), "text")
    data, remarks = app.database.read(
        lambda session: _written(session, app.settings, find_call(session, call_id).id, wanted)
    )
    for remark in remarks:
        note(remark)
    if str(file) == "-":
        click.echo(data, nl=False)
        return
    write_private(file, data, force=force)
    row = {"file": file.absolute(), "format": wanted, "bytes": len(data)}
    if as_json:
        show_one(row, as_json=True)
    else:
        say(f"Wrote {file}.")


def _written(session: Session, settings: Settings, call_id: str, form: str) -> tuple[bytes, list[str]]:
    """The file's bytes, and remarks for the user."""
    if form == "json":
        found = receipts.client_receipt(session, call_id, settings)
        return (json_text(found) + "\n").encode(), []
    if form == "text":
        return (receipt_paper.receipt_text(session, settings, call_id) + "\n").encode(), []
    from taxiphone.billing.papers import paper_names, paper_pdf  # noqa: PLC0415 - fonts are read for a PDF only

    paper = receipt_paper.receipt_paper(session, settings, call_id)
    return paper_pdf.draw(paper), paper_names.replaced_names(paper)


def _both(session: Session, settings: Settings, call_id: str) -> dict[str, Any]:
    return {
        **receipts.client_receipt(session, call_id, settings),
        "statement": receipts.statement_line(session, call_id),
    }
