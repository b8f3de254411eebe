"""Writes a call's row and its call events: each step in one transaction, before the command to Asterisk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import and_, delete, exists, func, select
from sqlalchemy.orm import Session

from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.billing import corrections, holds
from taxiphone.billing.evidence import proof
from taxiphone.billing.ledger import balances, postings
from taxiphone.directory import clients, consultants, dids
from taxiphone.directory.callers import Caller
from taxiphone.recordings import capture, keeping
from taxiphone.settings import Settings
from taxiphone.store import calls
from taxiphone.store.calls import ALIVE, FINAL, Outcome, Status
from taxiphone.store.models import Call, CallEvent, Client, Consultant, Did
from taxiphone.store.types import Moment, now

log = logging.getLogger(__name__)

_IN_PROGRESS = and_(Call.outcome.is_(None), Call.status.not_in((Status.ENDED, *FINAL)))
_ENGAGED = (Status.RINGING, Status.ACCEPTED, Status.TALKING)


@dataclass(frozen=True)
class Parties:
    """Who is in the call, according to the caller's number and the number dialled.

    Attributes:
        language: the language for the client: their own, else the dialled number's, else the platform's.
        did: the number dialled, if it is one of the platform's.
        client: the caller, if their number is known.
        consultant: the consultant whose own number was dialled.
    """

    language: str
    did: Did | None
    client: Client | None
    consultant: Consultant | None


class CallRecord:
    """One call's row.

    Args:
        settings: the settings.
        database: the database.
        call_id: the call's id.
    """

    def __init__(self, settings: Settings, database: DatabaseWithTimeout, call_id: str) -> None:
        self._settings, self._database, self._id = settings, database, call_id

    async def received(self, channel: str, dialled: str, caller: Caller) -> None:
        """Create the row of a call that has arrived on `channel`; `dialled` is the number as the trunk sent it."""

        def work(session: Session) -> None:
            existing = session.scalar(select(Call).where(Call.client_channel == channel))
            # If the caller hangs up at once, the meter may create a row first (billing/metering/arrivals.py).
            if existing is not None:
                session.execute(delete(CallEvent).where(CallEvent.call_id == existing.id))
                session.delete(existing)
                session.flush()
            session.add(
                Call(
                    id=self._id,
                    status=Status.RECEIVED,
                    client_channel=channel,
                    dialled=dids.did_dialled(session, self._settings, dialled)[0][:40],
                    caller=caller.number,
                    language=self._settings.platform.language,
                )
            )
            session.flush()
            calls.add_event(session, self._id, "received")
            if caller.hidden is not None:
                calls.add_event(session, self._id, "caller hidden", caller.hidden)

        await self._database.run(work)

    async def identified(self) -> Parties:
        """Find out and record who calls and whose number was dialled."""

        def work(session: Session) -> Parties:
            call = self._row(session)
            did = dids.did(session, call.dialled)
            client = clients.client_calling(session, call.caller) if call.caller else None
            call.language = client.language if client else did.language if did else call.language
            call.client_id = client.id if client else None
            if client is not None:
                calls.add_event(session, self._id, "identified", client.code)
            return Parties(call.language, did, client, did.consultant if did else None)

        return await self._database.run(work)

    async def signed_in(self, client: Client) -> None:
        """Record which client has signed in by PIN."""
        await self.write(None, "identified", client.code, client_id=client.id, language=client.language)

    async def recording_offered(self) -> date:
        """Record that a recording is offered; returns the last day on which it would be kept."""

        def work(session: Session) -> date:
            calls.add_event(session, self._id, "recording offered")
            return keeping.last_day(self._settings, self._row(session).arrived_at)

        return await self._database.run(work)

    async def too_many(self, client: Client) -> bool:
        """Whether the client already has the maximum number of calls in progress, not counting this one."""

        def work(session: Session) -> bool:
            others = select(func.count()).where(
                Call.client_id == client.id, _IN_PROGRESS, Call.id != self._id
            )
            return session.execute(others).scalar_one() >= self._settings.call.most_calls_per_client

        return await self._database.query(work)

    async def begin_ringing(self) -> Outcome | None:
        """Set the status to ringing; returns an outcome instead if the consultant can't be rung now."""

        def work(session: Session) -> Outcome | None:
            call = self._row(session)
            ringing = select(func.count()).where(
                Call.client_id == call.client_id,
                Call.status == Status.RINGING,
                _IN_PROGRESS,
                Call.id != call.id,
            )
            if session.execute(ringing).scalar_one() >= self._settings.call.most_ringing_per_client:
                return Outcome.TOO_MANY_CALLS
            # The lock makes one of two simultaneous calls see the other.
            consultant = session.get_one(Consultant, call.consultant_id, with_for_update=True)
            if not consultants.takes_calls(consultant, now()):
                return Outcome.UNAVAILABLE
            engaged = exists().where(
                Call.consultant_id == call.consultant_id,
                Call.status.in_(_ENGAGED),
                Call.outcome.is_(None),
                Call.id != call.id,
            )
            if session.execute(select(engaged)).scalar_one():
                calls.add_event(session, self._id, "engaged")
                return Outcome.BUSY
            _step(call, Status.RINGING)
            calls.add_event(session, self._id, "consultant is free")
            return None

        return await self._database.run(work)

    async def accepted(self, *, recorded: bool, channel: str, continues: str | None) -> holds.Accepted:
        """The consultant has accepted: copy the tariff, hold the credit, and register the recording.

        Args:
            recorded: whether both want a recording.
            channel: the unique id of the phone that accepted.
            continues: the id of the dropped call that this one continues.

        Raises:
            InsufficientFundsError: the wallet or the client's limit is no longer sufficient; nothing was written.
        """

        def work(session: Session) -> holds.Accepted:
            call = self._row(session)
            _step(call, Status.ACCEPTED)
            call.consultant_channel, call.continues_id = channel, continues
            call.recording_asked = recorded
            call.rtp_timeout = self._settings.call.rtp_timeout_seconds
            session.flush()
            accepted = holds.accept(session, self._settings, call)
            if recorded:
                capture.ask(session, call, keeping.last_day(self._settings, call.arrived_at))
            calls.add_event(session, self._id, "accepted")
            return accepted

        return await self._database.run(work)

    async def bridged(self, when: Moment) -> None:
        """Record when both had entered the bridge."""
        await self._database.run(lambda session: calls.add_event(session, self._id, proof.BRIDGED, when=when))

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

        def work(session: Session) -> None:
            call = self._row(session)
            _step(call, Status.OVER)
            call.fault = fault
            if heard_until is not None:
                call.heard_until = proof.in_talk(session, call, heard_until)
            if fault or heard_until:
                # The meter learns the end of a talk from Asterisk's log, and may have priced it already.
                session.flush()
                corrections.correct(
                    session, call, corrections.NOT_HEARD if fault else corrections.FELL_SILENT
                )
            if parted is not None:
                calls.add_event(session, self._id, proof.PARTED, when=parted)
            calls.add_event(session, self._id, "left", why)

        await self._database.run(work)

    async def ended(self, outcome: Outcome) -> None:
        """Record that all legs are hung up. No time-out, since nobody is on the line any more."""
        work = self._step_of(Status.ENDED, "ended", outcome, outcome=outcome, ended_at=now())
        await self._database.run_to_the_end(work)

    async def alive(self, when: Moment, packets: tuple[int, int]) -> None:
        """Record that Asterisk had both legs in the bridge at this moment or later.

        Args:
            when: the moment.
            packets: RTP packets received from the client and from the consultant until shortly before.
        """
        detail = f"packets {packets[0]} {packets[1]}"
        await self._database.run(lambda session: calls.add_event(session, self._id, ALIVE, detail, when=when))

    async def write(
        self, status: Status | None, what: str, detail: str | None = None, **columns: object
    ) -> None:
        """Write a call event, and optionally a status and other columns of the call's row."""
        await self._database.run(self._step_of(status, what, detail, **columns))

    def _step_of(
        self, status: Status | None, what: str, detail: str | None = None, **columns: object
    ) -> Callable[[Session], None]:
        def work(session: Session) -> None:
            call = self._row(session)
            if status is not None:
                _step(call, status)
            for name, value in columns.items():
                setattr(call, name, value)
            calls.add_event(session, self._id, what, detail)

        return work

    async def balance(self, client: Client) -> int:
        """The client's credit, in minor units."""
        return await self._database.query(
            lambda session: balances.balance(session, postings.WALLET, client.id)
        )

    def _row(self, session: Session) -> Call:
        # Locked, since the meter may be finishing this call.
        return session.get_one(Call, self._id, with_for_update=True)


def _step(call: Call, status: Status) -> None:
    """Change the call's status, unless the meter has finished the call meanwhile."""
    if not calls.advance(call, status) and Status(call.status) not in FINAL:
        log.error("call %s: status %r can't be followed by %r", call.id, call.status, status)
