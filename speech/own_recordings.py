"""The operator's own recordings of prompts, in <state>/sounds/<language>/NAME.alaw.

They replace the sounds of the package (see prompts_folder.py).
"""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

from taxiphone.errors import SetupError, UsageError
from taxiphone.speech import sound_files
from taxiphone.speech.prompts_folder import FORMATS

# Limits of a prompt's duration in seconds.
_SHORTEST = 0.1
LONGEST = 120.0
# Maximum silence at the ends that is trimmed, in seconds.
_SILENCE_AROUND = 60.0
# Silence at both ends of a prompt in ms.
_PAUSE = 100
# If the loudest sample is below this level (dBFS), the microphone was off.
_FAINT = -60.0


def folder(state: Path, language: str) -> Path:
    """Return the folder of the operator's recordings in a language."""
    return state / "sounds" / language


def length(path: Path) -> float | None:
    """Return the duration of a sound in seconds; None for a format that must be decoded to know it."""
    if path.suffix in {".alaw", ".ulaw"}:
        return sound_files.seconds(path)
    if path.suffix != ".wav":
        return None
    try:
        with wave.open(str(path)) as sound:
            return float(sound.getnframes() / sound.getframerate())
    except (wave.Error, EOFError):
        return None


def use(state: Path, language: str, name: str, source: Path) -> Path:
    """Convert a recording and use it as a prompt.

    Raises:
        UsageError: the file is not sound, is silent, or is too long for a prompt; nothing was changed.
        SetupError: the state folder can't be written.
    """
    sound = converted(source)
    target = folder(state, language) / f"{name}{sound_files.ENDING}"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        sound_files.write(sound, target)
        for path in _all(state, language, name):
            if path != target:
                path.unlink()
    except OSError as error:
        raise SetupError(f"{target} can't be written: {error.strerror}.") from None
    return target


def converted(source: Path, *, what: str = "a prompt", longest: float = LONGEST, pause: int = _PAUSE) -> Any:
    """Convert a recording for the telephone, trim it, and adjust it to the loudness of the prompts.

    Args:
        source: any sound file.
        what: what the recording is for, used in the error message.
        longest: maximum duration in seconds.
        pause: silence at both ends in ms.

    Returns:
        a pydub AudioSegment.

    Raises:
        UsageError: the file is not sound, is silent, too short or too long.
    """
    sound = sound_files.decode(source, longest + _SILENCE_AROUND)
    if sound.max_dBFS < _FAINT:
        raise UsageError(f"{source} is silent. Check the microphone and record it again.")
    sound = sound_files.trim(sound_files.level(sound), pause, pause)
    if not _SHORTEST <= sound.duration_seconds - 2 * pause / 1000 <= longest:
        raise UsageError(
            f"{source} lasts {sound.duration_seconds:.1f} s, but {what} must last from {_SHORTEST} to {longest:.0f} s."
        )
    return sound


def drop(state: Path, language: str, name: str) -> bool:
    """Delete the operator's recording, so that the package's sound is used; return False if there was none."""
    found = _all(state, language, name)
    for path in found:
        path.unlink()
    return bool(found)


def _all(state: Path, language: str, name: str) -> list[Path]:
    home = folder(state, language)
    return [path for ending in sorted(FORMATS) if (path := home / f"{name}{ending}").is_file()]
