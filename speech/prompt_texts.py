"""Reads and validates the texts of a language: speech/prompts/<language>.toml.

Operators can add languages as text files in the state folder (`Languages.of_state`). A prompt that is missing there is
said in English, because a later version of the program may have more prompts.

A text file has these tables (see docs/prompts.md):

    [voice]                     the synthesizer's voice: name, speed in words per minute, pitch from 0 to 99
    [sentences] [parts] [tones] the prompts; a sentence stands alone, a part is followed by something else
    [templates]                 sentences with gaps for values: "It costs {amount}, tax included."
    [n]                         the numbers from 0 to 99, one clip each
    [letter] [month] [word]     letters and signs, months by number, the words used with numbers
    [money]                     units of currencies and their hundredths
    [own]                       clips used only by the grammar of this language; the one table that may differ

A clip's name is its key, with the name of the table before it except for prompts: `welcome`, `n/21`, `money/eur-one`.
Each piece between the gaps of a template is a clip, numbered if there are several: `it-costs-1`, `it-costs-2`.
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
OWN_PROMPTS = "prompts"
"""The folder of the operator's own languages, in the state folder."""
REFERENCE = "en"
"""The language that defines the keys, and that is used for prompts missing in another language."""
TONES = "tones"
TEMPLATES = "templates"
PROMPT_TABLES = ("sentences", "parts", TEMPLATES, TONES)
CLIP_TABLES = ("n", "letter", "month", "word", "money", "own")

# A currency without words is spelled, and each grammar has clips of its own.
_OPTIONAL = ("money", "own")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_GAP = re.compile(r"\{([a-z]+)\}")
_PIECE = re.compile(r"(?P<before>\s*[.,;:!?\s]*)(?P<words>.*?)\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Clip:
    """One sound.

    Attributes:
        name: the file below the language's folder, without suffix: `welcome`, `n/21`.
        text: the words as a person would write them.
        say: the words as spelled for the synthesizer.
        table: the table of the text file.
        before: the punctuation between the preceding value and the text, for a piece of a template.
    """

    name: str
    text: str
    say: str
    table: str
    before: str = ""

    @property
    def is_prompt(self) -> bool:
        """Whether it is a prompt, not a word used with numbers."""
        return self.table in PROMPT_TABLES


@dataclass(frozen=True, slots=True)
class Voice:
    """The synthesizer's voice: name, speed in words per minute, pitch (0 to 99)."""

    name: str
    speed: int
    pitch: int


@dataclass(frozen=True, slots=True)
class Texts:
    """All texts of a language.

    Attributes:
        language: the code of the language.
        file: the text file.
        voice: the synthesizer's voice.
        clips: all sounds by name.
        templates: for each template, the names of its clips and its gaps in their order; a gap is in braces:
            ("it-costs-1", "{amount}", "it-costs-2").
        borrowed: the clips taken from the reference language.
        missing: the keys missing in the text file, such as `welcome` or `n/21`.
    """

    language: str
    file: Path
    voice: Voice
    clips: Mapping[str, Clip]
    templates: Mapping[str, tuple[str, ...]]
    borrowed: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()

    @property
    def own(self) -> Mapping[str, Clip]:
        """The clips of this language, without borrowed ones."""
        return {name: clip for name, clip in self.clips.items() if name not in self.borrowed}


@dataclass(frozen=True, slots=True)
class Languages:
    """The languages in which prompts can be said.

    Attributes:
        folders: the folders with the text files. If two of them have the same language, the first one wins.
    """

    folders: tuple[Path, ...] = (PROMPTS,)

    @classmethod
    def of_state(cls, state: Path) -> Languages:
        """The package's languages, and the operator's own in the `prompts` folder of this state folder."""
        return cls((PROMPTS, state / OWN_PROMPTS))

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the languages, in alphabetical order: ("en", "fr")."""
        found = {path.stem for folder in self.folders for path in folder.glob("*.toml")}
        return tuple(sorted(name for name in found if _LANGUAGE.fullmatch(name)))

    def texts(self, language: str) -> Texts:
        """Everything that is said in one language.

        Raises:
            UsageError: there is no such language, or its text file has a fault; the message names the key.
        """
        paths = (
            [folder / f"{language}.toml" for folder in self.folders] if _LANGUAGE.fullmatch(language) else []
        )
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise UsageError(
                f"there are no prompts in the language {language!r}. Available: {', '.join(self.codes)}."
            )
        return _completed(path)


SHIPPED = Languages()
"""The package's own languages."""


@functools.cache
def _completed(path: Path) -> Texts:
    """Read a text file and complete it with clips from the reference language."""
    texts = _read(path)
    reference = PROMPTS / f"{REFERENCE}.toml"
    if path == reference:
        return texts
    english = _completed(reference)
    for key in texts.templates.keys() & english.templates.keys():
        if _gaps(texts.templates[key]) != _gaps(english.templates[key]):
            gaps = ", ".join(_gaps(english.templates[key]))
            raise UsageError(f"{path}: [{TEMPLATES}] {key} must contain each of these gaps once: {gaps}.")
    lacking = {
        name: clip
        for name, clip in english.clips.items()
        if clip.table not in _OPTIONAL and clip.table != TEMPLATES and name not in texts.clips
    }
    templates = {key: parts for key, parts in english.templates.items() if key not in texts.templates}
    borrowed = lacking | {
        part: english.clips[part] for parts in templates.values() for part in parts if part in english.clips
    }
    if clash := borrowed.keys() & texts.clips.keys():
        raise UsageError(f"{path}: the name {min(clash)} is reserved for a piece of a missing template.")
    return Texts(
        *(
            texts.language,
            texts.file,
            texts.voice,
            {**texts.clips, **borrowed},
            {**texts.templates, **templates},
        ),
        borrowed=frozenset(borrowed),
        missing=(*lacking, *templates),
    )


def _gaps(template: tuple[str, ...]) -> list[str]:
    return sorted(part for part in template if part.startswith("{"))


def _read(path: Path) -> Texts:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read as TOML: {error}.") from None
    clips: dict[str, Clip] = {}
    templates: dict[str, tuple[str, ...]] = {}
    for table, entries in data.items():
        if table == "voice":
            continue
        if table not in (*PROMPT_TABLES, *CLIP_TABLES):
            raise UsageError(f"{path}: unknown table [{table}].")
        for key, value in entries.items():
            whole = _clip(path, table, key, value)
            made = [whole]
            if table == TEMPLATES:
                made, templates[key] = _pieces(path, whole)
            for clip in made:
                if clip.name in clips:
                    raise UsageError(
                        f"{path}: [{table}] {clip.name} is already defined in [{clips[clip.name].table}]."
                    )
                clips[clip.name] = clip
    return Texts(path.stem, path, _voice(path, data.get("voice")), clips, templates)


def _clip(path: Path, table: str, key: str, value: Any) -> Clip:
    given = {"text": value, "say": value} if isinstance(value, str) else value
    if not _NAME.fullmatch(key):
        raise UsageError(f"{path}: [{table}] {key}: a name may contain only a-z, 0-9 and single hyphens.")
    if (
        not isinstance(given, dict)
        or set(given) != {"text", "say"}
        or not all(isinstance(part, str) and part.strip() for part in given.values())
    ):
        raise UsageError(f'{path}: [{table}] {key} must be "a text" or {{ text = "...", say = "..." }}.')
    name = key if table in PROMPT_TABLES else f"{table}/{key}"
    return Clip(name, given["text"], given["say"], table)


def _pieces(path: Path, template: Clip) -> tuple[list[Clip], tuple[str, ...]]:
    """Split a template into its pieces; also return the order of pieces and gaps."""
    texts, says = _GAP.split(template.text), _GAP.split(template.say)
    gaps = texts[1::2]
    if not gaps or gaps != says[1::2] or any(sign in "".join(texts[::2]) for sign in "{}"):
        raise UsageError(
            f"{path}: [{template.table}] {template.name} must have gaps in braces, such as {{amount}}, "
            "and the same ones in text and say."
        )
    pieces = [_piece(text, say) for text, say in zip(texts[::2], says[::2], strict=True)]
    several = sum(piece is not None for piece in pieces) > 1
    clips: list[Clip] = []
    order: list[str] = []
    for piece, gap in zip(pieces, (*gaps, None), strict=True):
        if piece is not None:
            name = f"{template.name}-{len(clips) + 1}" if several else template.name
            before, text, say = piece
            clips.append(Clip(name, text, say, template.table, before))
            order.append(name)
        if gap is not None:
            order.append(f"{{{gap}}}")
    return clips, tuple(order)


def _piece(text: str, say: str) -> tuple[str, str, str] | None:
    """Return the punctuation before a piece, its words, and their spelling for the synthesizer; None without words."""
    split, spoken = _PIECE.fullmatch(text), _PIECE.fullmatch(say)
    if not (split and spoken and split["words"] and spoken["words"]):
        return None
    return split["before"].rstrip(), split["words"], spoken["words"].rstrip(",;:")


def _voice(path: Path, given: Any) -> Voice:
    try:
        return Voice(str(given["name"]), int(given["speed"]), int(given["pitch"]))
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{path}: [voice] must have name, speed and pitch.") from None
