"""A small platform for billing tests: settings, a database, a client with credit and a consultant with prices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click import Command
from click.testing import CliRunner, Result
from databases import FreshPostgres, FreshSqlite, Postgres

from taxiphone.billing import holds, ledger_check
from taxiphone.billing.evidence.cel import format_row
from taxiphone.billing.ledger import balances, postings
from taxiphone.commands.console import App
from taxiphone.errors import TaxiphoneError
from taxiphone.settings import Settings
from taxiphone.settings_sections import Billing, DatabaseSection, Platform, Trunk
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.database import Database
from taxiphone.store.models import Call, Client, Consultant, Recording


@dataclass
class House:
    """What the billing tests share."""

    settings: Settings
    database: Database
    calls: int = 0

    def client(self, credit: int = 10_000, code: str = "7001") -> int:
        def add(session: Any) -> int:
            client = Client(code=code, name="Claire", language="fr")
            session.add(client)
            session.flush()
            if credit:
                postings.top_up(session, client.id, credit, "EUR", "first")
            return client.id

        return self.database.do(add)

    def consultant(self, price: str = "1.55", code: str = "101", **fields: Any) -> int:
        def add(session: Any) -> int:
            consultant = Consultant(
                code=code,
                name="Anne",
                phone="+33612345678",
                language="fr",
                price_per_minute=Decimal(price),
                **fields,
            )
            session.add(consultant)
            session.flush()
            return consultant.id

        return self.database.do(add)

    def call(
        self,
        client: int,
        consultant: int,
        *,
        accept: bool = True,
        recorded: bool = False,
        mode: str = "per_minute",
    ) -> str:
        """Return a call in a talk (or ringing, if not accepted), in the state in which the application leaves it."""
        self.calls += 1
        call_id = f"261122-call{self.calls:02d}"

        def begin(session: Any) -> None:
            call = Call(
                id=call_id,
                status=Status.TALKING if accept else Status.RINGING,
                client_channel=f"channel-{self.calls}",
                dialled="+33199000001",
                language="fr",
                client_id=client,
                consultant_id=consultant,
                mode=mode,
                recording_asked=recorded,
                outcome=Outcome.TALKED if accept else None,
            )
            session.add(call)
            session.flush()
            if accept:
                holds.accept(session.connection(), self.settings, call.id)
            if recorded:
                session.add(Recording(call_id=call_id, status="asked", wav=f"{call_id}.wav"))

        self.database.do(begin)
        return call_id

    def talk(self, call_id: str, seconds: str = "60", *, at: int = 1_763_846_400) -> list[str]:
        """Return the lines that Asterisk writes for a talk that the client ends."""
        client, consultant = self.get(call_id).client_channel, f"{call_id}.consultant"
        begin, end = Decimal(at), at + Decimal(seconds)
        bridge = {"bridge_id": f"{call_id}.talk", "bridge_technology": "simple_bridge"}
        gone = {"hangupcause": 16, "hangupsource": "PJSIP/trunk-00000001", "dialstatus": ""}
        milli = Decimal("0.001")
        return [
            cel_line("CHAN_START", begin - 20, client),
            cel_line("ANSWER", begin - 19, client),
            cel_line("CHAN_START", begin - 10, consultant),
            cel_line("ANSWER", begin - 5, consultant),
            cel_line("BRIDGE_ENTER", begin - milli, consultant, bridge),
            cel_line("BRIDGE_ENTER", begin, client, bridge),
            cel_line("BRIDGE_EXIT", end, client, bridge),
            cel_line("HANGUP", end + milli, client, gone),
            cel_line("CHAN_END", end + milli, client),
            cel_line("BRIDGE_EXIT", end + 50 * milli, consultant, bridge),
            cel_line("HANGUP", end + 51 * milli, consultant, gone),
            cel_line("CHAN_END", end + 51 * milli, consultant),
            cel_line("LINKEDID_END", end + 51 * milli, consultant),
        ]

    def write(self, *lines: str) -> None:
        """Append to Asterisk's log."""
        self.settings.cel_file.parent.mkdir(parents=True, exist_ok=True)
        with self.settings.cel_file.open("a", encoding="utf-8") as log:
            log.write("".join(lines))

    def get(self, call_id: str) -> Call:
        with self.database.transaction() as session:
            call = session.get_one(Call, call_id)
            _ = call.receipt, call.recording, call.client, call.consultant
            return call

    def balance(self, kind: str, owner: int | str = "") -> int:
        return self.database.do(lambda session: balances.balance(session, kind, owner))

    @property
    def app(self) -> App:
        """Return the context object for a command."""
        return App(_cache={"settings": self.settings, "database": self.database})

    def invoke(self, command: Command, *arguments: str) -> Result:
        """Run a command. A known failure is raised, as in `main`."""
        result = CliRunner().invoke(command, arguments, obj=self.app)
        if isinstance(result.exception, TaxiphoneError):
            raise result.exception
        return result

    def problems(self) -> list[str]:
        return self.database.do(lambda session: [problem.what for problem in ledger_check.check(session)])


def cel_line(event: str, at: Decimal, channel: str, extra: dict[str, Any] | None = None) -> str:
    columns = [
        event,
        f"{at:.6f}",
        channel,
        "linked-1",
        "PJSIP/trunk-00000001",
        "+33612345678",
        "+33199000001",
        "Stasis",
        'taxiphone,"quoted"',
        json.dumps(extra) if extra else "",
    ]
    return format_row(columns)


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshSqlite]:
    made = FreshSqlite(tmp_path_factory.mktemp("sqlite"))
    yield made
    made.database.close()


@pytest.fixture(scope="session")
def postgresql(postgres: Postgres) -> Iterator[FreshPostgres]:
    made = FreshPostgres(postgres, "unit")
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    """Run the test on both databases in turn."""
    return built(tmp_path, request.getfixturevalue(request.param).new())


@pytest.fixture
def sqlite_house(sqlite: FreshSqlite, tmp_path: Path) -> House:
    """Run the test on SQLite only, if the database makes no difference or the test is about SQLite."""
    return built(tmp_path, sqlite.new())


@pytest.fixture
def postgres_house(postgresql: FreshPostgres, tmp_path: Path) -> House:
    """Run the test on PostgreSQL only, where transactions overlap."""
    return built(tmp_path, postgresql.new())


def built(folder: Path, database: Database) -> House:
    settings = Settings(
        platform=Platform(cli="+33199000000"),
        trunk=Trunk(host="127.0.0.1"),
        billing=Billing(),
        database=DatabaseSection(url=database.engine.url.render_as_string(hide_password=False)),
        file=folder / "taxiphone.toml",
    )
    settings.state.mkdir(mode=0o700)
    return House(settings, database)
