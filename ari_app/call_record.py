"""Writes a call's row and its call events: each step in one transaction, before the command to Asterisk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.orm import Session

from taxiphone.ari_app.begin_ringing import OTHERS_IN_PROGRESS, begin_ringing
from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.ari_app.ordered_writes import OrderedWrites
from taxiphone.billing import corrections, holds, may_continue
from taxiphone.billing.announcement import AnnouncedQuote, quote_consultation
from taxiphone.billing.evidence import proof
from taxiphone.billing.ledger import balances
from taxiphone.billing.tariffs_in_force import PER_MINUTE
from taxiphone.directory import dids, lookup
from taxiphone.directory.callers import Caller
from taxiphone.errors import TaxiphoneError
from taxiphone.recordings import capture, keeping
from taxiphone.settings import Settings
from taxiphone.store import calls
from taxiphone.store.calls import Noted, Outcome, Status
from taxiphone.store.models import Call, Client, Consultant, Did
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.sessions import in_session
from taxiphone.store.tables import CALL, CALL_EVENT
from taxiphone.store.types import Moment, moment, now

log = logging.getLogger(__name__)

# The hot path of a call uses the tables; the ORM's sessions take several times as long.
_ARRIVED = (
    *("id", "status", "client_channel", "dialled", "caller", "language", "client_id", "arrived_at"),
    *("mode", "recording_asked", "dropped"),
)
_INSERT: Prepared[Any] = Prepared(insert(CALL), tuple, _ARRIVED)
_BY_CHANNEL: Prepared[str] = Prepared(
    select(CALL.c.id).where(CALL.c.client_channel == bindparam("channel")), scalar
)


@dataclass(frozen=True)
class Parties:
    """Who is in the call, according to the caller's number and the number dialled.

    Attributes:
        language: the language for the client: their own, else the dialled number's, else the platform's.
        did: the number dialled, if it is one of the platform's.
        client: the caller, if their number is known.
        consultant: the consultant whose own number was dialled.
        too_many: whether the client has as many other calls in progress as are allowed at once.
        quote: the price of a new consultation with that consultant; None if either is unknown, or the client may have a
            consultation to continue.
    """

    language: str
    did: Did | None
    client: Client | None
    consultant: Consultant | None
    too_many: bool
    quote: AnnouncedQuote | None


class CallRecord:
    """One call's row.

    Args:
        settings: the settings.
        database: the database.
        call_id: the call's id.
        arrived: when the call arrived; now by default.
    """

    def __init__(
        self,
        settings: Settings,
        database: DatabaseWithTimeout,
        call_id: str,
        arrived: Moment | None = None,
    ) -> None:
        self._settings, self._database, self._id = settings, database, call_id
        self._arrived = arrived or moment()
        self._writes = OrderedWrites(database, call_id)

    @property
    def arrived_at(self) -> datetime:
        """When the call arrived."""
        return self._arrived.at

    async def received(self, channel: str, dialled: str, caller: Caller) -> Parties:
        """Create the row of a call that has arrived, and find out who calls and whose number was dialled.

        Args:
            channel: the unique id of the client's leg.
            dialled: the number as the trunk sent it.
            caller: who calls, as far as the carrier says.
        """
        readings = dids.readings(self._settings, dialled)
        arrived = self._arrived

        def work(connection: Connection) -> Parties:
            number, did = lookup.dialled(connection, readings, dialled)
            client = lookup.client_calling(connection, caller.number)
            language = lookup.language(self._settings, client, did)
            # If the caller hangs up at once, the meter may create a row first (billing/metering/arrivals.py).
            existing = _BY_CHANNEL.first(connection, {"channel": channel})
            if existing is not None:
                connection.execute(delete(CALL_EVENT).where(CALL_EVENT.c.call_id == existing))
                connection.execute(delete(CALL).where(CALL.c.id == existing))
            _INSERT.run(
                connection,
                {
                    "id": self._id,
                    "status": Status.RECEIVED,
                    "client_channel": channel,
                    "dialled": number[:40],
                    "caller": caller.number,
                    "language": language,
                    "client_id": client.id if client else None,
                    "arrived_at": arrived.at,
                    "mode": PER_MINUTE,
                    "recording_asked": False,
                    "dropped": False,
                },
            )
            events = [Noted("received", None, arrived)]
            if caller.hidden is not None:
                events.append(Noted("caller hidden", caller.hidden, arrived))
            if client is not None:
                events.append(Noted("identified", client.code, arrived))
            calls.add_events(connection, self._id, events)
            too_many = client is not None and self._too_many(connection, client)
            consultant = did.consultant if did else None
            quote = self._quote(connection, client, consultant)
            return Parties(language, did, client, consultant, too_many, quote)

        return await self._database.write(work)

    def _quote(
        self, connection: Connection, client: Client | None, consultant: Consultant | None
    ) -> AnnouncedQuote | None:
        if client is None or consultant is None:
            return None
        if may_continue.may_be_continued(connection, client.id, self._id):
            return None
        with suppress(TaxiphoneError):  # the step that announces the price will raise it
            return quote_consultation(connection, self._settings, client, consultant, self._arrived.at)
        return None

    async def signed_in(self, client: Client) -> None:
        """Record which client has signed in by PIN."""
        await self.write(None, "identified", client.code, client_id=client.id, language=client.language)

    def recording_offered(self) -> date:
        """Record that a recording is offered; returns the last day on which it would be kept."""
        self.note("recording offered")
        return keeping.last_day(self._settings, self._arrived.at)

    async def too_many(self, client: Client) -> bool:
        """Return whether the client has as many other calls in progress as are allowed at once."""
        return await self._database.fetch(lambda connection: self._too_many(connection, client))

    def _too_many(self, connection: Connection, client: Client) -> bool:
        mine = {"call": self._id, "client": client.id}
        others = OTHERS_IN_PROGRESS.first(connection, mine) or 0
        return others >= self._settings.call.most_calls_per_client

    async def begin_ringing(self, consultant: Consultant) -> list[str] | Outcome:
        """Set the status to ringing; return the phones to ring, or an outcome if the consultant can't be rung now."""
        ringing = await self._writes.run(
            lambda connection: begin_ringing(connection, self._settings, self._id, consultant)
        )
        ringing.report(self._id, consultant)
        return ringing.phones if ringing.outcome is None else ringing.outcome

    async def accepted(self, *, recorded: bool, channel: str, continues: str | None) -> holds.Accepted:
        """The consultant has accepted: copy the tariff, hold the credit, and register the recording.

        Args:
            recorded: whether both want a recording.
            channel: the unique id of the phone that accepted.
            continues: the id of the dropped call that this one continues.

        Raises:
            InsufficientFundsError: the wallet or the client's limit is no longer sufficient; nothing was written.
        """

        def work(connection: Connection) -> holds.Accepted:
            calls.step(
                connection,
                self._id,
                Status.ACCEPTED,
                consultant_channel=channel,
                continues_id=continues,
                recording_asked=recorded,
                rtp_timeout=self._settings.call.rtp_timeout_seconds,
            )
            accepted = holds.accept(connection, self._settings, self._id)
            if recorded:
                in_session(self._ask_for_recording)(connection)
            calls.add_event(connection, self._id, "accepted")
            return accepted

        return await self._writes.run(work)

    async def extended(self) -> holds.Accepted | None:
        """Hold more for the talk if credit has arrived during it; return what holds for it now, or None if it is over."""
        return await self._writes.run(lambda connection: holds.extend(connection, self._settings, self._id))

    async def bridged(self, when: Moment) -> None:
        """Record when both had entered the bridge."""
        await self._writes.run(
            lambda connection: calls.add_event(connection, self._id, proof.BRIDGED, when=when)
        )

    async def over(
        self,
        why: str,
        *,
        fault: str | None = None,
        heard_until: datetime | None = None,
        parted: Moment | None = None,
    ) -> None:
        """Record that the talk is over. The meter may then price it, even if somebody is still on the line.

        Args:
            why: the reason, in a few words.
            fault: a network fault; the talk is not billed.
            heard_until: when the last packet of a side that fell silent arrived, by `store.types.steady`.
            parted: when the first leg left the bridge, or was about to be taken out of it; None if that is unknown.
        """

        def work(connection: Connection) -> None:
            calls.step(connection, self._id, Status.OVER, fault=fault)
            if fault or heard_until:
                in_session(partial(self._correct, fault=fault, heard_until=heard_until))(connection)
            if parted is not None:
                calls.add_event(connection, self._id, proof.PARTED, when=parted)
            calls.add_event(connection, self._id, "left", why)

        await self._writes.run(work)

    def _correct(self, session: Session, *, fault: str | None, heard_until: datetime | None) -> None:
        """Correct a price: the meter learns the end of a talk from Asterisk's log, and may have priced it already."""
        call = self._row(session)
        if heard_until is not None:
            call.heard_until = proof.in_talk(session.connection(), self._id, heard_until)
            session.flush()
        corrections.correct(session, call, corrections.NOT_HEARD if fault else corrections.FELL_SILENT)

    async def ended(self, outcome: Outcome) -> None:
        """Record that all legs are hung up. The meter decides on the price. Nobody on the line waits for this write."""
        work = self._step_of(Status.ENDED, "ended", outcome, outcome=outcome, ended_at=now())
        await self._writes.run_to_the_end(work)

    async def write(
        self, status: Status | None, what: str, detail: str | None = None, **columns: object
    ) -> None:
        """Write a call event, and with it a status and other columns."""
        await self._writes.run(self._step_of(status, what, detail, **columns))

    def note(self, what: str, detail: str | None = None, **columns: object) -> None:
        """Write a call event, and with it columns of the row, without waiting for it; see `OrderedWrites.note`."""
        self._writes.note(what, detail, **columns)

    def _step_of(
        self, status: Status | None, what: str, detail: str | None = None, **columns: object
    ) -> Callable[[Connection], None]:
        when = moment()

        def work(connection: Connection) -> None:
            if status is not None or columns:
                calls.step(connection, self._id, status, **columns)
            calls.add_event(connection, self._id, what, detail, when=when)

        return work

    async def balance(self, client: Client) -> int:
        """The client's credit, in minor units."""
        return await self._database.fetch(lambda connection: balances.credit(connection, client.id))

    def _ask_for_recording(self, session: Session) -> None:
        call = self._row(session)
        capture.ask(session, call, keeping.last_day(self._settings, call.arrived_at))

    def _row(self, session: Session) -> Call:
        # Locked: the meter may be finishing this very call.
        return session.get_one(Call, self._id, with_for_update={"key_share": True})
