"""Prices the calls that are over, within the meter's transactions.

A call that can't be priced doesn't delay the others: the reason is stored in its row, and it is tried again later.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Select, and_, exists, func, or_, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from taxiphone.billing.evidence import proof
from taxiphone.billing.metering import abandoned, call_end, unpriced
from taxiphone.billing.metering.unpriced import DeferredCalls
from taxiphone.billing.pricing.talk import BRIDGE_EXIT, GONE
from taxiphone.store.calls import CONSULTANT_LEG, FINAL, OPEN, Status
from taxiphone.store.database import raced
from taxiphone.store.models import Call, CelRow
from taxiphone.store.types import monotonic_us


class CallPricer:
    """Prices open calls from the stored rows.

    Not thread-safe: use it only in the thread that reads the log.

    Args:
        again_seconds: seconds between two attempts to price a call that can't be priced.
        program_seconds: how long to wait for the program to record the end of a talk that it saw begin.

    Attributes:
        priced: the calls that got a receipt in the current transaction, valid once it is committed.
    """

    def __init__(self, again_seconds: float, program_seconds: float) -> None:
        self.priced: list[str] = []
        self._program_seconds = program_seconds
        self._deferred = DeferredCalls(again_seconds)  # calls that could not be priced
        self._awaited: dict[str, int] = {}  # talks whose end the program has not recorded yet, and since when

    @property
    def awaits_program(self) -> bool:
        """Whether a talk has ended, and the program has not recorded yet how."""
        return bool(self._awaited)

    def begin(self) -> None:
        """Begin a transaction, or repeat it: forget what was priced in an attempt that was rolled back."""
        self.priced = []

    def due(self, call_ids: Iterable[str]) -> list[str]:
        """Return the calls that may be tried now, ordered by id: not those that failed a moment ago."""
        return sorted(filter(self._deferred.due, set(call_ids)))

    def price_due(self, session: Session) -> None:
        """Price every open call that is over according to the stored rows."""
        session.flush()
        consultant_leg = func.coalesce(Call.consultant_channel, Call.id + CONSULTANT_LEG)
        ends = or_(
            CelRow.event.in_(GONE), and_(CelRow.event == BRIDGE_EXIT, Call.status.in_(call_end.PARTED))
        )
        due = session.scalars(
            select(Call)
            .where(
                Call.status.in_(OPEN),
                or_(
                    exists().where(CelRow.channel == Call.client_channel, ends),
                    exists().where(CelRow.channel == consultant_leg, ends),
                ),
            )
            .order_by(Call.arrived_at, Call.id)
            .with_for_update(of=Call)
        ).all()
        for call in due:
            if self._deferred.due(call.id):
                self._price(session, call)

    def finish_abandoned(self, session: Session, call_ids: Iterable[str]) -> list[str]:
        """Price or close those of the calls that are still open, although the log doesn't contain their end.

        Returns:
            the calls that are now rated or closed.
        """
        open_calls = session.scalars(
            still_open(call_ids).order_by(Call.arrived_at, Call.id).with_for_update(of=Call)
        ).all()
        for call in open_calls:
            self._price(session, call, abandoned.finish)
        return [call.id for call in open_calls if Status(call.status) in FINAL]

    def _price(self, session: Session, call: Call, cut_off: call_end.Rate | None = None) -> None:
        """Price a call if it is over; see `call_end.price_if_over`."""
        if cut_off is None and self._must_wait(session, call):
            return
        call_id = call.id
        try:
            with session.begin_nested():
                receipt = call_end.price_if_over(session, call, cut_off)
        except DBAPIError as error:
            if not isinstance(error, IntegrityError | DataError) or raced(error):
                raise  # the whole chunk is repeated
            self._not_priced(session, call_id, error)
        except Exception as error:  # noqa: BLE001 - a call that can't be priced must not delay the others
            self._not_priced(session, call_id, error)
        else:
            if Status(call.status) in FINAL:
                self._deferred.settled(call_id)
                self._awaited.pop(call_id, None)
            if receipt is not None:
                self.priced.append(call_id)

    def _not_priced(self, session: Session, call_id: str, error: Exception) -> None:
        unpriced.note(session, call_id, error)
        self._deferred.defer(call_id, error)

    def _must_wait(self, session: Session, call: Call) -> bool:
        """Whether to wait until the program has recorded, by the monotonic clock, when a talk ended."""
        if not proof.awaits_program(session, call):
            return False
        first = self._awaited.setdefault(call.id, monotonic_us())
        return monotonic_us() - first < self._program_seconds * 1_000_000


def still_open(call_ids: Iterable[str]) -> Select[Call]:
    """Return the query for those of the calls that are neither rated nor closed."""
    return select(Call).where(Call.id.in_(call_ids), Call.status.in_(OPEN))
