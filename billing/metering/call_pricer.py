"""Prices the calls that are over, each in a transaction of its own.

A call that can't be priced doesn't delay the others: the reason is stored in its row, and it is tried again later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, Select, and_, exists, func, literal, or_, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from taxiphone.billing import call_row
from taxiphone.billing.evidence import proof
from taxiphone.billing.metering import abandoned, call_end, unpriced
from taxiphone.billing.metering.unpriced import DeferredCalls
from taxiphone.billing.pricing.talk import BRIDGE_EXIT, GONE
from taxiphone.store.calls import CONSULTANT_LEG, FINAL, OPEN, Status
from taxiphone.store.database import Database
from taxiphone.store.models import Call, CelRow
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.retrying import raced
from taxiphone.store.types import monotonic_us


@dataclass(frozen=True, slots=True)
class _Priced:
    """What became of a call: whether it is rated or closed now, or must wait, and whether it got a receipt."""

    final: bool
    waits: bool = False
    receipt: bool = False


class CallPricer:
    """Prices open calls from the stored rows.

    Not thread-safe: use it only in the thread that reads the log.

    Args:
        database: the database.
        again_seconds: seconds between two attempts to price a call that can't be priced.
        program_seconds: how long to wait for the program to record the end of a talk that it saw begin.

    Attributes:
        final: the calls that were rated or closed, in order, and whether they got a receipt; whoever announces them
            removes them.
    """

    def __init__(self, database: Database, again_seconds: float, program_seconds: float) -> None:
        self.final: list[tuple[str, bool]] = []
        self._database, self._program_seconds = database, program_seconds
        self._deferred = DeferredCalls(again_seconds)  # calls that could not be priced
        self._awaited: dict[str, int] = {}  # talks whose end the program has not recorded yet, and since when

    @property
    def awaits_program(self) -> bool:
        """Whether a talk has ended, and the program has not recorded yet how."""
        return bool(self._awaited)

    def due(self, call_ids: Iterable[str]) -> list[str]:
        """Return the calls that may be tried now, ordered by id: not those that failed a moment ago."""
        return sorted(filter(self._deferred.due, set(call_ids)))

    def price_due(self, over: Iterable[str] | None = None) -> None:
        """Price every open call that is over according to the stored rows.

        Args:
            over: these calls (`calls_over`), if they were read with the last rows.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database can't be reached.
        """
        if over is None:
            over = self._database.fetch_now(calls_over)
        self._price(each for each in over if self._deferred.due(each))

    def finish_abandoned(self, call_ids: Iterable[str]) -> list[str]:
        """Price or close those of the calls that are still open, although the log doesn't contain their end.

        Returns:
            the calls that are now rated or closed.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database can't be reached.
        """
        ids = self._database.read(lambda session: session.scalars(_by_arrival(still_open(call_ids))).all())
        return self._price(ids, abandoned.finish)

    def _price(self, call_ids: Iterable[str], cut_off: call_end.Rate | None = None) -> list[str]:
        """Price calls if they are over (`call_end.price_if_over`); return those that are now rated or closed."""
        works: dict[str, Callable[[Connection], _Priced]] = {
            call_id: partial(self._price_one, call_id=call_id, cut_off=cut_off) for call_id in call_ids
        }
        final, database_error = [], None
        for call_id, outcome in self._database.do_each(works).items():
            if isinstance(outcome, _Priced):
                self._settled(call_id, outcome)
                if outcome.final:
                    final.append(call_id)
            elif _concerns_the_call(outcome):
                self._not_priced(call_id, outcome)
            else:
                database_error = outcome
        if database_error is not None:
            raise database_error  # what was priced is committed; the rest is tried again
        return final

    def _price_one(self, connection: Connection, call_id: str, cut_off: call_end.Rate | None) -> _Priced:
        call = call_row.read(connection, call_id, lock=True)
        if Status(call.status) in FINAL:
            return _Priced(final=True)
        events = proof.call_events(connection, call_id)
        if cut_off is None and self._must_wait(call_id, events):
            return _Priced(final=False, waits=True)
        final, charged = call_end.price_if_over(connection, call, cut_off, events)
        return _Priced(final=final, receipt=charged is not None)

    def _settled(self, call_id: str, priced: _Priced) -> None:
        if priced.waits:
            self._awaited.setdefault(call_id, monotonic_us())
        if priced.final:
            self._deferred.settled(call_id)
            self._awaited.pop(call_id, None)
            self.final.append((call_id, priced.receipt))

    def _not_priced(self, call_id: str, error: Exception) -> None:
        self._database.do(lambda session: unpriced.note(session, call_id, error))
        self._deferred.defer(call_id, error)

    def _must_wait(self, call_id: str, events: proof.CallEvents) -> bool:
        """Whether to wait until the program has recorded, by the monotonic clock, when a talk ended."""
        if not proof.awaits_program(events):
            return False
        now = monotonic_us()
        return now - self._awaited.get(call_id, now) < self._program_seconds * 1_000_000


def _concerns_the_call(error: Exception) -> bool:
    """Whether a call could not be priced for its own reasons, and not because of the database or another process."""
    if not isinstance(error, DBAPIError):
        return True
    return isinstance(error, IntegrityError | DataError) and not raced(error)


_CONSULTANT_LEG = func.coalesce(Call.consultant_channel, Call.id + CONSULTANT_LEG)
_ENDS = or_(
    CelRow.event.in_(map(literal, sorted(GONE))),
    and_(CelRow.event == BRIDGE_EXIT, Call.status.in_(map(literal, call_end.PARTED))),
)


def _by_arrival(calls: Select[Call]) -> Select[str]:
    return calls.with_only_columns(Call.id).order_by(Call.arrived_at, Call.id)


_OVER: Prepared[str] = Prepared(
    _by_arrival(
        select(Call).where(
            Call.status.in_(map(literal, OPEN)),
            or_(
                exists().where(CelRow.channel == Call.client_channel, _ENDS),
                exists().where(CelRow.channel == _CONSULTANT_LEG, _ENDS),
            ),
        )
    ),
    scalar,
)


def calls_over(connection: Connection) -> list[str]:
    """Return the open calls that are over according to the stored rows, in the order in which they arrived."""
    return _OVER.all(connection, {})


def still_open(call_ids: Iterable[str]) -> Select[Call]:
    """Return the query for those of the calls that are neither rated nor closed."""
    return select(Call).where(Call.id.in_(call_ids), Call.status.in_(OPEN))
