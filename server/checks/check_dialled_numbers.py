"""Checks that recent calls were dialled to numbers of the platform."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.server.checks.findings import Finding
from taxiphone.settings_sections import Trunk
from taxiphone.store.models import Call, Did
from taxiphone.store.types import now

_DAYS = 7
# Maximum number of numbers named in the result.
_NAMED = 3


def check(session: Session, trunk: Trunk) -> Finding:
    """Check the calls of the last days whose dialled number does not belong to the platform."""
    found = _unknown_numbers(session)
    if not found:
        return Finding(
            ok=True, what=f"calls: all dialled numbers of the last {_DAYS} days belong to the platform"
        )
    named = ", ".join(list(dict.fromkeys(found))[:_NAMED])
    return Finding(
        ok=None,
        what=f"calls: {len(found)} calls in {_DAYS} days had a dialled number that is not the platform's: {named}",
        advice="If the number is yours, run: taxiphone number add. If it is the account's name or `?`, the carrier does not "
        f'send the number in "{trunk.dids_from}"; set [trunk] did_from.',
    )


def _unknown_numbers(session: Session) -> list[str]:
    """Return the dialled numbers that do not belong to the platform, newest first."""
    return list(
        session.scalars(
            select(Call.dialled)
            .where(
                Call.arrived_at > now() - timedelta(days=_DAYS),
                Call.dialled.not_in(select(Did.number)),
            )
            .order_by(Call.arrived_at.desc())
        )
    )
