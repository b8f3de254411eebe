"""How a consultant is printed, for people and for programs."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from taxiphone.commands.console import say, show_one, styled
from taxiphone.directory import numbers
from taxiphone.settings import Settings
from taxiphone.store.models import Consultant
from taxiphone.store.types import now


def consultant_row(settings: Settings, found: Consultant) -> dict[str, Any]:
    """All that is shown of a consultant."""
    phones = [found.phone, *(entry.number for entry in sorted(found.more_phones, key=attrgetter("position")))]
    paused = found.paused_until is not None and found.paused_until > now()
    return {
        "code": found.code,
        "name": found.name,
        "phone": phones[0],
        "phones": phones,
        "ring": "at-once" if found.ring_at_once else "in-turn",
        "language": found.language,
        "currency": settings.platform.currency,
        "price_per_minute": found.price_per_minute,
        "free_minutes": found.free_minutes,
        "package_price": found.package_price,
        "package_minutes": found.package_minutes,
        "recording": found.recording_allowed,
        "commission": settings.billing.commission if found.commission is None else found.commission,
        "available": found.available,
        "paused_until": found.paused_until if paused else None,
        "numbers": sorted(entry.number for entry in found.dids),
        "called_from": settings.platform.cli,
    }


def show_consultant(row: dict[str, Any], *, as_json: bool) -> None:
    """Print one consultant."""
    if not as_json:
        calling = styled(numbers.readable(row["called_from"]), bold=True)
        say(f"The platform calls {', '.join(row['phones'])} from {calling}. Save this number in the phone.\n")
        row = {key: value for key, value in row.items() if key not in {"called_from", "phone"}}
    show_one(row, as_json=as_json)
