"""Rotates Asterisk's event log: a large file is renamed, compressed once all its rows are read, and finally deleted.

Asterisk opens the file again for each row, so a new file begins by itself. Only files that this program renamed are
compressed or deleted, and only when all their rows are in the database.
"""

from __future__ import annotations

import gzip
import logging
import os
import re
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

log = logging.getLogger(__name__)

ROTATE_BYTES = 16_000_000  # about six thousand calls
KEPT = 8  # compressed files
_OURS = re.compile(r"\.\d{8}T\d{12}Z(\.gz)?")


def rotate(path: Path, at: datetime, most_bytes: int = ROTATE_BYTES) -> bool:
    """Rename the log if it is larger than `most_bytes`; returns whether it was.

    Raises:
        OSError: it can't be renamed.
    """
    if not path.exists() or path.stat().st_size < most_bytes:
        return False
    aside = path.with_name(f"{path.name}.{at:%Y%m%dT%H%M%S%f}Z")
    if aside.exists():
        return False
    path.rename(aside)
    log.info("Asterisk's event log has reached %d bytes and is kept as %s", aside.stat().st_size, aside.name)
    return True


def tidy(path: Path, is_read: Callable[[Path], bool], kept: int = KEPT) -> None:
    """Compress the renamed files that are read to their end, and delete the oldest compressed ones beyond `kept`.

    Args:
        path: of the log that Asterisk writes now.
        is_read: whether all rows of a file are in the database.
        kept: the number of compressed files that stay.

    Raises:
        OSError: a file can't be written or deleted.
    """
    for each in _renamed(path):
        if each.suffix != ".gz" and is_read(each):
            _compress(each)
    packed = [each for each in _renamed(path) if each.suffix == ".gz"]
    for each in packed[: max(0, len(packed) - kept)]:
        if is_read(each):
            each.unlink(missing_ok=True)


def _renamed(path: Path) -> list[Path]:
    """The files of a log that this program renamed, compressed or not, oldest first."""
    beside = path.parent.glob(f"{path.name}.*")
    return sorted(each for each in beside if _OURS.fullmatch(each.name[len(path.name) :]))


def _compress(path: Path) -> None:
    """Compress a file, and delete it only then."""
    packed, half = path.with_name(f"{path.name}.gz"), path.with_name(f".{path.name}.half")
    handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with path.open("rb") as plain, os.fdopen(handle, "wb") as raw:
        with gzip.open(raw, "wb") as file:
            shutil.copyfileobj(plain, file, 1 << 20)
        raw.flush()
        os.fsync(raw.fileno())
    half.replace(packed)
    path.unlink()
