"""Logs a summary of rejected SIP requests once a minute."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path

from taxiphone.dialplan.asterisk import refused_requests

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
# Maximum number of sources named in a summary.
_NAMED = 5


class RefusedSummary:
    """Summarizes `refused.log`.

    Args:
        folder: the folder of Asterisk's logs.
        seconds: seconds between summaries.
    """

    def __init__(self, folder: Path, seconds: float = 60.0) -> None:
        self._path = folder / refused_requests.FILE
        self._tail = refused_requests.Tail(self._path)
        self._seconds = seconds
        self._sources: Counter[str] = Counter()

    async def run(self) -> None:
        """Follow the log until cancelled."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        while True:
            await asyncio.sleep(min(_POLL_SECONDS, self._seconds))
            try:
                lines = await asyncio.to_thread(self._tail.lines)
            except OSError as error:
                log.warning("%s can't be read: %s", self._path, error.strerror)
                continue
            self._sources += refused_requests.count(line.decode("ascii", "replace") for line in lines)
            if loop.time() - since >= self._seconds:
                since = loop.time()
                self._tell()

    def _tell(self) -> None:
        if not self._sources:
            return
        named = ", ".join(f"{address} ({count})" for address, count in self._sources.most_common(_NAMED))
        others = len(self._sources) - _NAMED
        log.warning(
            "%d SIP requests from unknown addresses were rejected in the last %.0f s: %s%s; see %s",
            self._sources.total(),
            self._seconds,
            named,
            f" and {others} more" if others > 0 else "",
            self._path,
        )
        self._sources.clear()
