"""The call events of a talk written by `house.talk`, timed by the two clocks of this machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from taxiphone.store import calls, types
from taxiphone.store.types import Moment

BEGIN = datetime.fromtimestamp(1_763_846_400, UTC)  # both are in the bridge, as `house.talk` writes it
TO_THE_BRIDGE = 6  # rows of `house.talk`


def moment(seconds: float, step: float = 0) -> Moment:
    """Return a moment after both entered the bridge, with the wall clock changed by `step`."""
    return Moment(
        BEGIN + timedelta(seconds=seconds + step),
        10_000_000_000 + round(seconds * 1e6),
        types.boot(),
    )


def noted(house: Any, call_id: str, **marks: Moment) -> None:
    """Add all of these events to a call, in this order."""

    def write(session: Any) -> None:
        for what, when in marks.items():
            calls.add_event(session.connection(), call_id, what, when=when)

    house.database.do(write)
