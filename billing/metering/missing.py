"""Detects missing rows of Asterisk's event log: a file is gone or unreadable, or has lines that aren't rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.billing.metering import cel_files, log_gaps
from taxiphone.billing.metering.cel_files import LogFile, Unreadable
from taxiphone.store.models import CelPosition


def note(
    session: Session,
    path: Path,
    before: str | None,
    files: Sequence[LogFile],
    unreadable: Sequence[Unreadable],
) -> None:
    """Record the files that are gone or can't be read as gaps.

    Args:
        session: a session in a transaction that writes.
        path: the log that Asterisk writes to now.
        before: the identity of the file at the last poll; None at the first poll, for the one last read from this path.
        files: the existing files, wherever they were moved.
        unreadable: the files that can't be read.
    """
    for file in unreadable:
        text = (
            f"{file.path} can't be read: {file.why}. Make it readable, or unpack it in the same folder, "
            "and restart serve."
        )
        log_gaps.note(session, f"unreadable:{file.path.name}", text)
    existing = {file.identity for file in files}
    positions = select(CelPosition).where(CelPosition.offset > 0)
    if before is None:
        positions = positions.where(CelPosition.path == str(path)[:400])
        positions = positions.order_by(CelPosition.read_at.desc()).limit(1)
    else:
        positions = positions.where(CelPosition.file == before)
    for position in session.scalars(positions):
        if _plain(position.file) not in existing:
            text = (
                f"the file at {path} was read to byte {position.offset} and is gone, also from its folder. "
                "What Asterisk wrote after that byte is not known."
            )
            log_gaps.note(session, f"gone:{position.file}", text)


def is_read(session: Session, path: Path) -> bool:
    """Whether all rows of a file to which nothing is written any more are in the database."""
    file = cel_files.identify(path)
    if file is None:
        return False
    position = session.get(CelPosition, file.identity)
    return (
        position is not None and next(cel_files.whole_lines(file, position.offset, closed=True), None) is None
    )


@dataclass
class SkippedLines:
    """The lines of one chunk that aren't rows.

    Attributes:
        path: the file's path.
        identity: the file's identity.
        first: the offset of the first of them; None if there are none.
        why: why the first one isn't a row.
        lines: their number.
    """

    path: Path
    identity: str
    first: int | None = None
    why: str = ""
    lines: int = 0

    def add(self, offset: int, line: str, why: str) -> None:
        """Count a line. Empty lines are ignored."""
        if not line.strip():
            return
        if self.first is None:
            self.first, self.why = offset, why
        self.lines += 1

    def note(self, session: Session) -> None:
        """Record them as one gap."""
        if self.first is not None:
            text = f"{self.path}, from byte {self.first} on: {self.lines} line(s) are not rows and were skipped: {self.why}."
            log_gaps.note(session, f"{self.identity}:{self.first}", text)


def _plain(identity: str) -> str:
    """Return a file's identity without the number that `chunks` appends if a file was truncated in place."""
    return identity.partition("-")[0]
