"""Tables for a terminal of any width. Ids and numbers are never broken, so that they can be copied."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

_GAP = "  "
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters and those that change the direction of writing, which a terminal would obey."""
_WHOLE = re.compile(r"[-+]?[0-9][^ ]*( [^ ]+)?")
"""A number, a time or an amount, such as 1:23 or 60.00 EUR. It is not wrapped."""


def table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], width: int, optional: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """The lines of a table's heading and of its rows, or a block of `fields` for each row if `width` is too narrow.

    Text wraps between words only. Numbers are aligned to the right. The `optional` columns are omitted if the table would
    be too wide with them.
    """
    for chosen in (columns, [column for column in columns if column not in optional]):
        made = _table(rows, chosen, width)
        if made is not None:
            return made
    blocks = [fields(row, columns) for row in rows]
    return [], [line for number, block in enumerate(blocks) for line in ([""] if number else []) + block]


def _table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], width: int
) -> tuple[list[str], list[str]] | None:
    headings = [column.replace("_", " ") for column in columns]
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    right = [all(isinstance(row.get(column), int | Decimal | None) for row in rows) for column in columns]
    least = [_longest(_words(texts)) for texts in zip(headings, *cells, strict=True)]
    most = [_longest(texts) for texts in zip(headings, *cells, strict=True)]
    room = width - len(_GAP) * (len(columns) - 1)
    if sum(least) > room:
        return None
    widths = _shared(least, most, room)
    lines = [line for texts in cells for line in _row(texts, widths, right)]
    return _row(headings, widths, right), lines


def fields(row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """A line for each field of one thing. A long value is left to the terminal to wrap."""
    labels = [column.replace("_", " ") for column in columns]
    wide = _longest(labels)
    return [
        f"{label:{wide}}{_GAP}{cell(row.get(column))}" for label, column in zip(labels, columns, strict=True)
    ]


def cell(value: Any) -> str:
    """A value for people; times are in UTC."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value) or "-"
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", " ".join(str(value).split()))


def cells_wide(text: str) -> int:
    """The number of a terminal's columns that a text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(letter: str) -> int:
    """0 for a letter that is drawn upon the one before, 2 for a wide one (Unicode's annex 11), else 1."""
    if unicodedata.category(letter) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def _words(texts: Sequence[str]) -> list[str]:
    return [word for text in texts for word in _pieces(text)]


def _pieces(text: str) -> list[str]:
    """The pieces that a text may be broken into."""
    return [text] if _WHOLE.fullmatch(text) else text.split(" ")


def _longest(texts: Sequence[str]) -> int:
    return max((cells_wide(text) for text in texts), default=0)


def _shared(least: list[int], most: list[int], room: int) -> list[int]:
    """A width for each column: its minimum, and an equal part of the remaining room as long as it can use it."""
    widths, left = list(least), room - sum(least)
    while left > 0 and (hungry := [i for i, wide in enumerate(widths) if wide < most[i]]):
        for i in hungry[:left]:
            widths[i] += 1
        left -= min(left, len(hungry))
    return widths


def _row(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    columns = [_wrapped(text, width) for text, width in zip(texts, widths, strict=True)]
    lines = []
    for number in range(max(map(len, columns))):
        parts = [column[number] if number < len(column) else "" for column in columns]
        set_ = [
            " " * (width - cells_wide(part)) + part if flush else part + " " * (width - cells_wide(part))
            for part, width, flush in zip(parts, widths, right, strict=True)
        ]
        lines.append(_GAP.join(set_).rstrip())
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for piece in _pieces(text):
        longer = f"{lines[-1]} {piece}" if lines[-1] else piece
        if cells_wide(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(piece)
    return lines
