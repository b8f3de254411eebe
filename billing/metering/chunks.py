"""Stores a chunk of Asterisk's event log in the database, in the transaction that also prices its calls."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict, dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.billing.evidence import cel
from taxiphone.billing.metering import arrivals, cel_files, late_rows, log_gaps, missing
from taxiphone.billing.metering.cel_files import LogFile
from taxiphone.settings import Settings
from taxiphone.store.idempotent import insert_if_new
from taxiphone.store.models import CelPosition, CelRow
from taxiphone.store.types import now

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chunk:
    """What was read of a file.

    Attributes:
        lines: number of lines read; 0 at the end of the file.
        refused: number of refused calls, by the reason in the dialplan's note.
        apologised: number of callers who heard the apology.
    """

    lines: int
    refused: Counter[str] = field(default_factory=Counter)
    apologised: int = 0


def store(session: Session, settings: Settings, file: LogFile, *, closed: bool) -> Chunk:
    """Store the next rows of a file and update its position.

    Calls that the program never saw get a row, and calls that were priced before a late row are corrected. A line that isn't
    a row is recorded as a gap in the log.

    Args:
        session: a session in a transaction that writes.
        settings: the settings, for the platform's numbers.
        file: the file.
        closed: whether nothing is written to the file any more, so that a last line without a line break is complete.

    Raises:
        OSError: the file can't be read.
    """
    position = _position(session, file)
    rows, lines, bad = [], 0, missing.SkippedLines(file.path, position.file)
    for offset, line, following in cel_files.whole_lines(file, position.offset, closed=closed):
        if following == offset:
            log_gaps.note(
                session, f"{position.file}:{offset}:damaged", f"{file.path}, byte {offset}: {line}."
            )
            break
        try:
            rows.append({"file": position.file, "offset": offset, **asdict(cel.parse(line))})
        except ValueError as error:
            log.warning("%s, byte %d: skipped, %s: %.200r", file.path, offset, error, line)
            bad.add(offset, line, str(error))
        position.offset, position.read_at, lines = following, now(), lines + 1
    bad.note(session)
    if not lines:
        return Chunk(0)
    position.path = str(file.path)[:400]
    rows, refused = arrivals.without_refused(rows)
    insert_if_new(session, CelRow, [{k: row[k] for k in row if k != "note"} for row in rows])
    noted = arrivals.note(session, settings, rows)
    refused["full"] += noted["full"]
    late_rows.process(session, rows)
    return Chunk(lines, refused, noted["away"])


def _position(session: Session, file: LogFile) -> CelPosition:
    """Return how far this file was read, and lock it against other readers until the transaction ends."""
    identity, tries = file.identity, 1
    while True:
        insert_if_new(
            session,
            CelPosition,
            [{"file": identity, "path": str(file.path)[:400], "offset": 0, "read_at": now()}],
        )
        position = session.execute(
            select(CelPosition).where(CelPosition.file == identity).with_for_update()
        ).scalar_one()
        if cel_files.holds(file, position.offset):
            return position
        # Truncated in place, and the new content starts with the same line: treat it as another file.
        tries += 1
        identity = f"{file.identity}-{tries}"
