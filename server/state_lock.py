"""The lock on the state folder: two `serve` on one folder would both answer the calls."""

from __future__ import annotations

import fcntl
import os
from typing import IO

from taxiphone.errors import SetupError
from taxiphone.settings import Settings


def take(settings: Settings) -> IO[str]:
    """Create the state folder and lock it for as long as the returned file is open.

    Raises:
        SetupError: another process holds the lock.
    """
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = open(  # noqa: SIM115 - held open as long as the process lives
        settings.state / "serve.lock",
        "w",
        encoding="utf-8",
        opener=lambda path, flags: os.open(path, flags, 0o600),
    )
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise SetupError(
            f"another `taxiphone serve` is running on {settings.state}. Stop it first."
        ) from None
    return file
