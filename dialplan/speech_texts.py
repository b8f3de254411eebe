"""What every prompt and clip says: the text file of one language, dialplan/prompts/<language>.toml, read and checked.

A text file has these tables; docs/prompts.md tells how to write one.

    [voice]                     the synthesiser's voice: name, speed in words a minute, pitch from 0 to 99
    [sentences] [parts] [tones] the prompts; a sentence stands alone, a part is followed by something else
    [n]                         the numbers from 0 to 99, each as one clip
    [letter] [month] [word]     letters and signs, months by number, the words that figures need
    [money]                     units of currencies and their hundredths
    [own]                       what only the grammar of this language needs; the one table that may differ

A clip's name is its key, with the table's name before it for all but the prompts: `welcome`, `n/21`, `money/eur-one`.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiphone.errors import UsageError

PROMPTS = Path(__file__).parent / "prompts"
TONES = "tones"
PROMPT_TABLES = ("sentences", "parts", TONES)
CLIP_TABLES = ("n", "letter", "month", "word", "money", "own")

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LANGUAGE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True, slots=True)
class Clip:
    """One sound.

    Attributes:
        name: its file below the language's folder, without the ending: `welcome`, `n/21`.
        text: the words, as a person would write them.
        say: the words as the synthesiser has to read them.
        table: the table of the text file that it stands in.
    """

    name: str
    text: str
    say: str
    table: str

    @property
    def is_prompt(self) -> bool:
        """Whether it is a prompt with a name of its own, not a word that figures are put together from."""
        return self.table in PROMPT_TABLES


@dataclass(frozen=True, slots=True)
class Voice:
    """How the synthesiser speaks this language: its voice's name, words a minute, pitch (0 to 99)."""

    name: str
    speed: int
    pitch: int


@dataclass(frozen=True, slots=True)
class Texts:
    """Everything that is said in one language, by the clip's name."""

    language: str
    voice: Voice
    clips: Mapping[str, Clip]


def languages(folder: Path = PROMPTS) -> tuple[str, ...]:
    """The languages that have a text file, in alphabetical order: ("en", "fr")."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml") if _LANGUAGE.fullmatch(path.stem)))


@functools.cache
def load(language: str, folder: Path = PROMPTS) -> Texts:
    """Read a language's text file.

    Raises:
        UsageError: there is no such language, or its file is not as it must be; the sentence names the key.
    """
    known = languages(folder)
    if language not in known:
        raise UsageError(f"there are no prompts in {language!r}. The languages are: {', '.join(known)}.")
    path = folder / f"{language}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read as TOML: {error}.") from None
    clips: dict[str, Clip] = {}
    for table, entries in data.items():
        if table == "voice":
            continue
        if table not in (*PROMPT_TABLES, *CLIP_TABLES):
            raise UsageError(f"{path}: there is no table [{table}].")
        for key, value in entries.items():
            clip = _clip(path, table, key, value)
            if clip.name in clips:
                raise UsageError(f"{path}: [{table}] {key} stands in [{clips[clip.name].table}] already.")
            clips[clip.name] = clip
    return Texts(language, _voice(path, data.get("voice")), clips)


def _clip(path: Path, table: str, key: str, value: Any) -> Clip:
    given = {"text": value, "say": value} if isinstance(value, str) else value
    if not _NAME.fullmatch(key):
        raise UsageError(f"{path}: [{table}] {key}: a name is made of a-z, 0-9 and single hyphens.")
    if (
        not isinstance(given, dict)
        or set(given) != {"text", "say"}
        or not all(isinstance(part, str) and part.strip() for part in given.values())
    ):
        raise UsageError(f'{path}: [{table}] {key} must be "a text" or {{ text = "...", say = "..." }}.')
    name = key if table in PROMPT_TABLES else f"{table}/{key}"
    return Clip(name, given["text"], given["say"], table)


def _voice(path: Path, given: Any) -> Voice:
    try:
        return Voice(str(given["name"]), int(given["speed"]), int(given["pitch"]))
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{path}: [voice] must have name, speed and pitch.") from None
