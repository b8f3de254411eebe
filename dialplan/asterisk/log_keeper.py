"""Keeps Asterisk's logs within a size, beside Asterisk, for as long as Asterisk lives.

Asterisk never shortens a log by itself, and strangers choose how much it writes: each refused SIP request is a line, or
three. This runs as a process of its own, in Asterisk's session, so that the bound holds too while `taxiphone serve` is
dead. It also turns Asterisk's security log into `refused.log`, which fail2ban can trust (see `refused_requests`).

Only the standard library is imported: the process stays small.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from taxiphone.dialplan.asterisk import refused_requests
from taxiphone.dialplan.asterisk.refused_requests import size_of

LOCK = "keeper.lock"
MESSAGES, NOTICES, SECURITY = "messages.log", "notices.log", "security.log"
CONSOLE = "console.log"  # what Asterisk prints when it is not yet, or no longer, able to log
_LOGS = (MESSAGES, NOTICES, SECURITY, refused_requests.FILE)
OLDER = 4  # so many former pieces of each log are kept
_LOOK_SECONDS = 1.0
_RELOAD_SECONDS = 10.0
_FULL_BYTES = 1_000_000  # less room than this: Asterisk may have failed to write a log


@dataclass(frozen=True)
class Bounds:
    """What the logs may take.

    Attributes:
        log_bytes: the size at which a log is put aside; it passes that by what is written within a second.
        spare_bytes: where the disk has less room than this, former pieces are removed and none is made: the database
            and the event log come first.
    """

    log_bytes: int
    spare_bytes: int = 200_000_000


def free_bytes(folder: Path) -> int:
    """The room left on the disk of a folder, for one who is not root."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def keep_short(folder: Path, bounds: Bounds, free: Callable[[Path], int] = free_bytes) -> None:
    """Put aside each log that has grown too large, and remove what is too old or needs too much room.

    A log is copied and then emptied in place: Asterisk appends to the file that it has open, so nothing depends on
    whether it still answers a command. What it writes between the two steps, microseconds, is lost.

    Args:
        folder: of the logs.
        bounds: what they may take.
        free: tells how many bytes the disk has left.
    """
    tight = free(folder) < bounds.spare_bytes
    for name in _LOGS:
        log = folder / name
        if tight:
            for older in folder.glob(f"{name}.[0-9]*"):
                older.unlink(missing_ok=True)
        if size_of(log) < bounds.log_bytes:
            continue
        if not tight:
            _put_aside(log)
        os.truncate(log, 0)
    if size_of(folder / CONSOLE) >= bounds.log_bytes:
        os.truncate(folder / CONSOLE, 0)


def is_kept(folder: Path) -> bool:
    """Whether a keeper is at work in this folder."""
    with contextlib.suppress(FileNotFoundError), (folder / LOCK).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def start(folder: Path, pid: int, asterisk: list[str], bounds: Bounds) -> subprocess.Popen[bytes] | None:
    """Start a keeper, unless there is one.

    Args:
        folder: of Asterisk's logs.
        pid: Asterisk's process; the keeper ends with it.
        asterisk: the command line that reaches it, such as `asterisk -C FILE`.
        bounds: what the logs may take.

    Raises:
        OSError: it can't be started.
    """
    if is_kept(folder):
        return None
    numbers = (str(number) for number in (pid, bounds.log_bytes, bounds.spare_bytes))
    return subprocess.Popen(
        [sys.executable, "-m", "taxiphone.dialplan.asterisk.log_keeper", *numbers, *asterisk],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # it goes on when `taxiphone serve` is stopped by Ctrl-C or killed
        umask=0o077,
    )


def _put_aside(log: Path) -> None:
    """Copy a log to the first of its former pieces; the last goes. Where there is no room, it is not kept."""
    for number in range(OLDER, 1, -1):
        newer = log.with_name(f"{log.name}.{number - 1}")
        if newer.exists():
            newer.replace(log.with_name(f"{log.name}.{number}"))
    first = log.with_name(f"{log.name}.1")
    try:
        shutil.copyfile(log, first)
    except OSError:
        first.unlink(missing_ok=True)


def main(folder: Path, pid: int, asterisk: list[str], bounds: Bounds) -> None:
    """Keep the logs of the Asterisk with this process id until it ends."""
    with open(folder / LOCK, "wb") as lock:  # noqa: PTH123 - held as long as this process lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            asterisk_ends = os.pidfd_open(pid)
        except (BlockingIOError, ProcessLookupError):
            return
        follower = refused_requests.Follower(folder / SECURITY, folder / refused_requests.FILE)
        was_full = False
        while not select.select([asterisk_ends], [], [], _LOOK_SECONDS)[0]:
            full = free_bytes(folder) < _FULL_BYTES
            # A full disk may refuse anything; the next second may not.
            with contextlib.suppress(OSError):
                follower.follow(time.time())
                keep_short(folder, bounds)
            if was_full and not full:
                # A log that could not be written is closed by Asterisk until it is told to open it again.
                with contextlib.suppress(OSError, subprocess.SubprocessError):
                    subprocess.run(
                        [*asterisk, "-rx", "logger reload"],
                        stdin=subprocess.DEVNULL,
                        capture_output=True,
                        check=False,
                        timeout=_RELOAD_SECONDS,
                    )
            was_full = full


if __name__ == "__main__":
    _pid, _log_bytes, _spare_bytes, *_asterisk = sys.argv[1:]
    main(Path.cwd(), int(_pid), _asterisk, Bounds(int(_log_bytes), int(_spare_bytes)))
