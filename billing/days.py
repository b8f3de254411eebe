"""Days and months in the platform's time zone, including days on which the clocks change.

A day has 23 or 25 hours when the clocks change. If midnight itself is skipped, the day begins at the moment of the change.
All reports, filters, statements, payouts and limits use this module.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from taxiphone.settings import Settings
from taxiphone.store.types import now

UTC_ZONE = ZoneInfo("UTC")
_HOUR = timedelta(hours=1)


def zone_of(settings: Settings | None) -> ZoneInfo:
    """Return the platform's time zone, or UTC without settings."""
    return UTC_ZONE if settings is None else ZoneInfo(settings.platform.timezone)


def day_of(at: datetime, zone: ZoneInfo) -> date:
    """Return the date of a moment."""
    return at.astimezone(zone).date()


def today(zone: ZoneInfo) -> date:
    """Return today's date."""
    return day_of(now(), zone)


def begin_of(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of a day, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def end_of(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment after a day, in UTC: the start of the next day, so adjacent periods have no gap."""
    return begin_of(day + timedelta(days=1), zone)


def clock(at: datetime, zone: ZoneInfo) -> str:
    """Format a time of day: `19:05:07`."""
    return f"{at.astimezone(zone):%H:%M:%S}"


def zone_text(zone: ZoneInfo, *moments: datetime) -> str:
    """Format the zone of some times: `Europe/Paris, UTC+1`, or `UTC+2 to UTC+1` if the clocks changed in between."""
    if zone.key == UTC_ZONE.key:
        return zone.key
    offsets = list(dict.fromkeys(_offset(at.astimezone(zone)) for at in moments))
    return ", ".join([zone.key, *([" to ".join(offsets)] if offsets else [])])


def iso(at: datetime, zone: ZoneInfo) -> str:
    """Format a local time with its offset (ISO 8601): `2026-10-31T23:59:00+01:00`, or `Z`."""
    return at.astimezone(zone).isoformat().replace("+00:00", "Z")


def _offset(at: datetime) -> str:
    offset = at.utcoffset() or timedelta()
    hours, rest = divmod(abs(offset), _HOUR)
    minutes = f":{rest.seconds // 60:02d}" if rest else ""
    return f"UTC{'-' if offset < timedelta() else '+'}{hours}{minutes}"
