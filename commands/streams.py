"""Standard input, output and error that don't crash a command, whatever they are connected to.

Characters that the terminal's encoding lacks are replaced. If standard output can't be written (a full disk, a closed
descriptor, a reader that has gone), `OutputError` is raised once, so that lost output never looks like success. Whatever
can't be written to standard error is dropped, so that the exit code stays right.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

STDIN, STDOUT, STDERR = range(3)


class OutputError(Exception):
    """Standard output can't be written.

    It is not an OSError, so that it is never mistaken for a fault of a file that the command works with.

    Attributes:
        errno: the system's error number.
        strerror: the system's error message.
    """

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.errno, self.strerror = number, os.strerror(number)

    @property
    def reader_gone(self) -> bool:
        """Whether output went to a pipe whose reader has ended, as in `taxiphone client list | head`."""
        return self.errno == errno.EPIPE


class _Raw(io.FileIO):
    """A descriptor to write to. With `lossy`, what can't be written is dropped."""

    def __init__(self, descriptor: int, *, closed: bool, lossy: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._was_closed, self.lossy = closed, lossy

    def isatty(self) -> bool:
        return not self._was_closed and super().isatty()

    def write(self, data: Any) -> int:
        fault = errno.EBADF
        if not self._was_closed:
            try:
                return os.write(self.fileno(), data)
            except OSError as error:
                fault = error.errno or errno.EIO
        if self.lossy:
            return memoryview(data).nbytes
        raise OutputError(fault)


def open_streams() -> None:
    """Replace sys.stdin, sys.stdout and sys.stderr by such streams."""
    closed = {number for number in (STDIN, STDOUT, STDERR) if _is_closed(number)}
    if STDIN in closed or sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - it stays open
    else:
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.stdout = _stream(STDOUT, sys.stdout, closed=STDOUT in closed)
    sys.stderr = _stream(STDERR, sys.stderr, closed=STDERR in closed)


def _is_closed(descriptor: int) -> bool:
    """Whether a descriptor is closed. If so, it is opened on /dev/null, so that no other file gets its number."""
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
    """Discard the rest of standard output, after its failure was reported."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
    # What is still buffered is written when the stream is finalized; from Python 3.13 on, a failure there is printed.
    if isinstance(raw := getattr(getattr(sys.stdout, "buffer", None), "raw", None), _Raw):
        raw.lossy = True
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - it stays open


def encodable(text: str) -> bool:
    """Whether standard output's encoding has all characters of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
