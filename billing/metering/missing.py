"""Finds where rows of Asterisk's event log are missing: a file is gone, can't be read, or has lines that are not rows."""

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
    """Note the files that are gone, or that can't be read.

    Args:
        session: one that writes.
        path: of the log that Asterisk writes now.
        before: the identity of the file at the last poll; None at the first one, when the database is asked.
        files: those that exist, wherever they were moved to.
        unreadable: those that can't be read.
    """
    for each in unreadable:
        text = f"{each.path} can't be read: {each.why}. Make it readable, or unpack it beside the log, and restart serve."
        log_gaps.note(session, f"unreadable:{each.path.name}", text)
    here = {file.identity for file in files}
    found = select(CelPosition).where(CelPosition.offset > 0)
    if before is None:
        found = found.where(CelPosition.path == str(path)[:400]).order_by(CelPosition.read_at.desc()).limit(1)
    else:
        found = found.where(CelPosition.file == before)
    for position in session.scalars(found):
        if _plain(position.file) not in here:
            text = (
                f"the file at {path} was read to byte {position.offset} and is gone, also from its folder. "
                "What Asterisk wrote after that byte is not known."
            )
            log_gaps.note(session, f"gone:{position.file}", text)


def is_read(session: Session, path: Path) -> bool:
    """Whether all rows of a file that nobody writes to any more are in the database."""
    file = cel_files.identify(path)
    if file is None:
        return False
    position = session.get(CelPosition, file.identity)
    # A line after the position was not read.
    return (
        position is not None and next(cel_files.whole_lines(file, position.offset, closed=True), None) is None
    )


@dataclass
class SkippedLines:
    """The lines of one read that are not Asterisk's rows."""

    path: Path
    identity: str
    first: int | None = None
    why: str = ""
    lines: int = 0

    def add(self, offset: int, line: str, why: str) -> None:
        """Count a line; an empty one is no loss."""
        if not line.strip():
            return
        if self.first is None:
            self.first, self.why = offset, why
        self.lines += 1

    def note(self, session: Session) -> None:
        """Note them as one gap."""
        if self.first is not None:
            text = f"{self.path}, from byte {self.first} on: {self.lines} line(s) are not rows and were skipped: {self.why}."
            log_gaps.note(session, f"{self.identity}:{self.first}", text)


def _plain(identity: str) -> str:
    """A file's identity without the number of its turn (`Meter._position`)."""
    return identity.partition("-")[0]
