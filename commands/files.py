"""Files that a command writes: readable only by their owner, written completely or not at all, never by accident over others."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from taxiphone.errors import UsageError


def write_private(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file of mode 0600.

    Args:
        path: the file.
        data: its whole content.
        force: overwrite an existing file.

    Raises:
        UsageError: the file exists or can't be written. An existing file stays as it is.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if not force:
            # Reserves the name.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            if not force:
                path.unlink(missing_ok=True)
            raise
    except FileExistsError:
        raise UsageError(f"{path} already exists. Give another name, or --force to overwrite it.") from None
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}.") from None
