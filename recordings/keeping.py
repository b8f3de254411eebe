"""The retention period of recordings, which ends with a day in the platform's time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from taxiphone.billing import days
from taxiphone.settings import Settings


def last_day(settings: Settings, arrived_at: datetime) -> date:
    """Return the last day on which a recording is kept: `[recording] keep_days` after the call arrived.

    It counts from the arrival, so that a call across midnight has the same last day as the one that was announced.
    """
    return local_day(settings, arrived_at) + timedelta(days=settings.recording.keep_days)


def local_day(settings: Settings, at: datetime) -> date:
    """Return the date of a moment in the platform's time zone."""
    return days.day_of(at, days.zone_of(settings))
