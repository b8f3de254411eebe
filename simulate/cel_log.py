"""The event log (CEL) of the simulated Asterisk, with the columns that billing/evidence/cel.py reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from taxiphone.billing.evidence.cel import format_row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class CelLog:
    """Appends rows to a file, each later than the previous one, as Asterisk does.

    Args:
        file: `settings.cel_file`. Its folder is created.
        clock: the wall clock for the rows' timestamps.
        on_row: called after each row, with its event.
    """

    def __init__(self, file: Path, clock: Callable[[], datetime], on_row: Callable[[str], None]) -> None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file, self._clock, self._on_row = file, clock, on_row
        self._last = _EPOCH

    def write(
        self, event: str, channel: str, linked: str, name: str, *, note: str = "", **extra: Any
    ) -> None:
        """Write a row.

        Args:
            event: such as BRIDGE_ENTER.
            channel: the unique id of the channel.
            linked: the id of the first channel of the same call.
            name: the channel's name.
            note: the note by the dialplan, with the caller and the dialled number.
            extra: the content of the last column.
        """
        self._last = at = max(self._clock(), self._last + _MICROSECOND)
        microseconds = (at - _EPOCH) // _MICROSECOND
        time = f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"
        more = json.dumps(extra, separators=(",", ":")) if extra else ""
        columns = (event, time, channel, linked, name, "", "", "Stasis", note, more)
        with self._file.open("a", encoding="utf-8") as log:
            log.write(format_row(columns))
        self._on_row(event)
