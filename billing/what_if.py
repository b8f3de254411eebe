"""Settles the calls of a period under another tariff. It only reads; nothing is posted.

Calls are read one by one, ordered by client, so memory use doesn't grow with their number. The calls of a consultation that
continued after a dropped line are priced together. A call that continues one from before the period is priced by itself.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, String, and_, cast, func, or_, select
from sqlalchemy.orm import Session

from taxiphone.billing.pricing.parts import NOTHING, Subtotal
from taxiphone.billing.pricing.settlement import RECORDING, Facts, RecordingState, settle
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.pricing.tariff import Tariff
from taxiphone.billing.pricing.tariff_json import from_json, number
from taxiphone.store.calls import Status
from taxiphone.store.models import Call, Client, Receipt, Recording
from taxiphone.store.types import UtcDateTime

# Maps a call's own tariff, as JSON text, to the tariff of the what-if.
Rule = Callable[[str], Tariff]

SETTABLE = ("price_per_minute", "fee", "recording_fee", "commission", "vat")
_AT_ONCE = 2000  # rows fetched at a time
_TARIFFS = 4096  # size of the cache of parsed tariffs; most calls share theirs with many others
_LONGEST_WAIT = timedelta(days=1)


@dataclass(slots=True)
class Totals:
    """The totals of a period, in minor units. Commission and the consultants' shares sum to the revenue.

    Attributes:
        revenue: what the clients pay, tax included.
        commission: the platform's part of the revenue.
        consultants: the consultants' part of the revenue.
        vat: the tax included in the revenue.
    """

    revenue: int = 0
    commission: int = 0
    consultants: int = 0
    vat: int = 0

    def add(self, revenue: int, commission: int, consultants: int, vat: int) -> None:
        """Add a call."""
        self.revenue += revenue
        self.commission += commission
        self.consultants += consultants
        self.vat += vat


@dataclass(frozen=True, order=True, slots=True)
class ClientChange:
    """What a client paid (`now`) and would have paid (`then`), in minor units."""

    difference: int
    client_id: int
    now: int
    then: int


@dataclass(slots=True)
class WhatIf:
    """A period as it was and as it would have been.

    Attributes:
        calls: number of calls settled.
        now: the totals as they were priced.
        then: the totals as they would have been.
        more: number of clients who would have paid more.
        less: number of clients who would have paid less.
        same: number of clients who would have paid the same.
        most: the clients with the largest increases, largest first.
        least: the clients with the largest decreases, largest first.
    """

    calls: int = 0
    now: Totals = field(default_factory=Totals)
    then: Totals = field(default_factory=Totals)
    more: int = 0
    less: int = 0
    same: int = 0
    most: list[ClientChange] = field(default_factory=list)
    least: list[ClientChange] = field(default_factory=list)

    def count(self, change: ClientChange, top: int) -> None:
        """Count a client, and keep it if it is among the first `top`."""
        if change.difference > 0:
            self.more += 1
            self.most = heapq.nlargest(top, [*self.most, change])
        elif change.difference < 0:
            self.less += 1
            self.least = heapq.nsmallest(top, [*self.least, change])
        else:
            self.same += 1


@dataclass(frozen=True, slots=True)
class Period:
    """Selects the priced calls whose talk began from `begin` on and before `end`, by currency and optionally by mode."""

    begin: datetime
    end: datetime
    currency: str
    mode: str | None = None

    def where(self) -> list[ColumnElement[bool]]:
        """Return the conditions on a call and its receipt."""
        begun = func.coalesce(Call.talk_from, Call.arrived_at, type_=UtcDateTime())
        conditions = [
            Call.status == Status.RATED,
            # Lets the database use the index on arrival; no call waits for more than a day until its talk begins.
            Call.arrived_at >= self.begin - _LONGEST_WAIT,
            Call.arrived_at < self.end,
            begun >= self.begin,
            begun < self.end,
            Receipt.currency == self.currency,
        ]
        return conditions if self.mode is None else [*conditions, Call.mode == self.mode]


def same_for_all(tariff: Tariff) -> Rule:
    """Return a rule that applies this tariff to every call."""
    return lambda _frozen: tariff


def changed(changes: dict[str, str]) -> Rule:
    """Return a rule that applies a call's own tariff with some numbers changed (`SETTABLE`).

    What was free stays free: free minutes get no price, and a tariff without a fee gets none.

    Raises:
        ValueError: a number is invalid; the message begins with its key.
    """
    for key, value in changes.items():
        if key not in SETTABLE:
            raise ValueError(f"{key}: can't be set; possible keys are {', '.join(SETTABLE)}")
        if key in {"commission", "vat"} and number(key, value) > 1:
            raise ValueError(f"{key}: must be a number from 0 to 1")
        number(key, value)
    per_minute, fee = changes.get("price_per_minute"), changes.get("fee")
    plain: dict[str, Any] = {
        key: changes[key] for key in ("recording_fee", "commission", "vat") if key in changes
    }

    @functools.lru_cache(maxsize=_TARIFFS)
    def rule(frozen: str) -> Tariff:
        data: dict[str, Any] = {**json.loads(frozen), **plain}
        if fee is not None and Decimal(data["fee"]):
            data["fee"] = fee
        if per_minute is not None:
            data["segments"] = [
                {**segment, "price_per_minute": per_minute}
                if Decimal(segment["price_per_minute"])
                else segment
                for segment in data["segments"]
            ]
        return from_json(data)

    return rule


def calls_in(session: Session, period: Period) -> int:
    """Return the number of calls that the what-if will settle."""
    counted = select(func.count()).select_from(Call).join(Receipt, Receipt.call_id == Call.id)
    return session.execute(counted.where(*period.where())).scalar_one()


def run(
    session: Session,
    period: Period,
    rule: Rule,
    *,
    top: int = 10,
    progress: Callable[[int], None] = lambda _calls: None,
) -> WhatIf:
    """Settle the calls of a period by a rule. Only reads.

    Args:
        session: a session of `Database.reading`.
        period: selects the calls.
        rule: gives the tariff of each call.
        top: maximum number of clients listed with the largest increases, and with the largest decreases.
        progress: called every few thousand calls with the number settled since the last time.
    """
    result = WhatIf()
    reported = 0
    for client_id, calls in itertools.groupby(_calls(session, period), key=lambda row: row.client_id or 0):
        before, after = result.now.revenue, result.then.revenue
        # The sums of consultations whose line dropped, by the id of the dropped call.
        dropped: dict[str, Subtotal] = {}
        for row in calls:
            earlier = dropped.pop(row.continues_id, NOTHING) if row.continues_id else NOTHING
            settlement = settle(_facts(row, rule(row.tariff), earlier))
            if row.dropped:
                dropped[row.id] = settlement.added_to(earlier)
            price = settlement.price
            result.calls += 1
            result.now.add(row.total, row.commission, row.consultant_share, row.vat)
            result.then.add(price.total, price.commission, price.consultant, price.vat)
            if result.calls - reported >= _AT_ONCE:
                progress(result.calls - reported)
                reported = result.calls
        now, then = result.now.revenue - before, result.then.revenue - after
        result.count(ClientChange(then - now, client_id, now, then), top)
    progress(result.calls - reported)
    return result


def _facts(row: Any, tariff: Tariff, earlier: Subtotal) -> Facts:
    """Return the facts of a call under another tariff: the priced part of its talk, and its recording."""
    talk = Talk(
        start=row.talk_from or row.arrived_at,
        end=row.talk_to or row.arrived_at,
        microseconds=row.priced_us or 0,
        stretches=(),
        left_first=None,
        complete=True,
    )
    recorded = row.recorded and not earlier.recording and not _was_released(row)
    state = RecordingState.READY if recorded else RecordingState.NONE
    return Facts(tariff, talk, earlier=earlier, fault=row.fault, recording=state)


def _was_released(row: Any) -> bool:
    """Whether the recording fee was released although the talk was billed, because everything was refunded before."""
    return bool(row.billed_seconds) and not row.charged and _has_recording_fee(row.tariff)


@functools.lru_cache(maxsize=_TARIFFS)
def _has_recording_fee(frozen: str) -> bool:
    return bool(Decimal(json.loads(frozen).get("recording_fee", 0)))


def codes(session: Session, changes: list[ClientChange]) -> dict[int, str]:
    """Return the codes of these clients, by id."""
    wanted = [change.client_id for change in changes]
    rows = session.execute(select(Client.id, Client.code).where(Client.id.in_(wanted)))
    return {client_id: code for client_id, code in rows}  # noqa: C416 - rows are not pairs to mypy


def any_recorded(session: Session, period: Period) -> bool:
    """Whether any of the calls was recorded, so that the tariff needs a recording fee."""
    calls = select(Call.id).join(Receipt, Receipt.call_id == Call.id)
    calls = calls.outerjoin(Recording, Recording.call_id == Call.id).where(*period.where(), _recorded())
    return session.execute(calls.limit(1)).first() is not None


def _charged() -> ColumnElement[bool]:
    return cast(Receipt.lines, String).like(f'%"{RECORDING}"%')


def _recorded() -> ColumnElement[bool]:
    """The condition that a recording was charged, or would have been if it had a fee. Pending ones count in neither sum."""
    return and_(Receipt.recording_pending.is_(False), or_(_charged(), Recording.status == "ready"))


def _calls(session: Session, period: Period) -> Iterator[Any]:
    wanted = (
        select(
            Call.client_id,
            Call.id,
            Call.arrived_at,
            Call.continues_id,
            Call.dropped,
            cast(Call.tariff, String).label("tariff"),
            Call.talk_from,
            Call.talk_to,
            Call.priced_us,
            Call.billed_seconds,
            Call.fault,
            _recorded().label("recorded"),
            _charged().label("charged"),
            Receipt.total,
            Receipt.commission,
            Receipt.consultant_share,
            Receipt.vat,
        )
        .join(Receipt, Receipt.call_id == Call.id)
        .outerjoin(Recording, Recording.call_id == Call.id)
        .where(*period.where())
        .order_by(Call.client_id, Call.arrived_at, Call.id)
    )
    return iter(session.execute(wanted, execution_options={"yield_per": _AT_ONCE}))
