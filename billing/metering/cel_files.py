"""The files of the log: the one that Asterisk writes to now, and the rotated ones beside it.

A file is identified by a hash of its first line, which has a time to the microsecond and a channel id. No two files share
it, and it stays when a file is renamed, copied, compressed or restored. A file that was truncated in place has another
first line, so it counts as another file. Offsets count bytes before compression.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

CHUNK = 1 << 20  # bytes read at most at once: some thousands of lines
_LONGEST_LINE = 1 << 16  # Asterisk's own limit is far below
_COMPRESSED = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_OTHERS = {".zst": "zstd", ".lz4": "lz4", ".zip": "unzip", ".Z": "uncompress"}  # nothing here reads them
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


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

    @property
    def compressed(self) -> bool:
        """Whether the file is compressed, so that Asterisk no longer writes to it."""
        return self.path.suffix in _COMPRESSED


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file of the log that can't be read, and why: one clause."""

    path: Path
    why: str


def identify(path: Path) -> LogFile | None:
    """The file at a path; None if there is none, or no whole line in it yet.

    Raises:
        OSError: it can't be read, or is no whole compressed file.
    """
    try:
        with _open(path) as file:
            first, whole, _ = file.readline(_LONGEST_LINE).partition(b"\n")
    except FileNotFoundError:
        return None
    except _DAMAGED as error:
        raise OSError(0, f"its compression is damaged: {error}", str(path)) from None
    if not whole:
        return None
    return LogFile(path, _hash(first), first.decode(errors="replace"))


def holds(file: LogFile, offset: int) -> bool:
    """Whether the file reaches as far as it was read, and a line ends there; False: it was emptied in place and begun anew.

    Its size is asked for now, not when the file was identified: Asterisk writes on meanwhile, and what was read of
    that must not look like a place beyond its end.
    """
    if file.compressed or not offset:
        return True
    try:
        with file.path.open("rb") as opened:
            opened.seek(offset - 1)
            # What was read last ended with a line break, or with zeros, or it was the end of a file that was closed.
            return opened.read(1) in {b"\n", b"\0"} or file.path.stat().st_size == offset
    except FileNotFoundError:
        return True


def earlier_files(path: Path) -> tuple[list[LogFile], list[Unreadable]]:
    """The log's other files in the same folder, oldest first, and those that can't be read.

    They have the names that log rotation gives, compressed or not: `taxiphone.csv.1`, `taxiphone.csv-20261126.gz`,
    `taxiphone-20261126.csv`.
    """
    found: dict[str, LogFile] = {}
    unreadable = []
    for name in sorted(path.parent.glob(f"{path.stem}*{path.suffix}*")):
        if name == path or not name.is_file():
            continue
        if name.suffix in _OTHERS:
            unreadable.append(
                Unreadable(
                    name, f"it is compressed by a program that is not built in: {_OTHERS[name.suffix]}"
                )
            )
            continue
        try:
            file = identify(name)
        except OSError as error:
            unreadable.append(Unreadable(name, error.strerror or str(error)))
            continue
        # While a file is being compressed it is there twice: the plain one is whole.
        if file is not None and (file.identity not in found or found[file.identity].compressed):
            found[file.identity] = file
    return sorted(found.values(), key=_written), unreadable


def whole_lines(file: LogFile, offset: int, *, closed: bool = False) -> Iterator[tuple[int, str, int]]:
    """The whole lines from an offset on, of one chunk: (first byte, text, first byte of the next).

    The last line waits until its line break is written. Nothing comes where another file lies there by now. Of a damaged
    compressed file all comes that can be read, and then a line that is none.

    Args:
        file: which.
        offset: the first byte that is wanted.
        closed: nobody writes to it any more, so that a last line without its line break is one too.
    """
    try:
        opened = _open(file.path)
    except FileNotFoundError:
        return
    damaged = ""
    with opened:
        try:
            if _hash(opened.readline(_LONGEST_LINE).rstrip(b"\n")) != file.identity:
                return
            opened.seek(offset)
            chunk, damaged = _read(opened, CHUNK * 4 if file.compressed else CHUNK)
            beyond = _rest_of_line(opened) if b"\n" not in chunk and len(chunk) >= CHUNK else 0
        except _DAMAGED as error:
            chunk, damaged, beyond = b"", f"its compression is damaged: {error}", 0
    if b"\n" not in chunk and len(chunk) >= CHUNK:
        # No line of Asterisk's is so long: what a crash of the machine left, zeros mostly. A row may begin after them.
        if zeros := chunk.rfind(b"\0") + 1:
            yield offset, chunk[:80].decode(errors="replace"), offset + zeros
        elif beyond:
            yield offset, chunk[:80].decode(errors="replace"), offset + len(chunk) + beyond
        return
    *lines, last = chunk.split(b"\n")
    for line in lines:
        yield offset, line.rstrip(b"\r").decode(errors="replace"), offset + len(line) + 1
        offset += len(line) + 1
    if last and not damaged and closed and len(chunk) < CHUNK:
        yield offset, last.decode(errors="replace"), offset + len(last)
        offset += len(last)
    if damaged:
        yield offset, damaged, offset


def _open(path: Path) -> IO[bytes]:
    opener = _COMPRESSED.get(path.suffix)
    return path.open("rb") if opener is None else opener(path, "rb")  # type: ignore[operator]


def _rest_of_line(file: IO[bytes]) -> int:
    """How many bytes follow up to the next line break, with it; 0 where none does."""
    length = 0
    while piece := file.readline(1 << 16):
        length += len(piece)
        if piece.endswith(b"\n"):
            return length
    return 0


def _read(file: IO[bytes], most: int) -> tuple[bytes, str]:
    """So many bytes at most, as far as they can be read; and what is wrong where that is not to the end."""
    pieces: list[bytes] = []
    size = 0
    while size < most:
        try:
            piece = file.read(min(1 << 16, most - size))
        except _DAMAGED as error:
            return b"".join(pieces), f"its compression is damaged: {error}"
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), ""


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:32]


def _written(file: LogFile) -> tuple[str, str]:
    """Rotated files in the order in which they were written: by the time in their first line."""
    time = file.first_line.split(",", 2)[1:2]
    return (time[0] if time else "", file.path.name)
