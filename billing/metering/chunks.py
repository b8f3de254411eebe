"""One chunk of Asterisk's event log on its way into the database, within the transaction that also prices its calls."""

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
        lines: the number of lines that were consumed; 0 at the end of the file.
        refused: how many calls were refused, by the reason that the dialplan notes.
        apologised: how many callers heard the apology.
    """

    lines: int
    refused: Counter[str] = field(default_factory=Counter)
    apologised: int = 0


def store(session: Session, settings: Settings, file: LogFile, *, closed: bool) -> Chunk:
    """Store the next rows of a file and move its position past them.

    Calls that the program never saw get a row, and calls that were priced before a late row are corrected. A line that
    is no row is noted as a gap in the log.

    Args:
        session: one that writes.
        settings: whose numbers the calls came to.
        file: the file to read on.
        closed: nobody writes to the file any more, so a last line without its line break is complete.

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
            log.warning("%s, byte %d: left out, %s: %.200r", file.path, offset, error, line)
            bad.add(offset, line, str(error))
        position.offset, position.read_at, lines = following, now(), lines + 1
    bad.note(session)
    if not lines:
        return Chunk(0)
    position.path = str(file.path)[:400]
    rows, refused = arrivals.without_refused(rows)
    insert_if_new(session, CelRow, [{k: row[k] for k in row if k != "note"} for row in rows])
    apologised = arrivals.note(session, settings, rows)
    late_rows.process(session, rows)
    return Chunk(lines, refused, apologised)


def _position(session: Session, file: LogFile) -> CelPosition:
    """How far this file was read; another reader waits until this transaction ends."""
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
        # Emptied in place and begun again with the very same line: read it as one more file.
        tries += 1
        identity = f"{file.identity}-{tries}"
