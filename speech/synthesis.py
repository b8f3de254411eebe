"""Builds the sounds of speech/sounds from the texts of speech/prompts with espeak-ng.

The sounds are part of the package, so espeak-ng (synthesizer.py) is needed only to change a text and for people's names.
Each language's folder has a manifest with the text from which each sound was made. Only changed sounds are rebuilt, and
the same text gives the same file.
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

# Must be increased when the same text is to give another sound.
_RECIPE = 1
_WORKERS = 2
# Time limit of espeak-ng for one text in seconds.
_TIMEOUT = 60
# Silence at the ends of a sound in ms: short within a sentence, longer between sentences.
_SENTENCE_PAUSE = 100
PART_PAUSE = 25
_SENTENCE_ENDS = (".", "!", "?")


@dataclass(frozen=True, slots=True)
class Tone:
    """A sound that is not speech; 0 Hz is silence."""

    hertz: int
    milliseconds: int


_TONES = {"tone-start": Tone(880, 400), "tone-hold": Tone(425, 300), "silence": Tone(0, 300)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a build: the names of sounds built and removed, and the number of unchanged ones."""

    built: tuple[str, ...]
    removed: tuple[str, ...]
    kept: int


def sound_path(language: str, name: str, folder: Path = SOUNDS) -> Path:
    """Return the file of a sound of the package."""
    return folder / language / f"{name}{sound_files.ENDING}"


def home(texts: Texts) -> Path:
    """Return the folder with the sounds of all languages: the package's, or that of the operator's text file."""
    return SOUNDS if texts.file.parent == PROMPTS else texts.file.parent


def outdated(texts: Texts, folder: Path | None = None) -> tuple[str, ...]:
    """Return the names of sounds that are missing, were made from another text, or were changed."""
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
    """Build outdated sounds and delete those without a text.

    Args:
        texts: the texts of the language.
        folder: the folder of all languages; None for the usual one.
        progress: called with the name of each sound that was built.

    Raises:
        SetupError: espeak-ng is missing or failed, or the folder can't be written.
        UsageError: a tone is unknown.
    """
    folder = folder or home(texts)
    # Sounds of the package are readable by everybody, those in the state folder by their owner.
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
                # Files of earlier versions may be readable by others.
                path.chmod(mode)
    except OSError as error:
        raise SetupError(f"the sounds can't be written to {folder}: {error.strerror}.") from None
    return Outcome(todo, removed, len(texts.own) - len(todo))


def speech(clip: Clip, voice: Voice) -> Any:
    """Synthesize the words of a clip as a pydub AudioSegment.

    espeak-ng reads the words from its standard input, so that they can't be taken for options.

    Raises:
        SetupError: espeak-ng is missing or failed.
    """
    espeak = synthesizer.find()
    sentence = clip.say.endswith(_SENTENCE_ENDS)
    # A comma keeps the pitch up, as in the middle of a sentence.
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
            raise SetupError(
                f"espeak-ng failed to synthesize {clip.name!r} with the voice {voice.name!r}: {reason}"
            )
        sound = sound_files.decode(wav)
    begins = clip.table == "sentences" or clip.before.endswith((*_SENTENCE_ENDS, ";"))
    before = _SENTENCE_PAUSE if begins else PART_PAUSE
    after = _SENTENCE_PAUSE if sentence else PART_PAUSE
    return sound_files.trim(sound_files.level(sound), before, after)


def _tone(clip: Clip) -> Any:
    if clip.name not in _TONES:
        raise UsageError(f"unknown tone {clip.name!r}. Available: {', '.join(_TONES)}.")
    tone = _TONES[clip.name]
    silence = sound_files.from_samples(bytes(2 * sound_files.RATE * tone.milliseconds // 1000))
    if not tone.hertz:
        return silence
    from pydub.generators import Sine  # noqa: PLC0415 - sound_files has suppressed pydub's warnings by now

    sine = Sine(tone.hertz, sample_rate=sound_files.RATE).to_audio_segment(tone.milliseconds)
    return sound_files.level(sine.fade_in(10).fade_out(10))


def _entry(clip: Clip, voice: Voice, path: Path) -> dict[str, str] | None:
    """Return the manifest's entry for an up-to-date sound: hashes of its source and of the sound."""
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
        # Without a manifest, everything is rebuilt.
        return {}
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
