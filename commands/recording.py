"""`taxiphone recording`: which talks were recorded, a copy of one, and deleting one early."""

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

from taxiphone.commands.console import App, err, examples, json_option, out, pass_app, show
from taxiphone.errors import RecordingError, UsageError
from taxiphone.recordings.capture import OPEN, RecordingStatus
from taxiphone.recordings.worker import delete, mp3_of
from taxiphone.settings import Settings
from taxiphone.store.models import Recording


@click.group()
def recording() -> None:
    """Recordings: the MP3s of the talks that both agreed to record."""


@recording.command("list")
@json_option
@pass_app
def recording_list(app: App, as_json: bool) -> None:
    """List the recordings, the newest first.

    asked, captured, converting: on the way. ready: the MP3 is there. empty: nothing was talked. failed: the note says
    why, and a WAV that is there is kept. deleted: its last day (kept_until,
    in the platform's time zone) is over, or it was deleted before.
    """

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
        "taxiphone recording export 261122-7gq4mk - > talk.mp3",
    ),
)
@click.argument("call_id", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@pass_app
def recording_export(app: App, call_id: str, file: Path, force: bool) -> None:
    """Copy the MP3 of the call ID to FILE, readable by you only; `-` is standard output.

    The copy is checked against the sum that was noted when the MP3 was made.
    """
    path, digest = app.database.read(lambda session: _ready(session, app.settings, call_id))
    try:
        with path.open("rb") as source:
            found = hashlib.file_digest(source, "sha256").hexdigest()
            if found != digest:
                raise RecordingError(f"{path} is not as it was when it was made; nothing was copied.")
            source.seek(0)
            _copy(source, file, force=force)
    except OSError as error:
        raise RecordingError(
            f"{error.filename or path} can't be copied: {error.strerror}. Nothing was left behind."
        ) from None
    if str(file) != "-":
        err.print(f"The recording of call {call_id} is in {file}.", markup=False)


@recording.command("delete", epilog=examples("taxiphone recording delete 261122-7gq4mk"))
@click.argument("call_id", metavar="ID")
@pass_app
def recording_delete(app: App, call_id: str) -> None:
    """Delete the files of the recording of call ID now. Its fee and its line on the receipt stay."""

    def work(session: Session) -> None:
        found = _the_recording(session, call_id, lock=True)
        if found.status in OPEN:
            raise UsageError(
                f"the recording of call {call_id} is still being made. Try again when it is ready."
            )
        try:
            delete(app.settings, found)
        except OSError as error:
            raise RecordingError(f"{error.filename} can't be deleted: {error.strerror}.") from None

    app.database.do(work)
    out.print(f"The recording of call {call_id} is deleted.", markup=False)


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


def _the_recording(session: Session, call_id: str, *, lock: bool = False) -> Recording:
    found = session.get(Recording, call_id, with_for_update=lock)
    if found is None:
        raise UsageError(f"call {call_id!r} has no recording. See: taxiphone recording list")
    return found


def _ready(session: Session, settings: Settings, call_id: str) -> tuple[Path, str | None]:
    found = _the_recording(session, call_id)
    path = mp3_of(settings, found)
    if found.status != RecordingStatus.READY or path is None:
        raise UsageError(f"the recording of call {call_id} is not ready: it is {found.status}.")
    return path, found.sha256


def _copy(source: BinaryIO, file: Path, *, force: bool) -> None:
    """Write the copy whole or not at all; without `force` a file that is there stays."""
    if str(file) == "-":
        with click.open_file("-", "wb") as output:
            shutil.copyfileobj(source, output)
            output.flush()
        return
    if file.exists() and not force:
        raise UsageError(f"{file} exists already. Give --force to overwrite it, or another name.")
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as copy:
            shutil.copyfileobj(source, copy)
        part.replace(file)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
