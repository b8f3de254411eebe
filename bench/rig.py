"""The benchmark's test rig: Taxiphone, a plain Dial() on a second copy of the same Asterisk, and the telephones.

Both sides use the same configuration from dialplan/config.py: trunk, codecs, modules, bridge and event log. The plain side
also has app_dial and an extension that dials; no application is connected to it.
"""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from taxiphone.ari_app.client import AriClient
from taxiphone.bench.lines import Line
from taxiphone.bench.phones import Phones, Side
from taxiphone.bench.postgres import PostgresServer
from taxiphone.billing.ledger import postings
from taxiphone.billing.pricing.money import to_minor
from taxiphone.demo import platform
from taxiphone.demo.network import ADDRESS
from taxiphone.demo.platform import Platform, Timing
from taxiphone.dialplan import config, credentials
from taxiphone.dialplan.asterisk.home import find_process
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.directory import clients, consultants, dids
from taxiphone.errors import SetupError
from taxiphone.server.activity import parse
from taxiphone.speech import own_recordings, prompts_folder
from taxiphone.store.calls import OPEN
from taxiphone.store.models import Call

# One frame of sound, so that the benchmark measures the program rather than the length of its sentences.
PROMPT_SECONDS = 0.02

_LANGUAGE = "en"
_PRICE, _CREDIT = Decimal("1.55"), Decimal("500.00")
_ALAW_SILENCE = b"\xd5" * round(8000 * PROMPT_SECONDS)
_PORTS = 4  # of a call
# For calls that have ended, but whose ports are not closed yet.
_MORE_PORTS = 400
# For the last calls to end.
_OVER_SECONDS = 30.0
_ANSWER_SECONDS = 5.0

_PLAIN_DIALPLAN = """
; The benchmark's plain side: each dialled number belongs to one consultant, who is called with Dial().
[from-trunk](+)
exten => _+33199002XXX,1,Set(CALLERID(all)="Taxiphone" <{cli}>)
 same => n,Dial(PJSIP/+33639982${{EXTEN:-3}}@trunk,20)
 same => n,Hangup()
"""


class BenchSet:
    """Taxiphone, the plain Dial() and the telephones, in one folder, on free ports of the loopback interface.

    Args:
        folder: the folder for all files.
        asterisk: the Asterisk that all three run.
        lines: the number of clients, each with a consultant; two at least.
        recorded: whether the consultants allow recordings. A client who presses 1 is then recorded.
        postgres: a PostgreSQL server for Taxiphone, instead of SQLite.
    """

    def __init__(
        self,
        folder: Path,
        asterisk: Asterisk,
        lines: int,
        *,
        recorded: bool = False,
        postgres: PostgresServer | None = None,
    ) -> None:
        self.lines = [Line(number) for number in range(lines)]
        self.recorded, self.postgres = recorded, postgres
        ports = lines * _PORTS + _MORE_PORTS
        _raise_file_limit()
        # A platform's limits are switched off, because refused calls are not measured.
        unlimited = Timing(most_calls=10_000, most_calls_per_minute=10_000)
        database = f'[database]\nurl = "{postgres.url()}"' if postgres else ""
        self.platform = Platform(
            folder / "taxiphone",
            language=_LANGUAGE,
            timing=unlimited,
            more=database,
            rtp_ports=ports,
            verbose=False,  # as in docs/deploy.md
        )
        self.taxiphone: Side
        self.plain: Side
        self._asterisk = asterisk
        self._other = Platform(folder / "plain", language=_LANGUAGE, rtp_ports=ports)
        self._plain_server: AsteriskServer | None = None
        self.phones = Phones(
            asterisk,
            folder / "network",
            taxiphone_port=self.platform.sip_port,
            plain_port=self._other.sip_port,
            rtp_ports=ports,
        )

    async def start(self) -> None:
        """Start everything.

        Raises:
            SetupError: something could not be started.
        """
        trunk = f'host = "{ADDRESS}"\nport = {self.phones.sip_port}'
        self.platform.write(trunk)
        if self.platform.database.version() is None:
            self.platform.database.upgrade()
        self.platform.database.do(self._fill_directory)
        self._quieten()
        self._other.write_settings(trunk)
        self._plain_server = self._plain()
        await asyncio.gather(self.phones.start(), self.platform.start(), self._plain_server.start())
        await self.phones.answers_only()
        settings = self.platform.settings
        asterisk = find_process(settings.asterisk_home / "etc" / "asterisk.conf")
        if asterisk is None or self._plain_server.pid is None:
            raise SetupError("an Asterisk ended while the benchmark was being set up. Try again.")
        self.taxiphone = Side(
            "Taxiphone",
            "platform",
            settings.cel_file,
            asterisk,
            self.platform.pid,
            self.postgres.pid if self.postgres else None,
        )
        self.plain = Side("plain Dial()", "plain", self._other.settings.cel_file, self._plain_server.pid)

    async def stop(self) -> None:
        """Stop everything, in whatever state it is."""
        stops = [self.phones.stop(), self.platform.stop()]
        if self._plain_server is not None:
            stops.append(self._plain_server.stop())
        results = await asyncio.gather(*stops, return_exceptions=True)
        if hasattr(self.platform, "database"):
            self.platform.database.close()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def over(self) -> bool:
        """Whether all calls have ended: no channel at the telephones, and no unfinished call in Taxiphone."""
        return await self.phones.channels() == 0 and await self.platform.database.query(_unfinished) == 0

    def ari(self, application: str) -> AriClient:
        """A connection to Taxiphone's Asterisk besides its own; it receives all events."""
        return _ari(self.platform, application)

    def plain_ari(self, application: str) -> AriClient:
        """A connection to the plain side's Asterisk."""
        return _ari(self._other, application)

    async def activity(self) -> dict[str, int]:
        """Return how many transactions, requests and events Taxiphone has had since its start (server/activity.py).

        Raises:
            TimeoutError: it did not answer the signal.
        """
        known = len(self.platform.said)
        self.platform.signal(signal.SIGUSR1)
        async with asyncio.timeout(_ANSWER_SECONDS):
            while True:
                for line in self.platform.said[known:]:
                    if found := parse(line):
                        return found
                await asyncio.sleep(0.02)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _fill_directory(self, session: Session) -> None:
        settings = self.platform.settings
        minor = to_minor(_CREDIT, settings.currency_digits)
        for line in self.lines:
            consultant = consultants.add_consultant(
                session,
                settings,
                name=f"Consultant {line.number}",
                phone=line.consultant,
                price_per_minute=_PRICE,
                language=_LANGUAGE,
                recording_allowed=self.recorded,
            )
            client = clients.add_client(
                session, settings, name=f"Client {line.number}", phones=[line.client], language=_LANGUAGE
            )
            dids.add_number(
                session, settings, number=line.did, consultant_code=consultant.code, language=_LANGUAGE
            )
            postings.top_up(session, client.id, minor, settings.platform.currency, "bench")

    def _quieten(self) -> None:
        """Replace every prompt by silence, as an operator replaces a prompt by a recording."""
        settings = self.platform.settings
        for name in prompts_folder.sounds(settings, _LANGUAGE):
            file = own_recordings.folder(settings.state, _LANGUAGE) / f"{name}.alaw"
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.write_bytes(_ALAW_SILENCE)

    def _plain(self) -> AsteriskServer:
        settings = self._other.settings
        server = AsteriskServer(self._asterisk, settings.asterisk_home)
        files = config.render(settings, credentials.load(settings), self._asterisk)
        files["modules.conf"] += "load = app_dial.so\n"
        files["extensions.conf"] += _PLAIN_DIALPLAN.format(cli=platform.CLI)
        server.write(files)
        return server


async def until(fact: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until a condition is true.

    Raises:
        TimeoutError: it did not become true within 30 s; the message is `what`.
    """
    try:
        async with asyncio.timeout(_OVER_SECONDS):
            while not await fact():
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise TimeoutError(f"{what}: not within {_OVER_SECONDS:g} s") from None


def _ari(side: Platform, application: str) -> AriClient:
    address = f"{platform.ADDRESS}:{side.settings.asterisk.http_port}"
    return AriClient(address, credentials.ARI_USER, credentials.ari_password(side.settings), application)


def _raise_file_limit() -> None:
    """Allow as many open files as an administrator permits: each call needs a dozen sockets."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _unfinished(session: Session) -> int:
    return session.scalar(select(func.count()).where(Call.status.in_(OPEN))) or 0
