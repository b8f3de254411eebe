"""Limits repeated log messages, so that callers can't flood the log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_SECONDS = 60.0
# Maximum number of different messages in a minute. Any further ones share a limit.
_KINDS = 1000


class RepeatLimit(logging.Filter):
    """Limits the warnings and errors per minute from each place in the code.

    The first message after the minute says how many were suppressed. Messages below WARNING are not limited, because
    `serve --verbose` is meant to show each step of each call.

    Args:
        most: maximum number of messages per place and minute.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, most: int = 60, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        # By file and line: start of the minute, number of messages in it.
        self._kinds: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a message is logged; the number of suppressed ones may be added to it."""
        if record.levelno < logging.WARNING:
            return True
        with self._lock:
            kind = (record.pathname, record.lineno)
            at = self._clock()
            if kind not in self._kinds and len(self._kinds) >= _KINDS:
                kind = ("", 0)
            begin, lines = self._kinds.get(kind, (at, 0))
            suppressed = 0
            if at - begin >= _SECONDS:
                suppressed = max(lines - self._most, 0)
                begin, lines = at, 0
            self._kinds[kind] = begin, lines + 1
        if suppressed:
            record.msg = f"{record.getMessage()} ({suppressed} more messages like this were suppressed in the minute before)"
            record.args = ()
        return lines < self._most
