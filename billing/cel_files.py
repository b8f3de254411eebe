"""The log's files: the one that Asterisk writes to now, and those that a rotation has put beside it.

A file is known by its first line (a hash of it): that has a time to the microsecond and a channel's id, so no other
file has the same, and the file keeps it when it is renamed, copied or restored. One that was emptied in place has
another first line, and so is another file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20  # bytes read at most at once: some thousands of lines
_LONGEST_LINE = 1 << 16  # Asterisk's own limit is far below


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of the log.

    Attributes:
        path: where it lies now.
        identity: the hash of its first line.
        first_line: that line, without its line break.
    """

    path: Path
    identity: str
    first_line: str


def identify(path: Path) -> LogFile | None:
    """What file lies there; None where there is none, or no whole line in it yet."""
    try:
        with path.open("rb") as file:
            first, whole, _ = file.readline(_LONGEST_LINE).partition(b"\n")
    except FileNotFoundError:
        return None
    if not whole:
        return None
    return LogFile(path, _hash(first), first.decode(errors="replace"))


def holds(file: LogFile, offset: int) -> bool:
    """Whether the file reaches as far as it was read; False: it was emptied in place and has begun anew.

    Its size is asked for now, not when the file was identified: Asterisk writes on meanwhile, and what was read of
    that must not look like a place beyond its end.
    """
    try:
        return file.path.stat().st_size >= offset
    except FileNotFoundError:
        return True


def beside(path: Path) -> list[LogFile]:
    """The log's other files in the same folder, as a rotation names them (`taxiphone.csv.1`); the oldest first."""
    try:
        names = sorted(path.parent.glob(f"{path.name}?*"))
    except FileNotFoundError:
        return []
    found = [
        identify(name)
        for name in names
        if name.is_file() and name.suffix not in {".gz", ".xz", ".zst", ".bz2"}
    ]
    return sorted((file for file in found if file is not None), key=_written)


def whole_lines(file: LogFile, offset: int) -> Iterator[tuple[int, str, int]]:
    """The whole lines from an offset on, of one chunk: (first byte, text, first byte of the next).

    The last line waits until its line break is written. Nothing comes where another file lies there by now.
    """
    try:
        opened = file.path.open("rb")
    except FileNotFoundError:
        return
    with opened:
        if _hash(opened.readline(_LONGEST_LINE).rstrip(b"\n")) != file.identity:
            return
        opened.seek(offset)
        chunk = opened.read(CHUNK)
        if (
            b"\n" not in chunk and len(chunk) == CHUNK
        ):  # one line longer than a chunk is no line of Asterisk's
            chunk += opened.readline()
    for line in chunk.split(b"\n")[:-1]:
        yield offset, line.rstrip(b"\r").decode(errors="replace"), offset + len(line) + 1
        offset += len(line) + 1


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:32]


def _written(file: LogFile) -> tuple[str, str]:
    """Rotated files in the order in which they were written: by the time in their first line."""
    time = file.first_line.split(",", 2)[1:2]
    return (time[0] if time else "", file.path.name)
