"""Stores a chunk of Asterisk's event log in the database, together with the position up to which the file was read."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.orm import Session

from taxiphone.billing.evidence import cel
from taxiphone.billing.metering import arrivals, cel_files, late_rows, log_gaps, missing
from taxiphone.billing.metering.cel_files import LogFile
from taxiphone.settings import Settings
from taxiphone.store.idempotent import InsertIfNew, insert_if_new
from taxiphone.store.models import CelPosition
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.sessions import in_session
from taxiphone.store.tables import CEL_POSITION, CEL_ROW
from taxiphone.store.types import now

log = logging.getLogger(__name__)

_READ_UP_TO: Prepared[int] = Prepared(
    select(CEL_POSITION.c.offset).where(CEL_POSITION.c.file == bindparam("of_file")).with_for_update(), scalar
)
_MOVE: Prepared[Any] = Prepared(
    update(CEL_POSITION)
    .where(CEL_POSITION.c.file == bindparam("of_file"))
    .values(offset=bindparam("up_to"), path=bindparam("at_path"), read_at=bindparam("at_time")),
    tuple,
)
_STORE = InsertIfNew(CEL_ROW, ("file", "offset", "event", "at", "channel", "linked", "name", "extra"))
_LONGEST_PATH = 400


@dataclass(frozen=True, slots=True)
class Chunk:
    """What was read of a file.

    Attributes:
        lines: number of lines read; 0 at the end of the file.
        more: whether the file may have more complete lines.
        refused: number of refused calls, by the reason in the dialplan's note.
        apologised: number of callers who heard the apology.
    """

    lines: int
    more: bool = False
    refused: Counter[str] = field(default_factory=Counter)
    apologised: int = 0


def store(connection: Connection, settings: Settings, file: LogFile, *, closed: bool) -> Chunk:
    """Store the next rows of a file and update its position.

    Calls that the program never saw get a row, and calls that were priced before a late row are corrected. A line that isn't
    a row is recorded as a gap in the log.

    Args:
        connection: the connection of a transaction that writes.
        settings: the settings, for the platform's numbers.
        file: the file.
        closed: whether nothing is written to the file any more, so that a last line without a line break is complete.

    Raises:
        OSError: the file can't be read.
    """
    identity, begin = _position(connection, file)
    rows, lines, end, damaged = list[dict[str, Any]](), 0, begin, ""
    bad = missing.SkippedLines(file.path, identity)
    for offset, line, following in cel_files.whole_lines(file, begin, closed=closed):
        if following == offset:
            damaged = line
            break
        try:
            rows.append({"file": identity, "offset": offset, **cel.parse(line).columns()})
        except ValueError as error:
            log.warning("%s, byte %d: skipped, %s: %.200r", file.path, offset, error, line)
            bad.add(offset, line, str(error))
        end, lines = following, lines + 1
    if damaged or bad.lines:
        in_session(partial(_note_gaps, file=file, identity=identity, end=end, damaged=damaged, bad=bad))(
            connection
        )
    if not lines:
        return Chunk(0)
    _MOVE.run(
        connection,
        {"of_file": identity, "up_to": end, "at_path": str(file.path)[:_LONGEST_PATH], "at_time": now()},
    )
    rows, refused = arrivals.without_refused(rows)
    _STORE.run(connection, rows)
    noted = arrivals.note(connection, settings, rows)
    refused["full"] += noted["full"]
    late_rows.process(connection, rows)
    return Chunk(lines, closed or cel_files.has_more(file, end), refused, noted["away"])


def _note_gaps(
    session: Session, *, file: LogFile, identity: str, end: int, damaged: str, bad: missing.SkippedLines
) -> None:
    if damaged:
        log_gaps.note(session, f"{identity}:{end}:damaged", f"{file.path}, byte {end}: {damaged}.")
    bad.note(session)


def _position(connection: Connection, file: LogFile) -> tuple[str, int]:
    """Return how far this file was read, locked against other readers until the transaction ends, and its identity."""
    identity, tries = file.identity, 1
    while True:
        offset = _READ_UP_TO.first(connection, {"of_file": identity})
        if offset is None:
            new = {
                "file": identity,
                "path": str(file.path)[:_LONGEST_PATH],
                "offset": 0,
                "read_at": now(),
            }
            insert_if_new(connection, CelPosition, [new])
            continue
        if cel_files.holds(file, offset):
            return identity, offset
        # Truncated in place, and the new content starts with the same line: treat it as another file.
        tries += 1
        identity = f"{file.identity}-{tries}"
