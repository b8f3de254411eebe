"""What `taxiphone doctor` asks of the calls: whether they named numbers that the platform has."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.server.checks.findings import Finding
from taxiphone.settings_sections import Trunk
from taxiphone.store.models import Call, Did
from taxiphone.store.types import now

_DAYS = 7
_NAMED = 3  # of those dialled, so many are told


def check(session: Session, trunk: Trunk) -> Finding:
    """Look at the calls of the last days that were dialled to none of the platform's numbers."""
    found = _dialled_in_vain(session)
    if not found:
        return Finding(ok=True, what="calls: each of the last days was dialled to a number of the platform's")
    named = ", ".join(list(dict.fromkeys(found))[:_NAMED])
    return Finding(
        ok=None,
        what=f"calls: {len(found)} in {_DAYS} days were dialled to no number of the platform's: {named}",
        advice="A number of yours: taxiphone number add. The account's name, or `?`: the carrier names the number elsewhere "
        f'than in "{trunk.dids_from}"; see [trunk] did_from.',
    )


def _dialled_in_vain(session: Session) -> list[str]:
    """What was dialled in vain, the latest first."""
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
