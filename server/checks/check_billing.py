"""What `taxiphone doctor` asks of the money: whether every call that is over has its price, and holds nothing any more."""

from __future__ import annotations

from taxiphone.billing.metering import log_gaps, stale_holds, unpriced
from taxiphone.billing.metering.unpriced import Unpriced
from taxiphone.server.checks.findings import Finding
from taxiphone.store.database import Database


def check(database: Database) -> list[Finding]:
    """Look at the calls. The database is at this program's version."""
    found = database.read(unpriced.find)
    stale = database.read(
        lambda session: [each.call_id for each in stale_holds.find(session) if not each.unpriced]
    )
    gaps = database.read(lambda session: [(gap.id, gap.text) for gap in log_gaps.find(session)])
    return [_whole(gaps), _priced(found), _held(stale)]


def _whole(gaps: list[tuple[int, str]]) -> Finding:
    if not gaps:
        return Finding(ok=True, what="event log: nothing of it is missing")
    first, text = gaps[0]
    return Finding(
        ok=False,
        what=f"event log: rows may be lost, in {len(gaps)} place(s)",
        advice=f"{text} {log_gaps.ADVICE} {first}",
    )


def _priced(found: list[Unpriced]) -> Finding:
    if not found:
        return Finding(ok=True, what="calls: each that is over has its price")
    first, ids = found[0], unpriced.named([each.call_id for each in found])
    return Finding(
        ok=False,
        what=f"calls: {len(found)} can't be priced, and what was held for them stays held: {ids}",
        advice=f"{first.call_id}: {first.why}. Once the cause is gone: taxiphone call rate {first.call_id}. "
        "All of them, and why: taxiphone ledger check",
    )


def _held(stale: list[str]) -> Finding:
    if not stale:
        return Finding(ok=True, what="holds: none is left of a call that is over")
    return Finding(
        ok=False,
        what=f"holds: {len(stale)} are left of calls that nothing will price any more: {unpriced.named(stale)}",
        advice="See: taxiphone ledger check, then taxiphone ledger release-holds",
    )
