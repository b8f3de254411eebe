"""Many concurrent calls without Asterisk, from several processes: accepted, written to an event log, priced by the meter.

Used by tests and benchmarks of billing. Everything except the audio is real: the database, its transactions, the event log
in a file, and the processes, any of which may be killed at any moment.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, insert, update
from sqlalchemy.orm import Session

from taxiphone.billing import call_row, holds
from taxiphone.billing.evidence.cel import format_row
from taxiphone.billing.ledger import postings
from taxiphone.billing.metering.meter import Meter
from taxiphone.errors import InsufficientFundsError
from taxiphone.settings import Settings
from taxiphone.settings_sections import Call as CallSection
from taxiphone.settings_sections import DatabaseSection, Platform, Trunk
from taxiphone.store.calls import FINAL, Outcome, Status, consultant_leg, new_id, talk_bridge
from taxiphone.store.database import Database
from taxiphone.store.models import Call, Client, Consultant
from taxiphone.store.prepared import Prepared
from taxiphone.store.tables import CALL
from taxiphone.store.types import now

# The start of every talk, in seconds since 1970.
BEGIN = 1_763_846_400
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["taxiphone.bench.storm"])

_TALKING: Prepared[Any] = Prepared(
    update(CALL).where(CALL.c.id == bindparam("call")).values(status=Status.TALKING, outcome=Outcome.TALKED),
    tuple,
)


@dataclass(frozen=True)
class People:
    """The ids of the client and of the consultants."""

    client: int
    consultants: tuple[int, ...]


@dataclass(frozen=True)
class Storm:
    """A platform for concurrent calls.

    Attributes:
        folder: the state folder, which has the event log.
        url: the database's URL; None for SQLite in that folder.
        longest_minutes: the maximum duration of a call, for which credit is held.
    """

    folder: Path
    url: str | None = None
    longest_minutes: int = 1
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        made = Settings(
            platform=Platform(cli="+33199000000"),
            trunk=Trunk(host="127.0.0.1"),
            call=CallSection(longest_minutes=self.longest_minutes),
            database=DatabaseSection(url=self.url),
            file=self.folder / "taxiphone.toml",
        )
        object.__setattr__(self, "settings", made)

    def open(self) -> Database:
        """A new connection pool."""
        return Database(self.settings.database_url)

    def people(
        self, database: Database, *, consultants: int, credit: int, free_minutes: int = 0, code: int = 7000
    ) -> People:
        """Create consultants at 1.00 a minute and a client with a balance in cents, with codes from `code` on."""

        def work(session: Session) -> People:
            rows = []
            for number in range(consultants):
                row = Consultant(
                    code=str(code + number),
                    name=f"Consultant {number}",
                    phone="+33639980002",
                    language="fr",
                    price_per_minute=Decimal(1),
                    free_minutes=free_minutes,
                )
                rows.append(row)
            client = Client(code=str(code), name="Client", language="fr")
            session.add_all([*rows, client])
            session.flush()
            postings.top_up(session, client.id, credit, "EUR", "storm")
            return People(client.id, tuple(row.id for row in rows))

        return database.do(work)

    def ring(self, database: Database, people: People, many: int) -> list[str]:
        """Create `many` calls of the client that ring at the consultants in turn; returns their ids."""

        def work(session: Session) -> list[str]:
            called = itertools.islice(itertools.cycle(people.consultants), many)
            rows = [ringing(people.client, consultant) for consultant in called]
            session.execute(insert(Call), rows)
            return [str(row["id"]) for row in rows]

        return database.do(work)

    def start(self, shares: Sequence[Sequence[str]]) -> list[Worker]:
        """Start a process for each share of the calls. All begin at the same moment."""
        gate = PROCESSES.Barrier(len(shares))
        return [Worker(self, share, gate) for share in shares]


class Worker:
    """A process that runs calls, one after the other, and reports each step with a byte (`steps`)."""

    def __init__(self, storm: Storm, calls: Sequence[str], gate: Barrier) -> None:
        # The barrier's semaphore is removed with the last reference to it in this process.
        self._gate = gate
        self.steps, theirs = PROCESSES.Pipe(duplex=False)
        self.process: BaseProcess = PROCESSES.Process(target=_live, args=(storm, list(calls), gate, theirs))
        self.process.start()
        theirs.close()

    def wait(self, seconds: float = 120) -> int | None:
        """Read its steps until it ends, and return its exit code, or None if it has not ended in that time."""
        try:
            while self.steps.poll(seconds):
                self.steps.recv_bytes()
        except EOFError:
            self.process.join(seconds)
        return self.process.exitcode

    def kill_after(self, steps: int) -> None:
        """Kill the process (SIGKILL) as soon as it has reported that many steps."""
        try:
            for _ in range(steps):
                self.steps.recv_bytes()
        except EOFError:
            return
        self.process.kill()
        self.process.join()
        self.steps.close()


def ringing(client: int, consultant: int) -> dict[str, object]:
    """The row of a ringing call."""
    call_id = new_id(now())
    return {
        "id": call_id,
        "status": Status.RINGING,
        "client_channel": f"client-{call_id}",
        "dialled": "+33199000001",
        "language": "fr",
        "client_id": client,
        "consultant_id": consultant,
        "mode": "per_minute",
        "recording_asked": False,
        "arrived_at": now(),
    }


def accept(storm: Storm, database: Database, call_id: str) -> bool:
    """Let the consultant accept; returns False if the wallet can't pay for the call."""

    def work(session: Session) -> None:
        connection = session.connection()
        call = call_row.read(connection, call_id, lock=True)
        if Status(call.status) in FINAL:
            return
        holds.accept(connection, storm.settings, call_id)
        _TALKING.run(connection, {"call": call_id})

    try:
        database.do(work)
    except InsufficientFundsError:
        return False
    return True


def talk_lines(call_id: str, seconds: str = "42.5") -> str:
    """Return the lines that Asterisk writes for a talk that the client ends."""
    client, consultant, begin = f"client-{call_id}", consultant_leg(call_id), Decimal(BEGIN)
    end, gone = begin + Decimal(seconds), {"hangupcause": 16}
    bridge: dict[str, Any] = {"bridge_id": talk_bridge(call_id)}
    rows = [
        ("CHAN_START", begin - 20, client, None),
        ("CHAN_START", begin - 10, consultant, None),
        ("BRIDGE_ENTER", begin - 1, consultant, bridge),
        ("BRIDGE_ENTER", begin, client, bridge),
        ("BRIDGE_EXIT", end, client, bridge),
        ("HANGUP", end, client, gone),
        ("BRIDGE_EXIT", end, consultant, bridge),
        ("HANGUP", end, consultant, gone),
    ]
    return "".join(_line(*row) for row in rows)


def _line(event: str, at: Decimal, channel: str, extra: dict[str, Any] | None) -> str:
    text = json.dumps(extra) if extra else ""
    columns = (event, f"{at:.6f}", channel, channel, "PJSIP/trunk-00000001", "", "", "Stasis", "", text)
    return format_row(columns)


def _live(storm: Storm, calls: list[str], gate: Barrier, told: Connection) -> None:
    database = storm.open()
    meter, log = Meter(storm.settings, database), storm.settings.cel_file
    log.parent.mkdir(parents=True, exist_ok=True)
    gate.wait(60)
    for call_id in calls:
        told.send_bytes(b".")
        if not accept(storm, database, call_id):
            continue
        told.send_bytes(b".")
        text = talk_lines(call_id)
        if not (log.exists() and text in log.read_text(encoding="utf-8")):
            _append(log, text)
        told.send_bytes(b".")
        meter.read_once()
    database.close()


def _append(log: Path, text: str) -> None:
    """Append in one write, as Asterisk does, so that lines of several processes don't mix."""
    number = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(number, text.encode())
    finally:
        os.close(number)
