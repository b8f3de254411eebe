"""The names of consultants and clients as sounds, synthesized or recorded by the person.

The files are in <state>/sounds/names, to which Asterisk has a link (prompts_folder.py), so a new one is used without a
restart:

    own/consultant/4271.alaw     recorded; has priority in every language
    fr/consultant/4271.alaw      synthesized, with 4271.from, which identifies the name from which it was made

The files are named after the code, never after a text from outside, and are readable by their owner only.
"""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from taxiphone.dialplan.asterisk import sharing
from taxiphone.dialplan.asterisk.home import make_folder
from taxiphone.errors import SetupError, TaxiphoneError, UsageError
from taxiphone.settings import Settings
from taxiphone.speech import own_recordings, prompts_folder, sound_files, synthesis
from taxiphone.speech.prompt_texts import Clip, Languages, Texts
from taxiphone.speech.sentences import FOLDER, Sounds

log = logging.getLogger(__name__)

Kind = Literal["consultant", "client"]

_OWN = "own"
_CODE = re.compile(r"[0-9]{1,8}")
# Maximum duration of a recorded name in seconds.
_LONGEST = 8.0
# Maximum number of characters, as in the directory.
_LONGEST_TEXT = 120
_MODE = 0o600


def spoken(settings: Settings, kind: str, code: str, language: str) -> Sounds | None:
    """Return the sound of a name, recorded or else synthesized; None if there is neither.

    Args:
        settings: settings with the state folder.
        kind: `consultant` or `client`.
        code: the person's code.
        language: the language of the prompt, such as `fr`.
    """
    if _CODE.fullmatch(code):
        for place in (_OWN, language):
            if _file(settings, place, kind, code).is_file():
                return (f"{FOLDER}/{prompts_folder.NAMES}/{place}/{kind}/{code}",)
    return None


def make(settings: Settings, kind: Kind, code: str, text: str, say: str | None = None) -> None:
    """Synthesize a name in every language. Takes about 0.2 s for each.

    Args:
        settings: settings with the state folder.
        kind: `consultant` or `client`.
        code: the person's code.
        text: the name in the directory.
        say: the name respelled for the synthesizer, if it would mispronounce it.

    Raises:
        UsageError: the text contains nothing that can be spoken.
        SetupError: espeak-ng is missing or failed, or the folder can't be written.
    """
    languages = Languages.of_state(settings.state)
    for language in languages.codes:
        texts = languages.texts(language)
        path = _checked_file(settings, language, kind, code)
        clip = _clip(text if say is None else say)
        sound = synthesis.speech(clip, texts.voice)
        try:
            make_folder(path.parent)
            note = path.with_suffix(".from")
            note.unlink(missing_ok=True)
            sound_files.write(sound, path, mode=_MODE)
            sharing.share_sound(settings, path)
            note.touch(mode=_MODE)
            note.write_text(_made_from(text, texts), encoding="ascii")
        except OSError as error:
            raise SetupError(f"the name can't be written to {path}: {error.strerror}.") from None


def try_make(settings: Settings, kind: Kind, code: str, text: str) -> bool:
    """Call `make` and return whether it succeeded. A failure is logged."""
    try:
        make(settings, kind, code, text)
    except TaxiphoneError as error:
        log.info("the name of %s %s can't be spoken, so callers hear the code: %s", kind, code, error)
        return False
    return True


def use(settings: Settings, kind: Kind, code: str, recording: Path) -> Path:
    """Use a recording of the name by the person, which has priority in every language.

    Raises:
        UsageError: the file is not sound, is silent, or is too long for a name; nothing was changed.
        SetupError: the folder can't be written.
    """
    path = _checked_file(settings, _OWN, kind, code)
    sound = own_recordings.converted(recording, what="a name", longest=_LONGEST, pause=synthesis.PART_PAUSE)
    try:
        make_folder(path.parent)
        sound_files.write(sound, path, mode=_MODE)
        sharing.share_sound(settings, path)
    except OSError as error:
        raise SetupError(f"the name can't be written to {path}: {error.strerror}.") from None
    return path


def drop_recording(settings: Settings, kind: Kind, code: str) -> bool:
    """Delete the recorded name, so that the synthesized one is used; return False if there was none."""
    path = _checked_file(settings, _OWN, kind, code)
    found = path.is_file()
    path.unlink(missing_ok=True)
    return found


def missing(settings: Settings, kind: Kind, people: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the codes and names whose sound is missing in a language, or was made from an earlier name."""
    languages = Languages.of_state(settings.state)
    every = [languages.texts(language) for language in languages.codes]
    return [
        (code, text)
        for code, text in people
        if any(not _is_made(settings, texts, kind, code, text) for texts in every)
    ]


def sayable(text: str) -> str:
    """Return the part of a name that is passed to the synthesizer: letters, digits and connecting characters, in one line.

    Characters with a meaning for the synthesizer, such as brackets for phonemes and those of SSML, are removed.
    """
    whole = unicodedata.normalize("NFC", text)[:_LONGEST_TEXT].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    kept = "".join(
        sign if unicodedata.category(sign)[0] in "LMN" or sign in "'.-&," else " " for sign in whole
    )
    return " ".join(kept.split()).strip(".-&,")


def _is_made(settings: Settings, texts: Texts, kind: Kind, code: str, text: str) -> bool:
    path = _file(settings, texts.language, kind, code)
    try:
        return path.is_file() and path.with_suffix(".from").read_text(encoding="ascii") == _made_from(
            text, texts
        )
    except OSError:
        return False


def _clip(text: str) -> Clip:
    said = sayable(text)
    if not any(sign.isalnum() for sign in said):
        raise UsageError(f"the name {text!r} contains nothing that can be spoken.")
    return Clip("a name", text, said, "parts")


def _made_from(text: str, texts: Texts) -> str:
    return hashlib.sha256(repr((text, texts.voice)).encode()).hexdigest()[:16]


def _folder(settings: Settings) -> Path:
    return prompts_folder.own_sounds(settings) / prompts_folder.NAMES


def _file(settings: Settings, place: str, kind: str, code: str) -> Path:
    return _folder(settings) / place / kind / f"{code}{sound_files.ENDING}"


def _checked_file(settings: Settings, place: str, kind: str, code: str) -> Path:
    if not _CODE.fullmatch(code):
        raise UsageError(f"a code must have 1 to 8 digits, not {code!r}.")
    return _file(settings, place, kind, code)
