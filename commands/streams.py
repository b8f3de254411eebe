"""Standard input, output and error that can't take a command down, whatever they are connected to.

A character that the terminal's encoding does not have is replaced. Standard output that can't be written (a full disk, a
closed descriptor, a reader that has gone) raises `OutputError` once, so that a command is not thought to have told what
nobody got. Standard error loses what can't be written: an exit code must survive it.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

STDIN, STDOUT, STDERR = range(3)


class OutputError(Exception):
    """Standard output can't be written. No OSError, so that nobody takes it for a fault of a file of the command's own.

    Attributes:
        errno: why, as the system numbers it.
        strerror: the same in words.
    """

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.errno, self.strerror = number, os.strerror(number)

    @property
    def reader_gone(self) -> bool:
        """Whether it was a pipe whose reader has ended, as in `taxiphone client list | head`."""
        return self.errno == errno.EPIPE


class _Raw(io.FileIO):
    """A descriptor to write to; `lossy`: what can't be written is dropped."""

    def __init__(self, descriptor: int, *, closed: bool, lossy: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._was_closed, self._lossy = closed, lossy

    def isatty(self) -> bool:
        return not self._was_closed and super().isatty()

    def write(self, data: Any) -> int:
        fault = errno.EBADF
        if not self._was_closed:
            try:
                return os.write(self.fileno(), data)
            except OSError as error:
                fault = error.errno or errno.EIO
        if self._lossy:
            return memoryview(data).nbytes
        raise OutputError(fault)


def open_streams() -> None:
    """Put such streams in the place of sys.stdin, sys.stdout and sys.stderr."""
    closed = {number for number in (STDIN, STDOUT, STDERR) if _is_closed(number)}
    if STDIN in closed or sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - it stays open
    else:
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.stdout = _stream(STDOUT, sys.stdout, closed=STDOUT in closed)
    sys.stderr = _stream(STDERR, sys.stderr, closed=STDERR in closed)


def _is_closed(descriptor: int) -> bool:
    """Whether it is; then it is taken up with nothing, so that no file of ours gets its number."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        return True
    return False


def _stream(descriptor: int, old: TextIO | None, *, closed: bool) -> io.TextIOWrapper:
    lossy = descriptor == STDERR
    raw = _Raw(descriptor, closed=closed, lossy=lossy)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if old is None else old.encoding,
        errors="backslashreplace" if lossy else "replace",
        line_buffering=lossy or raw.isatty(),
    )


def give_up_output() -> None:
    """Send what is left of standard output nowhere: it was told that it can't be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - it stays open


def encodable(text: str) -> bool:
    """Whether standard output's encoding has every character of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
