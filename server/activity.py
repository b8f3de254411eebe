"""What `serve` prints when it gets SIGUSR1: how many transactions, ARI requests and events there have been.

Two of these lines give the cost of the calls between them, without a profiler and without a restart.
"""

from __future__ import annotations

import re
from dataclasses import asdict

from taxiphone.ari_app.client import AriClient
from taxiphone.store.database import Database

_PAIR = re.compile(r"(\w+) (\d+)")
_TITLE = "Activity:"


def line(database: Database, ari: AriClient) -> str:
    """Return all totals since the start, as pairs of a name and a number.

    They are those of `store.counters.Totals`, then ARI's requests and events, and then the events by type.
    """
    pairs = {"requests": ari.requests, "events": ari.events.total(), **dict(sorted(ari.events.items()))}
    pairs = asdict(database.counters.totals) | pairs
    return f"{_TITLE} " + ", ".join(f"{name} {number}" for name, number in pairs.items())


def parse(text: str) -> dict[str, int] | None:
    """Return the totals of such a line; None for any other line of the output."""
    if not text.startswith(_TITLE):
        return None
    return {name: int(number) for name, number in _PAIR.findall(text)}
