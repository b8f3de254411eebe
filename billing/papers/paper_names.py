"""Names in PDFs: printed if the font has their letters, otherwise replaced by the person's code."""

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
    """Return the document with each name that can't be printed replaced by the person's code."""
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


def replaced_names(paper: Paper) -> list[str]:
    """Return a sentence for each name that the PDF shows as a code."""
    return [
        f"The name {who.name} is not in Latin, Greek or Cyrillic letters: the PDF shows the code {who.code} instead."
        for who in paper.people
        if not printable(who.name)
    ]


def printable(name: str) -> bool:
    """Tell whether a name is in Latin, Greek or Cyrillic letters that the font has."""
    return all(
        ord(letter) in glyphs()
        and (not letter.isalpha() or unicodedata.name(letter, "").startswith(_SCRIPTS))
        for letter in unicodedata.normalize("NFC", name)
    )


@functools.cache
def glyphs() -> frozenset[int]:
    """Return the code points that both weights of the font can show."""
    folder = resources.files("taxiphone.billing.papers").joinpath("fonts")
    known: list[frozenset[int]] = []
    for name in FONT_FILES.values():
        with resources.as_file(folder.joinpath(name)) as file, TTFont(file, lazy=True) as font:
            known.append(frozenset(font.getBestCmap()))
    return frozenset.intersection(*known)
