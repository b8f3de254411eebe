"""Links the sounds of the package and of the operator into one folder per language, which Asterisk reads.

Asterisk looks for `taxiphone/welcome` in `data/sounds/<language of the channel>/taxiphone/`. The operator's recordings are
in `<state>/sounds/<language>/` under the same names, in any of the formats below, and replace the shipped ones. An added
language has its sounds next to its text file: `<state>/prompts/xx/` next to `xx.toml`. Missing ones are said in English.
The folder with the names of people (names.py) is linked as a whole, so that a new name is found immediately.
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
"""Suffixes of the formats that Asterisk can play (see config.py), in order of preference.

A .wav file must have 8 kHz, 16 bit and one channel.
"""

NAMES = "names"
"""The folder of people's names, in `<state>/sounds` and in the folder that Asterisk reads."""

SHIPPED = Path(__file__).parent / "sounds"
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?")


def own_sounds(settings: Settings) -> Path:
    """Return the folder of the operator's recordings, with a subfolder for each language."""
    return settings.state / "sounds"


def own_texts(settings: Settings) -> Path:
    """Return the folder of the operator's languages: text files and subfolders with sounds."""
    return settings.state / OWN_PROMPTS


def languages(settings: Settings) -> list[str]:
    """Return the languages that have sounds."""
    every = (SHIPPED, own_texts(settings), own_sounds(settings))
    places = [place for place in every if place.is_dir()]
    found = {folder.name for place in places for folder in place.iterdir() if folder.is_dir()}
    return sorted(name for name in found if _LANGUAGE.fullmatch(name))


def sounds(settings: Settings, language: str) -> dict[str, Path]:
    """Return the files of a language by name, such as `price-is` or `n/12`, the operator's own if there is one."""
    shipped = _files(SHIPPED / language)
    if not shipped and (own_texts(settings) / f"{language}.toml").is_file():
        shipped = _files(SHIPPED / REFERENCE) | _files(own_texts(settings) / language)
    return shipped | _files(own_sounds(settings) / language)


def link_prompts(settings: Settings) -> None:
    """Build the folders that Asterisk reads. Each is replaced atomically, so that calls always find every sound.

    Raises:
        SetupError: the folder can't be written.
    """
    root = Folders(settings.asterisk_home).data / "sounds"
    names = own_sounds(settings) / NAMES
    copied = settings.asterisk.group is not None
    try:
        make_folder(root)
        # Asterisk logs an error for a link without a target.
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
        # An Asterisk of another user may have no access to the folder of the package.
        if copied:
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
