"""Prices the calls that are over, within the meter's transactions.

A call that can't be priced doesn't keep the others waiting: the reason is kept in its row, and it is tried again later.
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
    """Prices open calls by the rows that are stored.

    Not thread-safe: for the one thread that reads the log.

    Args:
        again_seconds: between two attempts to price a call that can't be priced.
        program_seconds: how long the program may take to note how a talk ended that it saw begin.

    Attributes:
        priced: the calls with a receipt from the transaction in hand. They count once it is committed.
    """

    def __init__(self, again_seconds: float, program_seconds: float) -> None:
        self.priced: list[str] = []
        self._program_seconds = program_seconds
        self._deferred = DeferredCalls(again_seconds)  # calls that could not be priced
        self._awaited: dict[str, int] = {}  # talks whose end the program has not noted yet, and since when

    @property
    def awaits_program(self) -> bool:
        """Whether a talk has ended, and the program has still to note how."""
        return bool(self._awaited)

    def begin(self) -> None:
        """Begin a transaction, or begin it again: forget what an attempt priced that the database took back."""
        self.priced = []

    def due(self, call_ids: Iterable[str]) -> list[str]:
        """Those of the calls that may be tried now, in the order of their ids; not one that failed a moment ago."""
        return sorted(filter(self._deferred.due, set(call_ids)))

    def price_due(self, session: Session) -> None:
        """Price every call that is over by the rows that are there. Looks at open calls only."""
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
        """Price or close those of the calls that are still open, although the log has no end of them.

        Returns:
            the calls that are now final.
        """
        found = session.scalars(
            still_open(call_ids).order_by(Call.arrived_at, Call.id).with_for_update(of=Call)
        ).all()
        for call in found:
            self._price(session, call, abandoned.finish)
        return [call.id for call in found if Status(call.status) in FINAL]

    def _price(self, session: Session, call: Call, cut_off: call_end.Rate | None = None) -> None:
        """Price a call that is over by its rows; or by `cut_off`, where it is over although they do not say so."""
        if cut_off is None and self._program_will_tell(session, call):
            return
        call_id = call.id
        try:
            with session.begin_nested():
                receipt = call_end.price_if_over(session, call, cut_off)
        except DBAPIError as error:
            if not isinstance(error, IntegrityError | DataError) or raced(error):
                raise  # the whole chunk is done again
            self._not_priced(session, call_id, error)
        except Exception as error:  # noqa: BLE001 - a call that can't be priced must not keep the others waiting
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

    def _program_will_tell(self, session: Session, call: Call) -> bool:
        """Whether to wait for the program's word on a talk that has just ended: it has the clock that nobody can set."""
        if not proof.awaits_program(session, call):
            return False
        first = self._awaited.setdefault(call.id, monotonic_us())
        return monotonic_us() - first < self._program_seconds * 1_000_000


def still_open(call_ids: Iterable[str]) -> Select[Call]:
    """Those of the calls that have no price yet and are not closed."""
    return select(Call).where(Call.id.in_(call_ids), Call.status.in_(OPEN))
