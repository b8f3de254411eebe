"""Rotates Asterisk's logs for as long as Asterisk runs.

Asterisk does not rotate its logs by itself, and strangers determine how much it writes: each rejected SIP request is one
to three lines. This is a separate process, so that the size limit also holds while `taxiphone serve` is not running. It
also converts Asterisk's security log to `refused.log`, which fail2ban can trust (see `refused_requests`).

Only the standard library is imported, to keep the process small.
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
# Asterisk's output before it can log and after it no longer can.
CONSOLE = "console.log"
_LOGS = (MESSAGES, NOTICES, SECURITY, refused_requests.FILE)
# Number of rotated files kept of each log.
ROTATED = 4
_POLL_SECONDS = 1.0
_RELOAD_SECONDS = 10.0
# With less free space than this, Asterisk may have failed to write a log.
_FULL_BYTES = 1_000_000


@dataclass(frozen=True)
class Bounds:
    """Size limits of the logs.

    Attributes:
        log_bytes: the size at which a log is rotated. A log can exceed it by what is written within a second.
        spare_bytes: with less free disk space than this, rotated files are deleted and no new ones are created, because
            the database and the event log are more important.
    """

    log_bytes: int
    spare_bytes: int = 200_000_000


def free_bytes(folder: Path) -> int:
    """Return the free disk space of a folder for users other than root."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def rotate(folder: Path, bounds: Bounds, free: Callable[[Path], int] = free_bytes) -> None:
    """Rotate each log that has grown too large, and delete rotated files if the disk is nearly full.

    A log is copied and then truncated in place. Asterisk appends to its open file, so this works even if Asterisk no
    longer responds. Lines written in the microseconds between the two steps are lost.

    Args:
        folder: the folder of the logs.
        bounds: the size limits.
        free: returns the free disk space in bytes.
    """
    nearly_full = free(folder) < bounds.spare_bytes
    for name in _LOGS:
        log = folder / name
        if nearly_full:
            for older in folder.glob(f"{name}.[0-9]*"):
                older.unlink(missing_ok=True)
        if size_of(log) < bounds.log_bytes:
            continue
        if not nearly_full:
            _rotate_one(log)
        os.truncate(log, 0)
    if size_of(folder / CONSOLE) >= bounds.log_bytes:
        os.truncate(folder / CONSOLE, 0)


def is_kept(folder: Path) -> bool:
    """Tell whether a log keeper is running for this folder."""
    with contextlib.suppress(FileNotFoundError), (folder / LOCK).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def start(folder: Path, pid: int, asterisk: list[str], bounds: Bounds) -> subprocess.Popen[bytes] | None:
    """Start a log keeper, unless one is running.

    Args:
        folder: the folder of Asterisk's logs.
        pid: Asterisk's process id. The keeper exits when that process ends.
        asterisk: the command line for Asterisk's console, such as `asterisk -C FILE`.
        bounds: the size limits.

    Raises:
        OSError: the process can't be started.
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
        # The keeper keeps running when `taxiphone serve` is stopped by Ctrl-C or killed.
        start_new_session=True,
        umask=0o077,
    )


def _rotate_one(log: Path) -> None:
    """Copy a log to its first rotated file and drop the oldest one. If there is no space, the copy is dropped."""
    for number in range(ROTATED, 1, -1):
        newer = log.with_name(f"{log.name}.{number - 1}")
        if newer.exists():
            newer.replace(log.with_name(f"{log.name}.{number}"))
    first = log.with_name(f"{log.name}.1")
    try:
        shutil.copyfile(log, first)
    except OSError:
        first.unlink(missing_ok=True)


def main(folder: Path, pid: int, asterisk: list[str], bounds: Bounds) -> None:
    """Rotate the logs of the Asterisk with this process id until it ends."""
    with open(folder / LOCK, "wb") as lock:  # noqa: PTH123 - held as long as this process lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            asterisk_ends = os.pidfd_open(pid)
        except (BlockingIOError, ProcessLookupError):
            return
        follower = refused_requests.Follower(folder / SECURITY, folder / refused_requests.FILE)
        was_full = False
        while not select.select([asterisk_ends], [], [], _POLL_SECONDS)[0]:
            full = free_bytes(folder) < _FULL_BYTES
            # With a full disk, anything can fail, but not one because of the other. It is retried a second later.
            with contextlib.suppress(OSError):
                follower.follow(time.time())
            with contextlib.suppress(OSError):
                rotate(folder, bounds)
            if was_full and not full:
                # Asterisk closes a log that it could not write, until it is told to reload.
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
