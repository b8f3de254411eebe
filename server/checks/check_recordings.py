"""What `taxiphone doctor` asks of the recordings: an ffmpeg that runs, and closed folders."""

from __future__ import annotations

import multiprocessing
import stat
import subprocess
from pathlib import Path

from taxiphone.errors import RecordingError
from taxiphone.recordings.convert import ffmpeg
from taxiphone.server.checks.findings import Finding
from taxiphone.settings import Settings

_SECONDS = 20


def check(settings: Settings) -> list[Finding]:
    """Look at everything that a recording needs."""
    findings = [_ffmpeg(), worker_process()]
    findings += _folder("MP3s", settings.recordings)
    # Somebody else's Asterisk writes them, by its group.
    findings += _folder("WAVs", settings.captured, shared=settings.asterisk.group is not None)
    return findings


def _ffmpeg() -> Finding:
    try:
        path = ffmpeg()
        done = subprocess.run(
            [path, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except RecordingError as error:
        return Finding(ok=False, what="ffmpeg: none", advice=str(error))
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            ok=False,
            what=f"ffmpeg: {path} does not run ({error})",
            advice="Install the package imageio-ffmpeg again, or name another ffmpeg in $IMAGEIO_FFMPEG_EXE.",
        )
    if "libmp3lame" not in done.stdout:
        return Finding(
            ok=False,
            what=f"ffmpeg: {path} can't make MP3s",
            advice="Install the package imageio-ffmpeg again: its ffmpeg has libmp3lame.",
        )
    return Finding(ok=True, what=f"ffmpeg: {path}")


def worker_process() -> Finding:
    """Whether the process that makes MP3s can be started: its queue needs a semaphore in /dev/shm."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        return Finding(
            ok=False,
            what=f"no semaphore can be made in /dev/shm ({error.strerror or error}): no talk would become an MP3",
            advice="Mount a tmpfs of mode 1777 at /dev/shm; a container's runtime does so by itself unless told otherwise.",
        )
    return Finding(ok=True, what="MP3s can be made in a process of their own")


def _folder(what: str, folder: Path, *, shared: bool = False) -> list[Finding]:
    if not folder.exists():
        return []  # made, closed, when it is first needed
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & (0o007 if shared else 0o077):
        return [
            Finding(ok=False, what=f"{what}: others can enter {folder}", advice=f"Run: chmod 700 {folder}")
        ]
    whose = "its owner and Asterisk's group" if shared else "its owner"
    return [Finding(ok=True, what=f"{what}: {folder}, for {whose} only")]
