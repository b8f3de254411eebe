"""`taxiphone recording`: list, copy and delete recordings."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Any, BinaryIO

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.commands.call_lookup import find_call
from taxiphone.commands.console import App, examples, json_option, note, pass_app, say, show
from taxiphone.commands.lazy import LazyGroup
from taxiphone.errors import RecordingError, UsageError
from taxiphone.recordings.capture import OPEN, RecordingStatus
from taxiphone.recordings.files import delete, mp3_of
from taxiphone.settings import Settings
from taxiphone.store.models import Recording


@click.group(cls=LazyGroup)
def recording() -> None:
    """List, export and delete the recordings of talks (MP3).

    ID is a call's id, or the beginning or the end of it if no other call matches.
    """


@recording.command("list", epilog=examples("taxiphone recording list", "taxiphone recording list --json"))
@json_option
@pass_app
def recording_list(app: App, as_json: bool) -> None:
    """List the recordings, newest first.

    \b
    asked, captured, converting   in progress
    ready                         the MP3 is available
    empty                         nobody talked
    failed                        see the note; the WAV is kept if there is one
    deleted                       by hand, or after kept_until
    """  # noqa: D301 - click reads \b as "keep these lines"

    def work(session: Session) -> list[dict[str, Any]]:
        found = session.scalars(select(Recording).order_by(Recording.created_at.desc()))
        return [_row(app.settings, each) for each in found]

    columns = ("call", "status", "length", "size", "kept_until", "path", "note")
    rows = app.database.read(work)
    if not as_json:
        rows = [{**row, "length": _length(row["milliseconds"]), "size": _size(row["bytes"])} for row in rows]
    show(rows, columns, as_json=as_json, empty="No recordings yet.")


@recording.command(
    "export",
    epilog=examples(
        "taxiphone recording export 261122-7gq4mk talk.mp3",
        "taxiphone recording export 7gq4mk - > talk.mp3",
    ),
)
@click.argument("call_id", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@pass_app
def recording_export(app: App, call_id: str, file: Path, force: bool) -> None:
    """Copy the MP3 of call ID to FILE; - is standard output.

    Only you can read the copy. The MP3 is checked against the SHA-256 that was stored when it was made.
    """
    path, digest = app.database.read(lambda session: _ready(session, app.settings, call_id))
    try:
        with path.open("rb") as source:
            found = hashlib.file_digest(source, "sha256").hexdigest()
            if found != digest:
                raise RecordingError(f"{path} was changed since it was made; nothing was copied.")
            source.seek(0)
            _copy(source, file, force=force)
    except OSError as error:
        raise RecordingError(
            f"{error.filename or path} can't be copied: {error.strerror}. No partial copy was left."
        ) from None
    if str(file) != "-":
        note(f"Wrote {file}.")


@recording.command("delete", epilog=examples("taxiphone recording delete 261122-7gq4mk"))
@click.argument("call_id", metavar="ID")
@pass_app
def recording_delete(app: App, call_id: str) -> None:
    """Delete the recording of call ID now.

    The fee is not refunded, and the receipt still lists it.
    """

    def work(session: Session) -> str:
        found = _the_recording(session, call_id, lock=True)
        if found.status in OPEN:
            raise UsageError(
                f"the recording of call {found.call_id} is still being made. Try again when it is ready."
            )
        try:
            delete(app.settings, found)
        except OSError as error:
            raise RecordingError(f"{error.filename} can't be deleted: {error.strerror}.") from None
        return found.call_id

    say(f"Deleted the recording of call {app.database.do(work)}.")


def _row(settings: Settings, found: Recording) -> dict[str, Any]:
    path = mp3_of(settings, found) if found.status == RecordingStatus.READY else None
    size = path.stat().st_size if path is not None and path.exists() else None
    return {
        "call": found.call_id,
        "status": found.status,
        "milliseconds": found.milliseconds,
        "bytes": size,
        "sha256": found.sha256,
        "kept_until": None if found.kept_until is None else found.kept_until.isoformat(),
        "path": path,
        "tries": found.tries,
        "note": found.error if path is None or size is not None else "the file is missing",
    }


def _length(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes}:{seconds:02}"


def _size(size: int | None) -> str | None:
    return None if size is None else f"{size / 1000:,.0f} kB"


def _the_recording(session: Session, text: str, *, lock: bool = False) -> Recording:
    """The recording of the call with this id, or whose id begins or ends with the text."""
    call_id = find_call(session, text).id
    found = session.get(Recording, call_id, with_for_update=lock)
    if found is None:
        raise UsageError(f"call {call_id} has no recording. See: taxiphone recording list")
    return found


def _ready(session: Session, settings: Settings, text: str) -> tuple[Path, str | None]:
    found = _the_recording(session, text)
    path = mp3_of(settings, found)
    if found.status != RecordingStatus.READY or path is None:
        raise UsageError(f"the recording of call {found.call_id} is not ready: it is {found.status}.")
    return path, found.sha256


def _copy(source: BinaryIO, file: Path, *, force: bool) -> None:
    """Write the copy completely or not at all. Without `force`, an existing file is kept."""
    if str(file) == "-":
        with click.open_file("-", "wb") as output:
            shutil.copyfileobj(source, output)
            output.flush()
        return
    if file.exists() and not force:
        raise UsageError(f"{file} already exists. Give another name, or --force to overwrite it.")
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as copy:
            shutil.copyfileobj(source, copy)
        part.replace(file)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
