"""`taxiphone prompts name`, `names` and `install`: people's names as sounds, and the synthesiser that makes them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.commands.console import App, err, examples, out, pass_app
from taxiphone.dialplan.asterisk.mirrors import mirror_option
from taxiphone.directory import people
from taxiphone.errors import UsageError
from taxiphone.speech import names as people_names
from taxiphone.speech import sound_files, synthesizer
from taxiphone.speech.names import Kind
from taxiphone.store.models import Client, Consultant

_PEOPLE: dict[Kind, type[Consultant | Client]] = {"consultant": Consultant, "client": Client}


@click.command(
    epilog=examples(
        "taxiphone prompts name consultant 4271",
        "taxiphone prompts name consultant 4271 --recording ~/anne.m4a",
        'taxiphone prompts name client 83920175 --say "Nouyène"',
    )
)
@click.argument("kind", type=click.Choice(tuple(_PEOPLE)))
@click.argument("code")
@click.option(
    "--recording",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A recording of the name; it comes first, in every language.",
)
@click.option("--say", metavar="TEXT", help="Synthesise the name as if it were written so.")
@click.option(
    "--drop-recording", is_flag=True, help="Remove the recording; the synthesised name is heard again."
)
@mirror_option
@pass_app
def name(
    app: App,
    kind: str,
    code: str,
    *,
    recording: Path | None,
    say: str | None,
    drop_recording: bool,
    mirror: str | None,
) -> None:
    """Synthesise the name of a consultant or client, as it stands in the directory, in every language.

    It is heard from the next call on. Without a sound of the name, the code is said.
    """
    if sum((recording is not None, say is not None, drop_recording)) > 1:
        raise click.UsageError("--recording, --say and --drop-recording can't go together.")
    whose = cast("Kind", kind)
    settings = app.settings
    found_code, text = _person(app, whose, code)
    if recording is not None:
        made = people_names.use(settings, whose, found_code, recording)
        out.print(f"{text} is now your recording, {sound_files.seconds(made):.1f} s: {made}", markup=False)
    elif drop_recording:
        if not people_names.drop_recording(settings, whose, found_code):
            raise UsageError(f"there is no recording of the name of {kind} {found_code}.")
        out.print(f"The recording of {text} is removed.", markup=False)
    else:
        install_synthesiser(mirror=mirror)
        people_names.make(settings, whose, found_code, text, say)
        out.print(f"{text} ({kind} {found_code}) is said by name.", markup=False)


@click.command(epilog=examples("taxiphone prompts names"))
@mirror_option
@pass_app
def names(app: App, mirror: str | None) -> None:
    """Synthesise the names of all consultants and clients that are missing or have changed."""
    made = 0
    for kind, model in _PEOPLE.items():
        todo = people_names.missing(app.settings, kind, _everybody(app, model))
        if todo:
            install_synthesiser(mirror=mirror)
        for code, text in todo:
            try:
                people_names.make(app.settings, kind, code, text)
            except UsageError as error:
                err.print(f"{kind} {code}: {error}", markup=False)
            else:
                made += 1
    out.print(f"{made} names made.")


@click.command(epilog=examples("taxiphone prompts install"))
@click.option("--force", is_flag=True, help="Fetch the newest anew, even if there is one already.")
@mirror_option
def install(*, force: bool, mirror: str | None) -> None:
    """Put espeak-ng, which speaks prompts and names, into the cache folder. Needs no root, changes nothing else.

    One on the PATH is used instead.
    """
    out.print(" ".join(install_synthesiser(force=force, mirror=mirror)), markup=False, soft_wrap=True)


def install_synthesiser(*, mirror: str | None = None, force: bool = False) -> synthesizer.Command:
    """The espeak-ng to use; fetched, with progress, if there is none.

    Raises:
        SetupError: it can't be had; says why, and what to do.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("espeak-ng", total=1.0, visible=False)

        def tell(what: str, part: float) -> None:
            progress.update(task, description=f"espeak-ng: {what}", completed=part, visible=True)

        return synthesizer.installed(mirror=mirror, force=force, tell=tell)


def _everybody(app: App, model: type[Consultant | Client]) -> list[tuple[str, str]]:
    """The codes and names of all that there are."""

    def work(session: Session) -> list[tuple[str, str]]:
        rows = session.execute(select(model.code, model.name).order_by(model.id))
        return [(code, text) for code, text in rows]

    return app.database.read(work)


def _person(app: App, kind: Kind, code: str) -> tuple[str, str]:
    """The code and the name of who is meant."""

    def work(session: Session) -> tuple[str, str]:
        if kind == "consultant":
            consultant = people.the_consultant(session, code)
            return consultant.code, consultant.name
        client = people.the_client(session, app.settings, code)
        return client.code, client.name

    return app.database.read(work)
