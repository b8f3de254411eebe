"""The sounds that Asterisk plays: the shipped ones and the operator's own, linked into one folder per language.

Asterisk looks for `taxiphone/price-told` in `data/sounds/<the channel's language>/taxiphone/`. The operator's own
recordings lie in `<state>/sounds/<language>/`, under the same names, in any format below, and win over the shipped.
A language of the operator's own has its sounds beside its text file, `<state>/prompts/xx/` beside `xx.toml`; what it
lacks is heard in English. The names of people (names.py) are a folder that is linked as a whole: one that is added is found at once.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from taxiphone.dialplan.asterisk.home import Folders, make_folder
from taxiphone.errors import SetupError
from taxiphone.settings import Settings
from taxiphone.speech.prompt_texts import OWN_PROMPTS, REFERENCE

FORMATS = (".alaw", ".wav", ".ulaw", ".g722", ".sln", ".gsm")
"""Suffixes of what Asterisk plays with the modules that are loaded (see config.py); a .wav is 8 kHz, 16 bit, mono.

Where a sound is there in several, the first of these is taken.
"""

NAMES = "names"
"""The folder of people's names, in `<state>/sounds` and below the sounds that Asterisk reads."""

SHIPPED = Path(__file__).parent / "sounds"
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?")


def own_sounds(settings: Settings) -> Path:
    """Where the operator's own recordings lie, one folder for each language."""
    return settings.state / "sounds"


def own_texts(settings: Settings) -> Path:
    """Where the text files of the operator's own languages lie, and below it their sounds."""
    return settings.state / OWN_PROMPTS


def languages(settings: Settings) -> list[str]:
    """The languages for which there is any sound."""
    every = (SHIPPED, own_texts(settings), own_sounds(settings))
    places = [place for place in every if place.is_dir()]
    found = {folder.name for place in places for folder in place.iterdir() if folder.is_dir()}
    return sorted(name for name in found if _LANGUAGE.fullmatch(name))


def sounds(settings: Settings, language: str) -> dict[str, Path]:
    """Each sound's file by its name, such as `price-is` or `n/12`: the operator's own where there is one."""
    shipped = _files(SHIPPED / language)
    if not shipped and (own_texts(settings) / f"{language}.toml").is_file():
        shipped = _files(SHIPPED / REFERENCE) | _files(own_texts(settings) / language)
    return shipped | _files(own_sounds(settings) / language)


def link_prompts(settings: Settings) -> None:
    """Build the folders that Asterisk reads; each language's is put in place in one step, so a call hears no gap.

    Raises:
        SetupError: the folder can't be written.
    """
    root = Folders(settings.asterisk_home).data / "sounds"
    names = own_sounds(settings) / NAMES
    copied = settings.asterisk.group is not None
    try:
        make_folder(root)
        # One that came later would be behind a link that led nowhere, of which Asterisk complains.
        make_folder(names)
        for language in languages(settings):
            _link(sounds(settings, language), names, root / language, copied=copied)
    except OSError as error:
        raise SetupError(f"the sounds can't be linked at {error.filename}: {error.strerror}.") from None


def _files(folder: Path) -> dict[str, Path]:
    paths = [path for path in folder.rglob("*") if path.suffix in FORMATS and path.is_file()]
    paths.sort(key=lambda path: FORMATS.index(path.suffix), reverse=True)
    return {path.relative_to(folder).with_suffix("").as_posix(): path.resolve() for path in paths}


def _link(files: dict[str, Path], names: Path, folder: Path, *, copied: bool) -> None:
    make_folder(folder)
    fresh = Path(tempfile.mkdtemp(dir=folder, prefix="links-"))
    for name, path in files.items():
        link = fresh / f"{name}{path.suffix}"
        make_folder(link.parent)
        if copied:  # another user's Asterisk may not enter the folder that the package lies in
            shutil.copyfile(path, link)
        else:
            link.symlink_to(path)
    (fresh / NAMES).symlink_to(names)
    draft = folder / f".{fresh.name}"
    draft.symlink_to(fresh.name)
    draft.replace(folder / "taxiphone")
    for old in folder.glob("links-*"):
        if old != fresh:
            shutil.rmtree(old)
