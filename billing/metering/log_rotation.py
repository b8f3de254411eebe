"""Rotates Asterisk's event log: a large file is renamed, compressed once all its rows are read, and finally deleted.

Asterisk opens the file anew for each row, so it creates the next file by itself. Only files that this program renamed are
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
KEPT = 8  # number of compressed files kept
_OURS = re.compile(r"\.\d{8}T\d{12}Z(\.gz)?")


def rotate(path: Path, at: datetime, most_bytes: int = ROTATE_BYTES) -> bool:
    """Rename the log if it is larger than `most_bytes`; returns whether it was.

    Raises:
        OSError: it can't be renamed.
    """
    if not path.exists() or path.stat().st_size < most_bytes:
        return False
    renamed = path.with_name(f"{path.name}.{at:%Y%m%dT%H%M%S%f}Z")
    if renamed.exists():
        return False
    path.rename(renamed)
    log.info(
        "Asterisk's event log has reached %d bytes and is kept as %s", renamed.stat().st_size, renamed.name
    )
    return True


def tidy(path: Path, is_read: Callable[[Path], bool], kept: int = KEPT) -> None:
    """Compress the renamed files whose rows are all read, and delete the oldest compressed ones beyond `kept`.

    Args:
        path: the log that Asterisk writes to now.
        is_read: whether all rows of a file are in the database.
        kept: number of compressed files kept.

    Raises:
        OSError: a file can't be written or deleted.
    """
    for file in _renamed(path):
        if file.suffix != ".gz" and is_read(file):
            _compress(file)
    compressed = [file for file in _renamed(path) if file.suffix == ".gz"]
    for file in compressed[: max(0, len(compressed) - kept)]:
        if is_read(file):
            file.unlink(missing_ok=True)


def _renamed(path: Path) -> list[Path]:
    """Return the files of a log that this program renamed, compressed or not, oldest first."""
    files = path.parent.glob(f"{path.name}.*")
    return sorted(file for file in files if _OURS.fullmatch(file.name[len(path.name) :]))


def _compress(path: Path) -> None:
    """Replace a file by a compressed one, which is first written completely under another name."""
    compressed, draft = path.with_name(f"{path.name}.gz"), path.with_name(f".{path.name}.half")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with path.open("rb") as plain, os.fdopen(descriptor, "wb") as raw:
        with gzip.open(raw, "wb") as file:
            shutil.copyfileobj(plain, file, 1 << 20)
        raw.flush()
        os.fsync(raw.fileno())
    draft.replace(compressed)
    path.unlink()
