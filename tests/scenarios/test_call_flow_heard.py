"""docs/call-flow.md is what is heard: whole calls are lived, and everybody hears its prompts, in its order and no others."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from taxiphone.billing import ledger
from taxiphone.dialplan import speech_texts
from taxiphone.directory import people, pins
from taxiphone.settings import Settings
from taxiphone.store.models import Client, Consultant

OWN_DID, SHARED_DID, PACKAGE_DID = "+33199001234", "+33199001235", "+33199001236"
POOR = "+33639980004"
TEXT = (Path(__file__).parents[2] / "docs" / "call-flow.md").read_text(encoding="utf-8")
TEXTS = speech_texts.load("en")
ANY_ORDER = "9 and 10. The talk"
PIECES = {
    piece: template
    for template, pieces in TEXTS.templates.items()
    for piece in pieces
    if not piece.startswith("{")
}
NEVER_HEARD_HERE = {
    "unavailable"
}  # said where there is no consultation: by Asterisk, by a program that stops


def told(who):
    """What the document lets this person hear: section, prompt, in its order."""
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        section = part.partition("\n")[0]
        for heading, rows in re.findall(
            r"^\| prompt \| (.*?) hears? \| when \|\n\| --- .*\n((?:\|.*\n)+)", part, re.MULTILINE
        ):
            if heading in {f"the {who}", "both"}:
                for name in re.findall(r"^\| `([^`]+)`", rows, re.MULTILINE):
                    yield section, name


CLIENT, CONSULTANT = list(told("client")), list(told("consultant"))


def prompts_of(sounds):
    """The prompts among sounds; a sentence with gaps is one, however many sounds it is made of."""
    found = []
    for sound in sounds:
        name = PIECES.get(sound, sound)
        clip = TEXTS.clips.get(sound)
        if clip is None or not clip.is_prompt:
            continue
        if name not in TEXTS.templates or found[-1:] != [name]:
            found.append(name)
    return found


def out_of_order(heard, document):
    """The first prompt that does not come where the document has it, with the one before it; None where all do.

    What is heard may leave out what the document has. Back goes only a step that asks again, to a prompt of its own.
    """
    place = -1
    for before, name in zip(["", *heard], heard, strict=False):
        ahead = [at for at, (_, each) in enumerate(document) if at > place and each == name]
        again = [
            at
            for at, (section, each) in enumerate(document[: place + 1])
            if each == name
            and section == document[place][0]
            and (section == ANY_ORDER or asks_again(section))
        ]
        if not ahead and not again:
            return before, name
        near = [at for at in ahead if document[at][0] == document[place][0]]
        place = near[0] if near else again[-1] if again else ahead[0]
    return None


def asks_again(section):
    """Whether a question of this section is asked more than once."""
    part = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return bool(re.search(r"\((?:[a-z]|\d)+\) \| `code_tries` |\| 2 \|", part))
