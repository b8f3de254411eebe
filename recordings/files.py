"""The files of recordings: their paths, and when they are deleted."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from taxiphone.recordings import convert, keeping
from taxiphone.recordings.capture import RecordingStatus
from taxiphone.settings import Settings
from taxiphone.store.calls import FINAL
from taxiphone.store.database import Database
from taxiphone.store.models import Call, Recording
from taxiphone.store.types import now
from taxiphone.store.writer import Priority

log = logging.getLogger(__name__)

# How long the WAV of a call without a recording is kept.
_UNCLAIMED_SECONDS = 60.0


def wav_of(settings: Settings, recording: Recording) -> Path:
    """Return the path of a recording's WAV, which may have been deleted."""
    return settings.captured / recording.wav


def mp3_of(settings: Settings, recording: Recording) -> Path | None:
    """Return the path of a recording's MP3; None if there never was one."""
    return None if recording.mp3 is None else settings.recordings / recording.mp3


def delete(settings: Settings, recording: Recording) -> None:
    """Delete a recording's files, then mark its row as deleted. The fee is not refunded.

    Raises:
        OSError: a file can't be deleted. The row is then unchanged.
    """
    for path in (mp3_of(settings, recording), wav_of(settings, recording)):
        if path is not None:
            path.unlink(missing_ok=True)
    recording.status = RecordingStatus.DELETED


class OldFiles:
    """Deletes the files that are no longer needed.

    Args:
        settings: the settings.
        database: the database.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        # Files that can't be deleted, and for which this was logged.
        self._undeletable: set[Path] = set()

    def delete_expired(self) -> None:
        """Delete expired recordings and temporary files of interrupted conversions.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database can't be reached.
            OSError: the folder of the recordings can't be read.
        """
        convert.clear(self._settings.recordings)
        for call_id in self._database.read(self._expired):
            # Each recording has its own transaction, so that a file that can't be deleted affects only its own row.
            try:
                self._database.do(partial(self._delete_expired, call_id=call_id), Priority.HOUSEKEEPING)
            except OSError as error:
                log.warning(
                    "the recording of call %s has expired, but can't be deleted: %s: %s. It is tried again every hour.",
                    call_id,
                    error.filename,
                    error.strerror,
                )

    def delete_leftovers(self) -> None:
        """Delete WAVs that are no longer needed, for example because the process died after the commit.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database can't be reached.
            OSError: the capture folder can't be read.
        """
        folder = self._settings.captured
        paths = list(folder.glob("*.wav")) if folder.is_dir() else []
        if not paths:
            return
        for name in self._database.read(lambda session: _leftovers(session, paths)):
            self.unlink(folder / name)

    def unlink(self, path: Path) -> None:
        """Delete a file; if that fails, log it once."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if path not in self._undeletable:
                self._undeletable.add(path)
                log.warning(
                    "%s is no longer needed, but can't be deleted: %s. Delete the file manually.",
                    path,
                    error.strerror,
                )

    def _is_expired(self) -> ColumnElement[bool]:
        return and_(
            Recording.status.in_((RecordingStatus.READY, RecordingStatus.FAILED)),
            Recording.kept_until < keeping.local_day(self._settings, now()),
        )

    def _expired(self, session: Session) -> list[str]:
        return list(session.scalars(select(Recording.call_id).where(self._is_expired())))

    def _delete_expired(self, session: Session, *, call_id: str) -> None:
        query = select(Recording).where(Recording.call_id == call_id, self._is_expired()).with_for_update()
        recording = session.scalars(query).one_or_none()
        if recording is not None:
            delete(self._settings, recording)
            log.info(
                "the recording of call %s was kept until %s and has been deleted",
                call_id,
                recording.kept_until,
            )


def _leftovers(session: Session, paths: Sequence[Path]) -> list[str]:
    """Return the names of WAVs that are no longer needed, except files that belong to no call in the database.

    MixMonitor starts before the two sides are bridged, so a call without a recording can leave an empty file.
    """
    finished = (RecordingStatus.READY, RecordingStatus.EMPTY, RecordingStatus.DELETED)
    names = [path.name for path in paths]
    of_recordings = list(
        session.scalars(select(Recording.wav).where(Recording.wav.in_(names), Recording.status.in_(finished)))
    )
    old = [path.stem for path in paths if _age(path) >= _UNCLAIMED_SECONDS]
    without_recording = select(Call.id).where(
        Call.id.in_(old),
        Call.status.in_(FINAL),
        ~select(Recording).where(Recording.call_id == Call.id).exists(),
    )
    return [*of_recordings, *(f"{call_id}.wav" for call_id in session.scalars(without_recording))]


def _age(path: Path) -> float:
    """Return the seconds since a file was written; 0 if it no longer exists."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
