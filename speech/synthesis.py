"""Makes the sounds of speech/sounds from the texts of speech/prompts, with espeak-ng.

The sounds are part of the package, so espeak-ng (synthesiser.py) is needed only by who changes a text, and for people's
names. Each language's folder has a manifest that tells from which text each sound was made; only what has changed is
made anew, and the same text gives the same file.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiphone.errors import SetupError, UsageError
from taxiphone.speech import sound_files, synthesizer
from taxiphone.speech.prompt_texts import PROMPTS, TONES, Clip, Texts, Voice

SOUNDS = Path(__file__).parent / "sounds"
MANIFEST = "manifest.json"

_RECIPE = 1  # to be raised when the same text shall become another sound
_WORKERS = 2
_TIMEOUT = 60  # seconds for one text
# Silence at a sound's ends in ms: words that follow each other must flow, sentences must stand apart.
_SENTENCE_PAUSE = 100
PART_PAUSE = 25
_SENTENCE_ENDS = (".", "!", "?")


@dataclass(frozen=True, slots=True)
class Tone:
    """A sound that is not speech: hertz (0 is silence) and milliseconds."""

    hertz: int
    milliseconds: int


_TONES = {"tone-start": Tone(880, 400), "tone-hold": Tone(425, 300), "silence": Tone(0, 300)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a build did: the names of the sounds made and removed, and how many were as they had to be."""

    built: tuple[str, ...]
    removed: tuple[str, ...]
    kept: int


def sound_path(language: str, name: str, folder: Path = SOUNDS) -> Path:
    """The file of a sound that belongs to the package."""
    return folder / language / f"{name}{sound_files.ENDING}"


def home(texts: Texts) -> Path:
    """The folder above that of a language's sounds: the package's, or where the operator's text file lies."""
    return SOUNDS if texts.file.parent == PROMPTS else texts.file.parent


def outdated(texts: Texts, folder: Path | None = None) -> tuple[str, ...]:
    """The names of the sounds that are missing, or were made from another text, or were changed since."""
    folder = folder or home(texts)
    made = _manifest(texts.language, folder)
    found = {
        name: _entry(clip, texts.voice, sound_path(texts.language, name, folder))
        for name, clip in texts.own.items()
    }
    return tuple(name for name, entry in found.items() if entry is None or entry != made.get(name))


def build(
    texts: Texts, folder: Path | None = None, progress: Callable[[str], object] = lambda _name: None
) -> Outcome:
    """Make the sounds that are outdated, and remove those that have no text any more.

    Args:
        texts: what is to be said.
        folder: where the languages' folders lie; None for where they belong.
        progress: told the name of each sound that was made.

    Raises:
        SetupError: espeak-ng is missing or failed, or the folder can't be written.
        UsageError: there is a tone that nobody can play.
    """
    folder = folder or home(texts)
    # The package's are everybody's, the state folder's the owner's.
    mode = 0o644 if folder == SOUNDS else 0o600
    todo = outdated(texts, folder)
    if any(texts.own[name].table != TONES for name in todo):
        synthesizer.find()

    def make(name: str) -> None:
        clip = texts.own[name]
        sound = _tone(clip) if clip.table == TONES else speech(clip, texts.voice)
        sound_files.write(sound, sound_path(texts.language, name, folder), mode)
        progress(name)

    try:
        with ThreadPoolExecutor(_WORKERS) as workers:
            list(workers.map(make, todo))
        removed = _remove_others(texts, folder)
        _write_manifest(texts, folder)
        for path in (folder / texts.language).rglob("*"):
            if path.is_file():
                path.chmod(mode)  # earlier versions left them open to others
    except OSError as error:
        raise SetupError(f"the sounds can't be written to {folder}: {error.strerror}.") from None
    return Outcome(todo, removed, len(texts.own) - len(todo))


def speech(clip: Clip, voice: Voice) -> Any:
    """What the voice makes of the clip's words, as a pydub AudioSegment for the telephone.

    The words come to espeak-ng on its standard input, so that none can be an option of it.

    Raises:
        SetupError: espeak-ng is missing or failed.
    """
    espeak = synthesizer.find()
    sentence = clip.say.endswith(_SENTENCE_ENDS)
    # With a comma the voice stays up, as it does in the middle of a sentence.
    words = clip.say if sentence else f"{clip.say},"
    with tempfile.TemporaryDirectory(prefix="taxiphone-") as folder:
        wav = Path(folder) / "speech.wav"
        run = subprocess.run(
            [
                *(*espeak, "-v", voice.name, "-s", str(voice.speed), "-p", str(voice.pitch)),
                *("-b", "1", "--stdin", "-w", str(wav)),
            ],
            input=words.encode(),
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if run.returncode or not wav.exists():
            reason = run.stderr.decode(errors="replace").strip() or f"exit code {run.returncode}"
            raise SetupError(f"espeak-ng could not say {clip.name!r} with the voice {voice.name!r}: {reason}")
        sound = sound_files.decode(wav)
    begins = clip.table == "sentences" or clip.before.endswith((*_SENTENCE_ENDS, ";"))
    before = _SENTENCE_PAUSE if begins else PART_PAUSE
    after = _SENTENCE_PAUSE if sentence else PART_PAUSE
    return sound_files.trim(sound_files.level(sound), before, after)


def _tone(clip: Clip) -> Any:
    if clip.name not in _TONES:
        raise UsageError(f"there is no tone {clip.name!r}. The tones are: {', '.join(_TONES)}.")
    tone = _TONES[clip.name]
    silence = sound_files.from_samples(bytes(2 * sound_files.RATE * tone.milliseconds // 1000))
    if not tone.hertz:
        return silence
    from pydub.generators import Sine  # noqa: PLC0415 - sound_files has kept pydub's warnings away by now

    sine = Sine(tone.hertz, sample_rate=sound_files.RATE).to_audio_segment(tone.milliseconds)
    return sound_files.level(sine.fade_in(10).fade_out(10))


def _entry(clip: Clip, voice: Voice, path: Path) -> dict[str, str] | None:
    """What the manifest says of an up-to-date sound: what it was made from, and what came of it."""
    if not path.is_file():
        return None
    tone = _TONES.get(clip.name) if clip.table == TONES else None
    made_from = (
        *(_RECIPE, clip.say, clip.table, repr(tone) if tone else repr(voice)),
        *((clip.before,) if clip.before else ()),
    )
    return {"from": _digest(repr(made_from).encode()), "sound": _digest(path.read_bytes())}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _manifest(language: str, folder: Path) -> dict[str, Any]:
    try:
        read = json.loads((folder / language / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # without it everything is made anew
    return read if isinstance(read, dict) else {}


def _write_manifest(texts: Texts, folder: Path) -> None:
    entries = {
        name: _entry(clip, texts.voice, sound_path(texts.language, name, folder))
        for name, clip in sorted(texts.own.items())
    }
    path = folder / texts.language / MANIFEST
    path.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def _remove_others(texts: Texts, folder: Path) -> tuple[str, ...]:
    there = folder / texts.language
    removed = []
    for path in sorted(there.rglob(f"*{sound_files.ENDING}")):
        name = path.relative_to(there).with_suffix("").as_posix()
        if name not in texts.own:
            path.unlink()
            removed.append(name)
    return tuple(removed)
