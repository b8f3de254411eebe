"""From any sound to one for the telephone: 8 kHz, trimmed, as loud as all others, A-law (ITU-T G.711).

A `.alaw` file is the bare codec, 8000 bytes a second: Asterisk plays it on a European line as it is.
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

RATE = 8000  # samples, and in A-law bytes, a second
ENDING = ".alaw"
LEVEL = -20.0  # dBFS, over the frames in which somebody speaks
_PEAK = 0.68  # of full scale, -3.3 dBFS: what the limiter lets through
_FRAME_MS = 20
_SPOKEN = 0.1  # of the loudest frame's level; what is below is a pause
_SILENT_BELOW = 35.0  # dB under the peak, at the ends
_STEP_MS = 5
_BAND = "highpass=f=120,lowpass=f=3600"
_DURATION = re.compile(rb"Duration: (\d+):(\d\d):(\d\d\.\d+)")
_TIMEOUT = 120  # seconds that ffmpeg may take for one file


def seconds(path: Path) -> float:
    """How long an A-law file plays."""
    return path.stat().st_size / RATE


def decode(path: Path, longest: float | None = None) -> Any:
    """Any sound file that ffmpeg can read, as a pydub AudioSegment: mono, 8 kHz, 16 bit, the telephone's band.

    Of a stereo file the louder channel is taken: in their sum, channels of opposite phase cancel each other out.

    Args:
        path: the file.
        longest: seconds; what is longer is refused by its header, and never read beyond that.

    Raises:
        UsageError: it isn't a sound file, or is longer.
    """
    said = length_said(path) if longest is not None else None
    if longest is not None and said is not None and said > longest:
        raise UsageError(f"{path} lasts {said:.0f} s; at most {longest:.0f} s are read of a recording.")
    run = subprocess.run(
        [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", str(path.absolute()), "-vn"),
            *(() if longest is None else ("-t", f"{longest + 1:.0f}")),
            *("-af", f"aformat=channel_layouts=mono|stereo,{_BAND}", "-ar", str(RATE)),
            *("-c:a", "pcm_s16le", "-f", "wav", "-"),
        ],
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
    )
    samples = run.stdout.partition(b"data")[2][4:]  # after the chunk's length, which a pipe leaves open
    if run.returncode or not samples:
        lines = run.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"{path} can't be read as sound: {lines[-1] if lines else 'it is empty'}.")
    channels = int.from_bytes(run.stdout[22:24], "little")
    sound = _audio_segment()(samples, sample_width=2, frame_rate=RATE, channels=channels)
    return max(sound.split_to_mono(), key=lambda channel: channel.rms)


def length_said(path: Path) -> float | None:
    """How many seconds a sound file's header says that it lasts; None where it says nothing."""
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
    """16-bit samples, mono, 8 kHz, as a pydub AudioSegment."""
    return _audio_segment()(samples, sample_width=2, frame_rate=RATE, channels=1)


def trim(sound: Any, before_ms: int, after_ms: int) -> Any:
    """The sound with so much silence at its ends, in milliseconds, whatever there was."""
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
    """The sound at the one loudness: the mean over what is spoken, so that pauses don't make a sentence louder."""
    frames = [sound[at : at + _FRAME_MS].rms for at in range(0, len(sound), _FRAME_MS)]
    spoken = [rms for rms in frames if rms > max(frames) * _SPOKEN]
    if not spoken:
        raise UsageError("there is nothing to hear in it.")
    mean = math.sqrt(sum(rms * rms for rms in spoken) / len(spoken))
    return sound.apply_gain(LEVEL - 20 * math.log10(mean / sound.max_possible_amplitude))


def write(sound: Any, path: Path, mode: int = 0o600) -> None:
    """Write the sound as A-law, its peaks limited, and put it in its place in one step.

    Args:
        sound: a pydub AudioSegment.
        path: where; folders that are missing are made, the owner's only.
        mode: of the file.

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
            raise SetupError("ffmpeg wrote an empty file. Is the disk full?")
        part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _audio_segment() -> Any:
    with warnings.catch_warnings():
        # It warns of the module audioop's end in Python 3.13, where audioop-lts takes over, and of a missing ffmpeg.
        warnings.simplefilter("ignore")
        from pydub import AudioSegment  # noqa: PLC0415 - here its warnings can be kept away
    AudioSegment.converter = imageio_ffmpeg.get_ffmpeg_exe()
    return AudioSegment
