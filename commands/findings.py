"""What `taxiphone doctor` and `taxiphone asterisk check` found, printed, with the exit code that follows from it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from taxiphone.commands.console import print_json, say, styled
from taxiphone.server.checks.findings import Finding

_SIGNS: dict[bool | None, tuple[str, dict[str, Any]]] = {
    True: ("ok", {"fg": "green"}),
    None: ("note", {"fg": "yellow"}),
    False: ("FAIL", {"fg": "red", "bold": True}),
}
_WIDTH = 6


def report(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print what was found, each fault with what to do about it.

    Raises:
        SystemExit: with 1, if there is a fault.
    """
    if as_json:
        print_json([{"ok": found.ok, "what": found.what, "advice": found.advice} for found in findings])
    else:
        for found in findings:
            word, style = _SIGNS[found.ok]
            say(f"{styled(word, **style)}{'':{_WIDTH - len(word)}}{found.what}")
            if found.advice:
                say(f"{'':{_WIDTH}}{found.advice}")
    # A reader that has gone is reported before the exit code that the findings have.
    sys.stdout.flush()
    if any(found.ok is False for found in findings):
        raise SystemExit(1)
