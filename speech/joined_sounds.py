"""Joins the sounds of a sentence into one file, so that Asterisk plays a sentence as one sound.

A price is a sentence of some twenty sounds. Asterisk opens each of them, reports each of them, and continues with the next if
one is missing. One file costs a tenth of that, and a missing sound is found before anything is played.

The files are in `data/sounds/<language>/joined/` of Asterisk's home, which are played as `joined/NAME`. They are made when a
sentence is first said, removed when it has not been said for an hour, and all removed when the program starts. They contain
names and amounts, so they are readable by their owner only.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from taxiphone.dialplan.asterisk import sharing
from taxiphone.dialplan.asterisk.home import Folders, make_folder
from taxiphone.errors import SetupError, UsageError
from taxiphone.settings import Settings
from taxiphone.speech import sound_files
from taxiphone.speech.prompts_folder import FORMATS, NAMES
from taxiphone.speech.sentences import Sounds

log = logging.getLogger(__name__)

FOLDER = "joined"
"""The folder of the joined sounds, in Asterisk's folder of the language."""

_MOST_BYTES = 64 << 20
_UNUSED_SECONDS = 3600.0


@dataclass(frozen=True)
class Playable:
    """What to play for a sentence.

    Attributes:
        sounds: the names of the sounds for Asterisk: one for the whole sentence, or the sentence's own.
        missing: the sounds of the sentence that can't be played.
    """

    sounds: Sounds
    missing: Sounds = ()


@dataclass(frozen=True)
class _Source:
    """The file of a sound. If the file is replaced, the source is another one."""

    path: str
    changed_ns: int
    size: int


@dataclass
class _Joined:
    path: Path
    sources: tuple[_Source, ...]
    size: int
    used: float


class JoinedSounds:
    """The joined sounds of all sentences said in the last hour.

    Args:
        settings: settings with Asterisk's home.
        most_bytes: maximum size of all files. The sentences that were not said for the longest time are removed first.
        unused_seconds: how long a sentence is kept after it was last said.
    """

    def __init__(
        self, settings: Settings, *, most_bytes: int = _MOST_BYTES, unused_seconds: float = _UNUSED_SECONDS
    ) -> None:
        self._settings = settings
        self._root = Folders(settings.asterisk_home).data / "sounds"
        self._most_bytes, self._unused_seconds = most_bytes, unused_seconds
        self._joined: OrderedDict[tuple[str, Sounds], _Joined] = OrderedDict()
        self._bytes = 0
        self._words: dict[_Source, bytes] = {}

    def clear(self) -> None:
        """Remove the files of an earlier process. Called once, before the first sentence."""
        for folder in self._root.glob(f"*/{FOLDER}"):
            shutil.rmtree(folder, ignore_errors=True)

    async def join(self, language: str, sounds: Sounds) -> Playable:
        """Return what to play for a sentence; its file is made if there is none.

        If no file can be made, for example because the disk is full, the sentence is played sound by sound.

        Args:
            language: the language of the channel.
            sounds: the names of the sounds, as composed by `Speech`.
        """
        sources = [self._source(language, sound) for sound in sounds]
        missing = tuple(sound for sound, source in zip(sounds, sources, strict=True) if source is None)
        if missing or len(sounds) <= 1:
            return Playable(sounds, missing)
        found = tuple(source for source in sources if source is not None)
        joined = self._joined.get((language, sounds))
        if joined is None or joined.sources != found or not joined.path.exists():
            return await self._make(language, sounds, found)
        joined.used = time.monotonic()
        self._joined.move_to_end((language, sounds))
        return Playable((_name(joined.path),))

    def _source(self, language: str, sound: str) -> _Source | None:
        """The file that Asterisk would play, as linked by prompts_folder.py; None if there is none, or it is empty."""
        for suffix in FORMATS:
            path = f"{self._root}/{language}/{sound}{suffix}"
            try:
                status = os.stat(path)  # noqa: PTH116 - pathlib takes three times as long, for each sound of each sentence
            except OSError:
                continue
            return _Source(path, status.st_mtime_ns, status.st_size) if status.st_size else None
        return None

    async def _make(self, language: str, sounds: Sounds, sources: tuple[_Source, ...]) -> Playable:
        try:
            joined = await asyncio.to_thread(self._write, language, sounds, sources)
        except (OSError, SetupError) as error:
            log.warning("a sentence can't be joined into one sound, and is played sound by sound: %s", error)
            return Playable(sounds)
        except UsageError as error:
            log.error("a sound can't be played: %s", error)
            return Playable(sounds, sounds)
        self._bytes += joined.size
        replaced = self._joined.pop((language, sounds), None)
        self._joined[language, sounds] = joined
        if replaced is not None:
            self._remove(replaced, unless=joined)
        self._remove_unused()
        return Playable((_name(joined.path),))

    def _write(self, language: str, sounds: Sounds, sources: tuple[_Source, ...]) -> _Joined:
        """Write the file of a sentence. Runs in a thread."""
        folder = self._root / language / FOLDER
        sound = b"".join(map(self._read, sources))
        # Each sentence has a file of its own, even if two sound the same, so that removing one doesn't remove the other.
        digest = hashlib.sha256(",".join(sounds).encode() + sound).hexdigest()
        path = folder / f"{digest[:32]}{sound_files.ENDING}"
        if not folder.is_dir():
            make_folder(folder)
        # Asterisk may be playing a file of the same name. A temporary file is readable by its owner only.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
            draft = Path(file.name)
            try:
                file.write(sound)
                file.flush()
                sharing.share_sound(self._settings, draft)
                draft.replace(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
        return _Joined(path, sources, len(sound), time.monotonic())

    def _read(self, source: _Source) -> bytes:
        """The sound of a file. Those of words are kept, because most sentences have some; names are not."""
        sound = self._words.get(source)
        if sound is None:
            path = Path(source.path)
            sound = path.read_bytes() if path.suffix == sound_files.ENDING else sound_files.as_alaw(path)
            if f"/{NAMES}/" not in source.path:
                self._words[source] = sound
        return sound

    def _remove_unused(self) -> None:
        """Remove the sentences that were not said for long, or for which there is no room. The last one stays."""
        before = time.monotonic() - self._unused_seconds
        while len(self._joined) > 1:
            key, oldest = next(iter(self._joined.items()))
            if oldest.used >= before and self._bytes <= self._most_bytes:
                return
            del self._joined[key]
            self._remove(oldest)

    def _remove(self, joined: _Joined, *, unless: _Joined | None = None) -> None:
        self._bytes -= joined.size
        if unless is None or joined.path != unless.path:
            joined.path.unlink(missing_ok=True)


def _name(path: Path) -> str:
    return f"{FOLDER}/{path.stem}"
