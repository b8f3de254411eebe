"""Keeps a log keeper running beside an Asterisk (see log_keeper)."""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path

from taxiphone.dialplan.asterisk import log_keeper

log = logging.getLogger(__name__)

# Interval at which the log keeper is checked.
_CHECK_SECONDS = 5.0


class KeeperWatch:
    """Starts a log keeper for each Asterisk that is started or adopted, and again if it dies.

    The log keeper outlives this program, and exits by itself when Asterisk ends.

    Args:
        folder: the folder of Asterisk's logs.
        arguments: the command line for Asterisk's console.
        bounds: the size limits of the logs.
    """

    def __init__(self, folder: Path, arguments: Sequence[str], bounds: log_keeper.Bounds) -> None:
        self._folder, self._arguments, self._bounds = folder, list(arguments), bounds
        self._task: asyncio.Task[None] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._exits: asyncio.Future[int] | None = None

    def begin(self, pid: int) -> None:
        """Begin to keep a log keeper running for the Asterisk with this process id."""
        self._task = asyncio.get_running_loop().create_task(self._supervise(pid))

    def asterisk_ended(self) -> None:
        """Collect the exit status of the log keeper, which exits now."""
        if self._keeper is not None:
            self._exits = asyncio.get_running_loop().run_in_executor(None, self._keeper.wait)
            self._keeper = None

    async def exited(self) -> None:
        """Wait until the log keeper of the last Asterisk that ended has exited."""
        if self._exits is not None:
            await self._exits

    def release(self) -> None:
        """Stop watching, and leave the log keeper running."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        disown(self._keeper)
        self._keeper = None

    async def _supervise(self, pid: int) -> None:
        failing = False
        while True:
            if self._keeper is None or self._keeper.poll() is not None:
                try:
                    self._keeper = log_keeper.start(self._folder, pid, self._arguments, self._bounds)
                except OSError as error:
                    if not failing:
                        log.warning(
                            "the log keeper can't be started, so Asterisk's logs are not rotated: %s", error
                        )
                    failing = True
                else:
                    failing = False
            await asyncio.sleep(_CHECK_SECONDS)


def disown(child: subprocess.Popen[bytes] | None) -> None:
    """Let a child process continue, and suppress the warning of Popen that it is still running."""
    if child is not None and child.poll() is None:
        child.returncode = 0
