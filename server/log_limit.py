"""Bounds what callers can make the program log: of one kind of line, so many in a minute, and then their number."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_SECONDS = 60.0
_KINDS = 1000  # different lines in a minute; beyond that they share one bound


class RepeatLimit(logging.Filter):
    """Lets through so many warnings and errors of one kind in a minute; a kind is a place in the code.

    The first line of a kind after its minute says how many were left out. Lines below WARNING pass: whoever asks for
    them, with `serve --verbose`, wants each step of each call.

    Args:
        most: lines of a kind in a minute.
        clock: seconds of a clock that never steps.
    """

    def __init__(self, most: int = 60, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, int], tuple[float, int]] = {}  # begin of the minute, lines in it

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; it may be told in it how many were not."""
        if record.levelno < logging.WARNING:
            return True
        with self._lock:
            kind = (record.pathname, record.lineno)
            at = self._clock()
            if kind not in self._kinds and len(self._kinds) >= _KINDS:
                kind = ("", 0)
            begin, lines = self._kinds.get(kind, (at, 0))
            left_out = 0
            if at - begin >= _SECONDS:
                left_out = max(lines - self._most, 0)
                begin, lines = at, 0
            self._kinds[kind] = begin, lines + 1
        if left_out:
            record.msg = (
                f"{record.getMessage()} ({left_out} more lines like this were left out in the minute before)"
            )
            record.args = ()
        return lines < self._most
