"""Runs many `taxiphone` command lines in one process, each through `main`, with the streams of this process.

Reads them from the file that is named, a JSON list a line, and writes each one's exit code, or the exception that
escaped, into the second file. Standard output and error are what is looked at, so nothing is said on them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from pathlib import Path

from taxiphone import cli


def codes(words: list[list[str]]) -> list[int | str]:
    """Return the exit code of each command line, or the exception that escaped."""
    kept = {number: _copy(number) for number in (1, 2)}
    found: list[int | str] = []
    for line in words:
        for number, copy in kept.items():
            if copy is None:
                with contextlib.suppress(OSError):
                    os.close(number)
            else:
                os.dup2(copy, number)
        sys.argv = ["taxiphone", *line]
        try:
            cli.main()
        except SystemExit as stop:
            found.append(stop.code if isinstance(stop.code, int) else str(stop.code))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test has to name it
            found.append(repr(error))
    return found


def _copy(number: int) -> int | None:
    """Duplicate a descriptor to a number above those of the streams; None if it is closed."""
    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10)
    except OSError:
        return None


if __name__ == "__main__":
    lines = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    Path(sys.argv[2]).write_text(json.dumps(codes(lines)))
