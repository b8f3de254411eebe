"""How long a recording is kept: through the end of a day in the platform's time zone, the day that the client was told."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from taxiphone.billing import days
from taxiphone.settings import Settings


def last_day(settings: Settings, arrived_at: datetime) -> date:
    """The last day on which the recording of a call is kept: `[recording] keep_days` after the call arrived.

    It counts from the arrival, so that a call that passes midnight tells the same day that is heeded later.
    """
    return local_day(settings, arrived_at) + timedelta(days=settings.recording.keep_days)


def local_day(settings: Settings, at: datetime) -> date:
    """The date of a moment in the platform's time zone."""
    return days.day_of(at, days.zone_of(settings))
