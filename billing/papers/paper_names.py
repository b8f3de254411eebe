"""People's names on a PDF: as they are where its font has their letters, else the person's code in their place."""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import replace
from importlib import resources

from fontTools.ttLib import TTFont

from taxiphone.billing.papers.paper import Paper

FONT_FILES = {"": "NotoSans-Regular.ttf", "B": "NotoSans-Bold.ttf"}
_SCRIPTS = ("LATIN", "GREEK", "CYRILLIC")


def with_codes(paper: Paper) -> Paper:
    """The paper with a code in the place of each name that can't be printed."""
    codes = {who.name: who.code for who in paper.people if not printable(who.name)}
    if not codes:
        return paper

    def put(text: str) -> str:
        for name, code in codes.items():
            text = text.replace(name, code)
        return text

    return replace(
        paper,
        recipient=tuple(put(line) for line in paper.recipient),
        facts=[(label, put(value)) for label, value in paper.facts],
        intro=[put(line) for line in paper.intro],
        notes=[put(line) for line in paper.notes],
    )


def told(paper: Paper) -> list[str]:
    """A sentence for each name that a PDF of the paper has the code for."""
    return [
        f"The name {who.name} is not in Latin, Greek or Cyrillic letters: the PDF has the code {who.code} in its place."
        for who in paper.people
        if not printable(who.name)
    ]


def printable(name: str) -> bool:
    """Whether a name is in Latin, Greek or Cyrillic letters, and the font has all of them."""
    return all(
        ord(letter) in glyphs()
        and (not letter.isalpha() or unicodedata.name(letter, "").startswith(_SCRIPTS))
        for letter in unicodedata.normalize("NFC", name)
    )


@functools.cache
def glyphs() -> frozenset[int]:
    """What both weights of the font can show."""
    folder = resources.files("taxiphone.billing.papers").joinpath("fonts")
    known: list[frozenset[int]] = []
    for name in FONT_FILES.values():
        with resources.as_file(folder.joinpath(name)) as file, TTFont(file, lazy=True) as font:
            known.append(frozenset(font.getBestCmap()))
    return frozenset.intersection(*known)
