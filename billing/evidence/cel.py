"""Parses the lines that Asterisk's cel_custom writes, and converts rows to events for `talk`. Does no I/O.

A line is CSV with ten quoted columns: event, time (seconds since 1970 with six decimals), unique id, linked id, channel
name, two empty columns, application, a note from the dialplan (see arrivals.py), and extra (JSON or empty). In older logs,
the two empty columns and the note contain the caller's number, the number dialled and the application's data.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from taxiphone.billing.pricing.talk import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = 10
_TIME = re.compile(r"([0-9]{1,10})\.([0-9]{6})")
# The form in which Asterisk's CSV_QUOTE writes a row. A line of any other form may have been forged by a caller.
_QUOTED = re.compile(r'"(?:[^"]|"")*+"(?:,"(?:[^"]|"")*+")*+')
_NOTE = re.compile(r"(?:in|away|full):[+0-9]{0,24}:[+0-9]{0,24}|full|often")
# The beginning of a line. If Asterisk died in the middle of a line, the next one follows without a line break.
_BEGIN = re.compile(r'"[A-Z_]{4,32}","[0-9]{1,10}\.[0-9]{6}",')


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the log, truncated to the table's columns. `note` isn't stored, since it may contain the caller's number."""

    event: str
    at: datetime
    channel: str
    linked: str
    name: str
    extra: dict[str, Any]
    note: str = ""

    def columns(self) -> dict[str, Any]:
        """The fields by name, as in the table."""
        return {
            "event": self.event,
            "at": self.at,
            "channel": self.channel,
            "linked": self.linked,
            "name": self.name,
            "extra": self.extra,
            "note": self.note,
        }


class LogRow(NamedTuple):
    """A stored row (`store.models.CelRow`)."""

    file: str
    offset: int
    event: str
    at: datetime
    channel: str
    extra: dict[str, Any]


def parse(line: str) -> Row:
    """Parse a line without its line break.

    Raises:
        ValueError: the line is invalid or truncated; the message says what is wrong.
    """
    try:
        return _parse(line)
    except ValueError:
        begins = [match.start() for match in _BEGIN.finditer(line)]
        if not begins or begins[-1] == 0:
            raise
        return _parse(line[begins[-1] :])


def format_row(columns: Sequence[str]) -> str:
    """Format a line as cel_custom writes it, with its line break: columns in quotes, quotes inside them doubled."""
    return ",".join('"' + column.replace('"', '""') + '"' for column in columns) + "\n"


def event_of(row: LogRow) -> Event:
    """Convert a stored row to an event for `talk`."""
    bridge, cause = row.extra.get("bridge_id"), row.extra.get("hangupcause")
    return Event(
        event=row.event,
        at=row.at,
        channel=row.channel,
        bridge=bridge if isinstance(bridge, str) else None,
        cause=cause if isinstance(cause, int) else None,
    )


def _parse(line: str) -> Row:
    try:
        columns = next(csv.reader([line.replace("\0", "")], strict=True))
    except (csv.Error, StopIteration):
        raise ValueError("it is not CSV") from None
    if len(columns) != _COLUMNS:
        raise ValueError(f"it has {len(columns)} columns, not {_COLUMNS}")
    if _QUOTED.fullmatch(line) is None:
        raise ValueError("its columns are not each in quotes, as Asterisk writes them")
    event, time, channel, linked, name, *_, note, extra = columns
    match = _TIME.fullmatch(time)
    if match is None:
        raise ValueError(
            f"its time {time[:40]!r} is not in seconds with six decimals (cel.conf: dateformat unset)"
        )
    microseconds = int(match[1]) * 1_000_000 + int(match[2])
    at = _EPOCH + timedelta(microseconds=microseconds)
    return Row(
        event[:32],
        at,
        channel[:80],
        linked[:80],
        name[:120],
        _extra(extra),
        note if _NOTE.fullmatch(note) else "",
    )


def _extra(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        extra = json.loads(text)
    except ValueError:
        raise ValueError("its last column is not JSON") from None
    return extra if isinstance(extra, dict) else {}
