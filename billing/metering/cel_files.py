"""The files of the log: the one that Asterisk writes to now, and the rotated ones in the same folder.

A file is identified by a hash of its first line, which contains a time to the microsecond and a channel id. It is unique,
and doesn't change if a file is renamed, copied, compressed or restored. A file that was truncated in place gets another first
line, so it counts as another file. Offsets count bytes before compression.
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

CHUNK = 1 << 20  # maximum number of bytes read at once: a few thousand lines
_LONGEST_LINE = 1 << 16  # Asterisk's own limit is far lower
_COMPRESSED = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_OTHERS = {".zst": "zstd", ".lz4": "lz4", ".zip": "unzip", ".Z": "uncompress"}  # unsupported formats
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of the log.

    Attributes:
        path: its current path.
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
    """A file of the log that can't be read; `why` is one clause."""

    path: Path
    why: str


def identify(path: Path) -> LogFile | None:
    """Return the file at a path; None if it doesn't exist, or doesn't contain a complete line yet.

    Raises:
        OSError: the file can't be read, or its compression is damaged.
    """
    try:
        with _open(path) as file:
            first, line_break, _ = file.readline(_LONGEST_LINE).partition(b"\n")
            too_long = len(first) == _LONGEST_LINE
    except FileNotFoundError:
        return None
    except _DAMAGED as error:
        raise OSError(0, f"its compression is damaged: {error}", str(path)) from None
    # A first line that is too long is no row of Asterisk's; rows may follow it (`whole_lines`).
    if not line_break and not too_long:
        return None
    return LogFile(path, _hash(first), first.decode(errors="replace"))


def holds(file: LogFile, offset: int) -> bool:
    """Whether a line ends at this offset; False if the file was truncated in place and now has other content.

    The size is read now and not when the file was identified, because Asterisk may have appended lines since, and these
    may have been read.
    """
    if file.compressed or not offset:
        return True
    try:
        with file.path.open("rb") as opened:
            opened.seek(offset - 1)
            # What was read last ended with a line break, with zeros, or at the end of a closed file.
            return opened.read(1) in {b"\n", b"\0"} or file.path.stat().st_size == offset
    except FileNotFoundError:
        return True


def has_more(file: LogFile, offset: int) -> bool:
    """Whether the file may have bytes after this offset."""
    try:
        return file.compressed or file.path.stat().st_size > offset
    except FileNotFoundError:
        return False


def earlier_files(path: Path) -> tuple[list[LogFile], list[Unreadable]]:
    """Return the log's other files in the same folder, oldest first, and those that can't be read.

    They are found by the usual names of rotated files, compressed or not: `taxiphone.csv.1`, `taxiphone.csv-20261126.gz`,
    `taxiphone-20261126.csv`.
    """
    files: dict[str, LogFile] = {}
    unreadable = []
    for name in sorted(path.parent.glob(f"{path.stem}*{path.suffix}*")):
        if name == path or not name.is_file():
            continue
        if name.suffix in _OTHERS:
            unreadable.append(
                Unreadable(
                    name, f"it is compressed in an unsupported format (unpack it with {_OTHERS[name.suffix]})"
                )
            )
            continue
        try:
            file = identify(name)
        except OSError as error:
            unreadable.append(Unreadable(name, error.strerror or str(error)))
            continue
        # A file that is being compressed exists twice; the uncompressed one is complete.
        if file is not None and (file.identity not in files or files[file.identity].compressed):
            files[file.identity] = file
    return sorted(files.values(), key=_written), unreadable


def whole_lines(file: LogFile, offset: int, *, closed: bool = False) -> Iterator[tuple[int, str, int]]:
    """Yield the complete lines of one chunk: (offset of the line, text, offset of the next line).

    A last line without a line break is left for later. Nothing is yielded if there is another file at the path by now. For a
    damaged compressed file, the readable lines are followed by the error, with the same offset twice.

    Args:
        file: the file.
        offset: where to start.
        closed: whether nothing is written to the file any more, so that a last line without a line break is complete.
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
            rest = _rest_of_line(opened) if b"\n" not in chunk and len(chunk) >= CHUNK else 0
        except _DAMAGED as error:
            chunk, damaged, rest = b"", f"its compression is damaged: {error}", 0
    if b"\n" not in chunk and len(chunk) >= CHUNK:
        # Too long for a line of Asterisk: probably zeros left by a crash of the machine. A row may follow them.
        if zeros := chunk.rfind(b"\0") + 1:
            yield offset, chunk[:80].decode(errors="replace"), offset + zeros
        elif rest:
            yield offset, chunk[:80].decode(errors="replace"), offset + len(chunk) + rest
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
    """Return the number of bytes up to and including the next line break; 0 if there is none."""
    length = 0
    while piece := file.readline(1 << 16):
        length += len(piece)
        if piece.endswith(b"\n"):
            return length
    return 0


def _read(file: IO[bytes], most: int) -> tuple[bytes, str]:
    """Read at most this number of bytes; return those that are readable, and the error if some aren't."""
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
    """The sort key of files in the order in which they were written: the time in their first line."""
    time = file.first_line.split(",", 2)[1:2]
    return (time[0] if time else "", file.path.name)
