"""Checks recordings: ffmpeg, the worker process and the permissions of the folders."""

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
    """Run all checks of this module."""
    findings = [_ffmpeg(), worker_process()]
    findings += _folder("MP3s", settings.recordings)
    # An external Asterisk has access through its group.
    findings += _folder("WAVs", settings.captured, shared=settings.asterisk.group is not None)
    return findings


def _ffmpeg() -> Finding:
    try:
        path = ffmpeg()
        done = subprocess.run(
            [path, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except RecordingError as error:
        return Finding(ok=False, what="ffmpeg: not found", advice=str(error))
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            ok=False,
            what=f"ffmpeg: {path} can't be run ({error})",
            advice="Reinstall the Python package imageio-ffmpeg, or set $IMAGEIO_FFMPEG_EXE to another ffmpeg.",
        )
    if "libmp3lame" not in done.stdout:
        return Finding(
            ok=False,
            what=f"ffmpeg: {path} can't make MP3s",
            advice="Reinstall the Python package imageio-ffmpeg, whose ffmpeg has libmp3lame.",
        )
    return Finding(ok=True, what=f"ffmpeg: {path}")


def worker_process() -> Finding:
    """Check that the worker process can be started. Its queue needs a semaphore in /dev/shm."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        return Finding(
            ok=False,
            what=f"no semaphore can be created in /dev/shm ({error.strerror or error}), so no MP3 can be made",
            advice="Mount a tmpfs with mode 1777 at /dev/shm. Container runtimes do this by default.",
        )
    return Finding(ok=True, what="the worker process for MP3s can be started")


def _folder(what: str, folder: Path, *, shared: bool = False) -> list[Finding]:
    if not folder.exists():
        # It is created with the right mode when it is first needed.
        return []
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & (0o007 if shared else 0o077):
        return [
            Finding(
                ok=False,
                what=f"{what}: other users have access to {folder}",
                advice=f"Run: chmod 700 {folder}",
            )
        ]
    whose = "its owner and Asterisk's group" if shared else "its owner"
    return [Finding(ok=True, what=f"{what}: {folder}, accessible to {whose} only")]
