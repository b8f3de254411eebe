"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        ok: True if passed, False if it must be fixed, None for a warning.
        what: the result in a few words.
        advice: what to do; empty if there is nothing to do.
    """

    ok: bool | None
    what: str
    advice: str = ""
