"""What a check has found, in plain words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        ok: True when it is as it should be, False when it must be put right, None when it should be known.
        what: what was found, in a few words.
        advice: what to do; empty when there is nothing.
    """

    ok: bool | None
    what: str
    advice: str = ""
