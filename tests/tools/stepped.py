"""A wall clock that a test can set, for the programs that it starts (see wall_clock.c)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SOURCE = Path(__file__).with_name("wall_clock.c")
_NANOSECONDS = 1_000_000_000


class WallClock:
    """The wall clock of programs started with `environment`.

    Args:
        folder: for its files.

    Raises:
        FileNotFoundError: there is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        self._library, self._file = folder / "wall_clock.so", folder / "ahead"
        compiler = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-pthread"]
        subprocess.run([*compiler, "-o", str(self._library), str(_SOURCE)], check=True)
        self._file.write_bytes(bytes(8))

    def set(self, seconds: int) -> None:
        """Set the clock this far ahead of or behind the machine's, in all those programs at once."""
        with self._file.open("r+b", buffering=0) as file:
            file.write((seconds * _NANOSECONDS).to_bytes(8, "little", signed=True))

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Programs started in the block use this clock."""
        ours = {"LD_PRELOAD": str(self._library), "WALL_CLOCK_FILE": str(self._file)}
        if taken := ours.keys() & os.environ.keys():
            raise RuntimeError(f"the tests run with {', '.join(taken)} set")
        os.environ.update(ours)
        try:
            yield
        finally:
            for name in ours:
                del os.environ[name]
