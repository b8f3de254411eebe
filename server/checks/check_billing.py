"""Checks billing: every finished call is priced, its hold is released, and the event log is complete."""

from __future__ import annotations

from taxiphone.billing.metering import log_gaps, stale_holds, unpriced
from taxiphone.billing.metering.unpriced import Unpriced
from taxiphone.server.checks.findings import Finding
from taxiphone.store.database import Database


def check(database: Database) -> list[Finding]:
    """Run all checks of this module. The database must have this program's schema."""
    found = database.read(unpriced.find)
    stale = database.read(
        lambda session: [each.call_id for each in stale_holds.find(session) if not each.unpriced]
    )
    gaps = database.read(lambda session: [(gap.id, gap.text) for gap in log_gaps.find(session)])
    return [_complete(gaps), _priced(found), _held(stale)]


def _complete(gaps: list[tuple[int, str]]) -> Finding:
    if not gaps:
        return Finding(ok=True, what="event log: complete")
    first, text = gaps[0]
    return Finding(
        ok=False,
        what=f"event log: rows may be missing in {len(gaps)} place(s)",
        advice=f"{text} {log_gaps.ADVICE} {first}",
    )


def _priced(found: list[Unpriced]) -> Finding:
    if not found:
        return Finding(ok=True, what="calls: all finished calls are priced")
    first, ids = found[0], unpriced.named([each.call_id for each in found])
    return Finding(
        ok=False,
        what=f"calls: {len(found)} can't be priced, and their holds are not released: {ids}",
        advice=f"{first.call_id}: {first.why}. After fixing the cause, run: taxiphone call rate {first.call_id}. "
        "To list all of them with the cause, run: taxiphone ledger check",
    )


def _held(stale: list[str]) -> Finding:
    if not stale:
        return Finding(ok=True, what="holds: no finished call has an open hold")
    return Finding(
        ok=False,
        what=f"holds: {len(stale)} open holds of calls that will not be priced: {unpriced.named(stale)}",
        advice="Run: taxiphone ledger check, then taxiphone ledger release-holds",
    )
