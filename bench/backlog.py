"""The recordings that wait to be converted to MP3, and how long that takes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from taxiphone.commands import console
from taxiphone.recordings.capture import OPEN, RecordingStatus
from taxiphone.store.database import Database
from taxiphone.store.models import Recording

_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Backlog:
    """The conversions after all talks have ended.

    Attributes:
        waiting: recordings without an MP3 at that time.
        minutes: duration of all recordings together.
        ready: how many became MP3s.
        failed: how many did not.
        seconds: from the last hang-up until the last of them was done, or until this was given up.
    """

    waiting: int
    minutes: float
    ready: int
    failed: int
    seconds: float


async def converted(database: Database, wait: float) -> Backlog:
    """Wait until all recordings are converted, for `wait` seconds at most."""
    begin = time.monotonic()
    first = left = await database.query(waiting)
    while left and time.monotonic() - begin < wait:
        console.note(f"{left} recordings wait for their MP3")
        await asyncio.sleep(max(_LOOK_SECONDS, min(first / 20, 10.0)))
        left = await database.query(waiting)
    seconds = time.monotonic() - begin
    ready, milliseconds, failed = await database.query(_done)
    return Backlog(first, milliseconds / 60_000, ready, failed, seconds)


def waiting(session: Session) -> int:
    """The number of recordings that have neither become an MP3 nor failed."""
    return session.scalar(select(func.count()).where(Recording.status.in_(OPEN))) or 0


def _done(session: Session) -> tuple[int, int, int]:
    ready = select(func.count(), func.coalesce(func.sum(Recording.milliseconds), 0)).where(
        Recording.status == RecordingStatus.READY
    )
    others = select(func.count()).where(Recording.status.not_in((RecordingStatus.READY, *OPEN)))
    number_ready, milliseconds = session.execute(ready).one()
    return number_ready, int(milliseconds or 0), session.scalar(others) or 0
