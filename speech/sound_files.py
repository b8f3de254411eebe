"""Converts sound files for the telephone: 8 kHz, trimmed, with the same loudness, as A-law (ITU-T G.711).

An `.alaw` file has no header and 8000 bytes per second. Asterisk plays it on an A-law channel without conversion.
"""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import imageio_ffmpeg

from taxiphone.dialplan.asterisk.home import make_folder
from taxiphone.errors import SetupError, UsageError

# Samples per second, which in A-law are also bytes per second.
RATE = 8000
ENDING = ".alaw"
# Mean level in dBFS of the frames that contain speech.
LEVEL = -20.0
# Threshold of the limiter as a fraction of full scale; -3.3 dBFS.
_PEAK = 0.68
_FRAME_MS = 20
# Frames with less than this fraction of the loudest frame's level are pauses.
_SPOKEN = 0.1
# At the ends, sound this many dB below the peak is silence.
_SILENT_BELOW = 35.0
_STEP_MS = 5
_BAND = "highpass=f=120,lowpass=f=3600"
_DURATION = re.compile(rb"Duration: (\d+):(\d\d):(\d\d\.\d+)")
# What ffmpeg must be told about formats without a header.
_WITHOUT_HEADER = {
    ".ulaw": ("-f", "mulaw", "-ar", str(RATE)),
    ".sln": ("-f", "s16le", "-ar", str(RATE)),
    ".g722": ("-f", "g722"),
    ".gsm": ("-f", "gsm"),
}
# Time limit of ffmpeg for one file in seconds.
_TIMEOUT = 120


def seconds(path: Path) -> float:
    """Return the duration of an A-law file."""
    return path.stat().st_size / RATE


def decode(path: Path, longest: float | None = None) -> Any:
    """Decode a sound file to a pydub AudioSegment: mono, 8 kHz, 16 bit, limited to the telephone band.

    Of a stereo file, the louder channel is used, because channels of opposite phase would cancel each other in a sum.

    Args:
        path: any file that ffmpeg can read.
        longest: maximum duration in seconds. A longer file is rejected by its header and not read any further.

    Raises:
        UsageError: the file is not sound, or is too long.
    """
    stated = header_seconds(path) if longest is not None else None
    if longest is not None and stated is not None and stated > longest:
        raise UsageError(f"{path} lasts {stated:.0f} s, but a recording may last at most {longest:.0f} s.")
    run = _ffmpeg(
        *("-i", str(path.absolute()), "-vn"),
        *(() if longest is None else ("-t", f"{longest + 1:.0f}")),
        *("-af", f"aformat=channel_layouts=mono|stereo,{_BAND}", "-ar", str(RATE)),
        *("-c:a", "pcm_s16le", "-f", "wav", "-"),
    )
    # The chunk's size is skipped, because ffmpeg can't write it to a pipe.
    samples = run.stdout.partition(b"data")[2][4:]
    _check_read(path, run, samples)
    channels = int.from_bytes(run.stdout[22:24], "little")
    sound = _audio_segment()(samples, sample_width=2, frame_rate=RATE, channels=channels)
    return max(sound.split_to_mono(), key=lambda channel: channel.rms)


def as_alaw(path: Path) -> bytes:
    """Return a sound file that Asterisk can play, in any of its formats, as A-law. Neither level nor band is changed.

    Raises:
        UsageError: the file can't be read as sound.
    """
    run = _ffmpeg(
        *_WITHOUT_HEADER.get(path.suffix, ()),
        *("-i", str(path.absolute()), "-ac", "1", "-ar", str(RATE), "-f", "alaw", "-"),
    )
    _check_read(path, run, run.stdout)
    return run.stdout


def _ffmpeg(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", *arguments],
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
    )


def _check_read(path: Path, run: subprocess.CompletedProcess[bytes], sound: bytes) -> None:
    if run.returncode or not sound:
        lines = run.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"{path} can't be read as sound: {lines[-1] if lines else 'it is empty'}.")


def header_seconds(path: Path) -> float | None:
    """Return the duration in seconds according to a sound file's header; None if the header has none."""
    run = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-i", str(path.absolute())],
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
    )
    found = _DURATION.search(run.stderr)
    if found is None:
        return None
    hours, minutes, seconds_ = (float(part) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds_


def from_samples(samples: bytes) -> Any:
    """Convert 16-bit samples, mono, 8 kHz, to a pydub AudioSegment."""
    return _audio_segment()(samples, sample_width=2, frame_rate=RATE, channels=1)


def trim(sound: Any, before_ms: int, after_ms: int) -> Any:
    """Replace the silence at both ends by the given silence in milliseconds."""
    threshold = sound.max_dBFS - _SILENT_BELOW
    start = max(0, _leading_silence(sound, threshold) - 2 * _STEP_MS)
    end = min(len(sound), len(sound) - _leading_silence(sound.reverse(), threshold) + 4 * _STEP_MS)
    spoken = sound[start:end].fade_in(_STEP_MS).fade_out(2 * _STEP_MS)
    silence = type(sound).silent
    return silence(before_ms, RATE) + spoken + silence(after_ms, RATE)


def _leading_silence(sound: Any, threshold: float) -> int:
    for at in range(0, len(sound), _STEP_MS):
        if sound[at : at + _STEP_MS].max_dBFS > threshold:
            return at
    return len(sound)


def level(sound: Any) -> Any:
    """Adjust the loudness, measured only where there is speech, so that pauses don't make a sentence louder."""
    frames = [sound[at : at + _FRAME_MS].rms for at in range(0, len(sound), _FRAME_MS)]
    spoken = [rms for rms in frames if rms > max(frames) * _SPOKEN]
    if not spoken:
        raise UsageError("the sound is silent.")
    mean = math.sqrt(sum(rms * rms for rms in spoken) / len(spoken))
    return sound.apply_gain(LEVEL - 20 * math.log10(mean / sound.max_possible_amplitude))


def write(sound: Any, path: Path, mode: int = 0o600) -> None:
    """Write a sound as A-law with limited peaks, atomically.

    Args:
        sound: a pydub AudioSegment.
        path: the file. Missing folders are created with mode 0700.
        mode: the mode of the file.

    Raises:
        SetupError: nothing was written.
        OSError: the folder can't be written.
    """
    make_folder(path.parent)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=ENDING, delete=False) as made:
        part = Path(made.name)
    try:
        exported = sound.export(
            part,
            format="alaw",
            codec="pcm_alaw",
            parameters=["-af", f"alimiter=level=disabled:limit={_PEAK}:attack=3:release=30"],
        )
        exported.close()
        if not part.stat().st_size:
            raise SetupError("ffmpeg wrote an empty file. Check the free disk space.")
        part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _audio_segment() -> Any:
    with warnings.catch_warnings():
        # pydub warns about audioop, which audioop-lts replaces from Python 3.13 on, and about a missing ffmpeg.
        warnings.simplefilter("ignore")
        from pydub import AudioSegment  # noqa: PLC0415 - to suppress its warnings
    AudioSegment.converter = imageio_ffmpeg.get_ffmpeg_exe()
    return AudioSegment
