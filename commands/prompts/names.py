"""`taxiphone prompts name` and `names`: the spoken names of consultants and clients."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.commands.console import App, examples, note, pass_app, say
from taxiphone.commands.prompts.synthesizer import install_synthesizer
from taxiphone.dialplan.asterisk.mirrors import mirror_option
from taxiphone.directory import clients, consultants
from taxiphone.errors import UsageError
from taxiphone.speech import names as people_names
from taxiphone.speech import sound_files
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
    help="Use this recording of the name, in every language.",
)
@click.option(
    "--say", "spelling", metavar="TEXT", help="Synthesise the name as if it were written like this."
)
@click.option(
    "--drop-recording", is_flag=True, help="Remove the recording and use the synthesised name again."
)
@mirror_option
@pass_app
def name(
    app: App,
    kind: str,
    code: str,
    *,
    recording: Path | None,
    spelling: str | None,
    drop_recording: bool,
    mirror: str | None,
) -> None:
    """Synthesise or replace the spoken name of the consultant or client with CODE.

    The name is taken from the directory and spoken in every language, from the next call on. Without a sound for the name,
    the code is spoken.
    """
    if sum((recording is not None, spelling is not None, drop_recording)) > 1:
        raise click.UsageError("--recording, --say and --drop-recording can't be combined.")
    whose = cast("Kind", kind)
    settings = app.settings
    found_code, text = _person(app, whose, code)
    if recording is not None:
        made = people_names.use(settings, whose, found_code, recording)
        say(f"{text} now uses your recording, {sound_files.seconds(made):.1f} s: {made}")
    elif drop_recording:
        if not people_names.drop_recording(settings, whose, found_code):
            raise UsageError(f"there is no recording of the name of {kind} {found_code}.")
        say(f"The recording of {text} was removed.")
    else:
        install_synthesizer(mirror=mirror)
        people_names.make(settings, whose, found_code, text, spelling)
        say(f"{text} ({kind} {found_code}) is spoken by name.")


@click.command(epilog=examples("taxiphone prompts names"))
@mirror_option
@pass_app
def names(app: App, mirror: str | None) -> None:
    """Synthesise all names of consultants and clients that are missing or have changed."""
    made = 0
    for kind, model in _PEOPLE.items():
        todo = people_names.missing(app.settings, kind, _everybody(app, model))
        if todo:
            install_synthesizer(mirror=mirror)
        for code, text in todo:
            try:
                people_names.make(app.settings, kind, code, text)
            except UsageError as error:
                note(f"{kind} {code}: {error}")
            else:
                made += 1
    say(f"{made} names synthesised.")


def _everybody(app: App, model: type[Consultant | Client]) -> list[tuple[str, str]]:
    """The codes and names of all consultants or clients."""

    def work(session: Session) -> list[tuple[str, str]]:
        rows = session.execute(select(model.code, model.name).order_by(model.id))
        return [(code, text) for code, text in rows]

    return app.database.read(work)


def _person(app: App, kind: Kind, code: str) -> tuple[str, str]:
    """The code and the name of the person that was meant."""

    def work(session: Session) -> tuple[str, str]:
        if kind == "consultant":
            consultant = consultants.the_consultant(session, code)
            return consultant.code, consultant.name
        client = clients.the_client(session, app.settings, code)
        return client.code, client.name

    return app.database.read(work)
