"""A period settled under another tariff. It only reads; nothing is posted.

Calls are read one by one, ordered by client, so memory does not grow with their number. The calls of a consultation that
continued after a dropped line are priced as one consultation; one whose first call lies before the period is priced by
itself.
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

# From a call's frozen tariff, as its JSON text, to the tariff of the what-if.
Rule = Callable[[str], Tariff]

SETTABLE = ("price_per_minute", "fee", "recording_fee", "commission", "vat")
_AT_ONCE = 2000  # rows that are fetched at a time
_TARIFFS = 4096  # frozen tariffs that are kept read: most calls share theirs with many others
_LONGEST_WAIT = timedelta(days=1)


@dataclass(slots=True)
class Totals:
    """What the calls of a period came to, in minor units; commission and the consultants' shares sum to the revenue.

    Attributes:
        revenue: what the clients pay, tax included.
        commission: the platform's part of it.
        consultants: the rest of it.
        vat: the tax inside the revenue.
    """

    revenue: int = 0
    commission: int = 0
    consultants: int = 0
    vat: int = 0

    def add(self, revenue: int, commission: int, consultants: int, vat: int) -> None:
        """Count a call."""
        self.revenue += revenue
        self.commission += commission
        self.consultants += consultants
        self.vat += vat


@dataclass(frozen=True, order=True, slots=True)
class ClientChange:
    """What a client paid and would have paid, in minor units."""

    difference: int
    client_id: int
    now: int
    then: int


@dataclass(slots=True)
class WhatIf:
    """A period as it was and as it would have been.

    Attributes:
        calls: how many were settled.
        now: as they were priced.
        then: as they would have been.
        more: clients who would have paid more.
        less: clients who would have paid less.
        same: the others.
        most: those with the largest increase, the largest first.
        least: those with the largest decrease, the largest first.
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
        """Count a client, and keep it where it is among the first `top`."""
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
    """Which calls: priced, their talk begun from `begin` on and before `end`, in a currency, perhaps in one mode only."""

    begin: datetime
    end: datetime
    currency: str
    mode: str | None = None

    def where(self) -> list[ColumnElement[bool]]:
        """The conditions on a call and its receipt."""
        begun = func.coalesce(Call.talk_from, Call.arrived_at, type_=UtcDateTime())
        conditions = [
            Call.status == Status.RATED,
            # The index is on the arrival: no call waits for longer than a day until its talk begins.
            Call.arrived_at >= self.begin - _LONGEST_WAIT,
            Call.arrived_at < self.end,
            begun >= self.begin,
            begun < self.end,
            Receipt.currency == self.currency,
        ]
        return conditions if self.mode is None else [*conditions, Call.mode == self.mode]


def same_for_all(tariff: Tariff) -> Rule:
    """Every call by this one tariff."""
    return lambda _frozen: tariff


def changed(changes: dict[str, str]) -> Rule:
    """Every call by its own frozen tariff with some numbers in it changed (`SETTABLE`).

    What costs nothing goes on costing nothing: free minutes stay free under another price, and a tariff without a fee gets
    none.

    Raises:
        ValueError: a number can't be; the sentence begins with its key.
    """
    for key, value in changes.items():
        if key not in SETTABLE:
            raise ValueError(f"{key}: can't be set; there are {', '.join(SETTABLE)}")
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
                {**each, "price_per_minute": per_minute} if Decimal(each["price_per_minute"]) else each
                for each in data["segments"]
            ]
        return from_json(data)

    return rule


def calls_in(session: Session, period: Period) -> int:
    """How many calls the what-if will settle."""
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
    """Settle the calls of a period by the rule. Only reads.

    Args:
        session: of `Database.reading`.
        period: which calls.
        rule: by which tariffs.
        top: so many clients are named at each end.
        progress: called with the calls since the last time, every few thousand.
    """
    found = WhatIf()
    reported = 0
    for client_id, calls in itertools.groupby(_calls(session, period), key=lambda row: row.client_id or 0):
        before, after = found.now.revenue, found.then.revenue
        dropped: dict[
            str, Subtotal
        ] = {}  # what a consultation comes to by then, whose line dropped with this call
        for row in calls:
            earlier = dropped.pop(row.continues_id, NOTHING) if row.continues_id else NOTHING
            settlement = settle(_facts(row, rule(row.tariff), earlier))
            if row.dropped:
                dropped[row.id] = settlement.added_to(earlier)
            price = settlement.price
            found.calls += 1
            found.now.add(row.total, row.commission, row.consultant_share, row.vat)
            found.then.add(price.total, price.commission, price.consultant, price.vat)
            if found.calls - reported >= _AT_ONCE:
                progress(found.calls - reported)
                reported = found.calls
        now, then = found.now.revenue - before, found.then.revenue - after
        found.count(ClientChange(then - now, client_id, now, then), top)
    progress(found.calls - reported)
    return found


def _facts(row: Any, tariff: Tariff, earlier: Subtotal) -> Facts:
    """The facts of a call under another tariff: its talk as far as it was priced, and its recording."""
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
    """Whether the fee of a recording was released although the talk was billed: all of it was refunded before."""
    return bool(row.billed_seconds) and not row.charged and _has_recording_fee(row.tariff)


@functools.lru_cache(maxsize=_TARIFFS)
def _has_recording_fee(frozen: str) -> bool:
    return bool(Decimal(json.loads(frozen).get("recording_fee", 0)))


def codes(session: Session, changes: list[ClientChange]) -> dict[int, str]:
    """The codes of these clients."""
    wanted = [change.client_id for change in changes]
    rows = session.execute(select(Client.id, Client.code).where(Client.id.in_(wanted)))
    return {client_id: code for client_id, code in rows}  # noqa: C416 - rows are not pairs to mypy


def any_recorded(session: Session, period: Period) -> bool:
    """Whether one of the calls was recorded, so that the tariff needs a fee for that."""
    calls = select(Call.id).join(Receipt, Receipt.call_id == Call.id)
    calls = calls.outerjoin(Recording, Recording.call_id == Call.id).where(*period.where(), _recorded())
    return session.execute(calls.limit(1)).first() is not None


def _charged() -> ColumnElement[bool]:
    return cast(Receipt.lines, String).like(f'%"{RECORDING}"%')


def _recorded() -> ColumnElement[bool]:
    """A recording was charged, or would have been had it cost anything. One that is still being made is in neither sum."""
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
