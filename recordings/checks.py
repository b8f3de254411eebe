"""What `taxiphone doctor` asks of the recordings: an ffmpeg that runs, closed folders, room on the disk."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

from taxiphone.dialplan.checks import Finding
from taxiphone.errors import RecordingError
from taxiphone.recordings.convert import ffmpeg
from taxiphone.settings import Settings

_SECONDS = 20
_LITTLE_BYTES = 1 << 30  # an hour of talk takes 60 MB as a WAV, and the same once more while it is converted


def check(settings: Settings) -> list[Finding]:
    """Look at everything that a recording needs."""
    findings = [_ffmpeg()]
    for what, folder in (("MP3s", settings.recordings), ("WAVs", settings.captured)):
        findings += _folder(what, folder)
    findings.append(_room(settings.state))
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


def _folder(what: str, folder: Path) -> list[Finding]:
    if not folder.exists():
        return []  # made, closed, when it is first needed
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        return [
            Finding(ok=False, what=f"{what}: others can enter {folder}", advice=f"Run: chmod 700 {folder}")
        ]
    return [Finding(ok=True, what=f"{what}: {folder}, for its owner only")]


def _room(folder: Path) -> Finding:
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    return Finding(
        ok=True if free >= _LITTLE_BYTES else None,
        what=f"disk: {free / (1 << 30):.1f} GiB free for recordings in {folder}",
        advice=""
        if free >= _LITTLE_BYTES
        else "Make room: an hour of talk takes 120 MB until its MP3 is made.",
    )
