"""Tables of Asterisk's events and the talk derived from them; the tables are in tests/scenarios/talk/."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taxiphone.billing.pricing.talk import Event, Talk, is_over, talk

TABLES = sorted((Path(__file__).parents[1] / "scenarios" / "talk").glob("*.txt"))
EPOCH = datetime(2026, 11, 22, 18, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
IDS = {"client": "1763833500.7", "consultant": "261122-7gq4mk.consultant"}
BRIDGE = "261122-7gq4mk.talk"


def read(path: Path) -> tuple[list[Event], dict[str, str]]:
    """Parse rows of `seconds event leg [bridge or cause]` and the expected result below the line of dashes."""
    rows, expected = path.read_text(encoding="utf-8").split("\n---\n")
    events = []
    for row in rows.splitlines():
        if not row or row.startswith("#"):
            continue
        at, name, leg, *more = row.split()
        whole, decimals = at.split(".")
        when = EPOCH + timedelta(seconds=int(whole), microseconds=int(decimals))
        detail = more[0] if more else None
        events.append(
            Event(
                event=name,
                at=when,
                channel=IDS.get(leg, leg),
                bridge=(BRIDGE if detail == "talk" else detail) if name.startswith("BRIDGE") else None,
                cause=int(detail) if name == "HANGUP" and detail else None,
            )
        )
    return events, dict(line.split(": ") for line in expected.splitlines() if line)


def told(found: Talk | None, *, over: bool) -> dict[str, str]:
    if found is None:
        return {"talk": "none", "over": "yes" if over else "no"}
    return {
        "talk": str(found.microseconds),
        "from": str((found.start - EPOCH) // MICROSECOND),
        "to": str((found.end - EPOCH) // MICROSECOND),
        "left first": found.left_first or "-",
        "ended by": "-" if found.ended_by is None else str(found.ended_by),
        "complete": "yes" if found.complete else "no",
        "over": "yes" if over else "no",
    }


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table_of_events_tells_of_its_talk(path: Path) -> None:
    events, expected = read(path)
    found = talk(events, IDS["client"], IDS["consultant"], BRIDGE)
    assert told(found, over=is_over(events, *IDS.values(), talked=found is not None)) == expected


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_the_order_of_the_rows_does_not_change_the_talk(path: Path) -> None:
    events, _ = read(path)
    found = talk(events, IDS["client"], IDS["consultant"], BRIDGE)
    shuffled = random.Random(path.stem)  # noqa: S311 - a test's order, the same each time
    for _ in range(20):
        shuffled.shuffle(events)
        assert talk(events, IDS["client"], IDS["consultant"], BRIDGE) == found


def test_there_are_tables() -> None:
    assert len(TABLES) > 10


def test_rows_that_come_twice_do_not_change_the_talk() -> None:
    """Asterisk never writes a row twice, but a log assembled by hand may have duplicates."""
    events, _ = read(next(path for path in TABLES if path.stem == "client-hangs-up"))
    once = talk(events, IDS["client"], IDS["consultant"], BRIDGE)
    twice = list(itertools.chain.from_iterable(zip(events, events, strict=True)))
    assert talk(twice, IDS["client"], IDS["consultant"], BRIDGE) == once
