"""The operator's own recordings of prompts, taken over into <state>/sounds/<language>/NAME.alaw.

They come before the sounds of the package; prompts_folder.py sees to that.
"""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

from taxiphone.errors import SetupError, UsageError
from taxiphone.speech import sound_files
from taxiphone.speech.prompts_folder import FORMATS

_SHORTEST = 0.1  # seconds
LONGEST = 120.0  # seconds
_SILENCE_AROUND = 60.0  # seconds of silence at the ends that may be trimmed off
_PAUSE = 100  # ms of silence at both ends
_FAINT = -60.0  # dBFS of the loudest sample: a microphone that was off


def folder(state: Path, language: str) -> Path:
    """Where the operator's recordings in a language lie."""
    return state / "sounds" / language


def length(path: Path) -> float | None:
    """How many seconds it plays, or None for a format that doesn't tell without being decoded."""
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
    """Take over a recording: converted for the telephone, trimmed, as loud as the other prompts.

    Raises:
        UsageError: it isn't sound, has nothing to hear in it, or is too long for a prompt; nothing was changed.
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
    """A recording as a sound for the telephone: trimmed, and as loud as the prompts.

    Args:
        source: any sound file.
        what: it is to be, for the message when it is too long.
        longest: seconds.
        pause: ms of silence at both ends.

    Returns:
        A pydub AudioSegment.

    Raises:
        UsageError: it isn't sound, has nothing to hear in it, or is too short or too long.
    """
    sound = sound_files.decode(source, longest + _SILENCE_AROUND)
    if sound.max_dBFS < _FAINT:
        raise UsageError(f"there is nothing to hear in {source}. Was the microphone on?")
    sound = sound_files.trim(sound_files.level(sound), pause, pause)
    if not _SHORTEST <= sound.duration_seconds - 2 * pause / 1000 <= longest:
        raise UsageError(
            f"{source} lasts {sound.duration_seconds:.1f} s; {what} lasts from {_SHORTEST} to {longest:.0f} s."
        )
    return sound


def drop(state: Path, language: str, name: str) -> bool:
    """Remove the operator's recording, so that the package's own is heard again; False where there was none."""
    found = _all(state, language, name)
    for path in found:
        path.unlink()
    return bool(found)


def _all(state: Path, language: str, name: str) -> list[Path]:
    home = folder(state, language)
    return [path for ending in sorted(FORMATS) if (path := home / f"{name}{ending}").is_file()]
