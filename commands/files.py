"""Files that a command writes for a person: readable by their owner only, whole or not at all, never over another one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from taxiphone.errors import UsageError


def write_private(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file of mode 0600.

    Args:
        path: where to.
        data: all of it.
        force: replace what is there.

    Raises:
        UsageError: it is there already, or can't be written; what is there stays as it is.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if not force:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # the name is ours
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
        raise UsageError(f"{path} is there already. Give another name, or --force to replace it.") from None
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}.") from None
