"""The benchmark's test rig: Taxiphone, a plain Dial() on a second copy of the same Asterisk, and the telephones.

Both sides use the same configuration from dialplan/config.py: trunk, codecs, modules, bridge and event log. The plain side
also has app_dial and an extension that dials; no application is connected to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from taxiphone.ari_app.client import AriClient
from taxiphone.ari_app.ports import Event
from taxiphone.ari_app.steps.price import SKIP_SECONDS
from taxiphone.bench.phones import Line, Phones, Side
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
from taxiphone.speech import own_recordings, prompts_folder
from taxiphone.store.calls import FINAL
from taxiphone.store.models import Call, CallEvent

MOST_LINES = 100
# The shortest recording that an operator can use; a sound that ends sooner counts as missing.
PROMPT_SECONDS = 0.1

_LANGUAGE = "en"
_PRICE, _CREDIT = Decimal("1.55"), Decimal("500.00")
_ALAW_SILENCE = b"\xd5" * round(8000 * PROMPT_SECONDS)
_LEGS = 2
# For the last calls to end.
_OVER_SECONDS = 30.0

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
        lines: the number of clients, each with a consultant.
    """

    def __init__(self, folder: Path, asterisk: Asterisk, lines: int) -> None:
        self.lines = [Line(number) for number in range(lines)]
        # A platform's limits are switched off, because refused calls are not measured.
        unlimited = Timing(most_calls=10_000, most_calls_per_minute=10_000)
        self.platform = Platform(folder / "taxiphone", language=_LANGUAGE, timing=unlimited)
        self.taxiphone: Side
        self.plain: Side
        self._asterisk = asterisk
        self._other = Platform(folder / "plain", language=_LANGUAGE)
        self._plain_server: AsteriskServer | None = None
        self.phones = Phones(
            asterisk,
            folder / "network",
            taxiphone_port=self.platform.sip_port,
            plain_port=self._other.sip_port,
        )

    async def start(self) -> None:
        """Start everything.

        Raises:
            SetupError: something could not be started.
        """
        trunk = f'host = "{ADDRESS}"\nport = {self.phones.sip_port}'
        self.platform.write(trunk)
        self.platform.database.do(self._fill_directory)
        self._quieten()
        self._other.write(trunk)
        self._other.database.close()
        self._plain_server = self._plain()
        await asyncio.gather(self.phones.start(), self.platform.start(), self._plain_server.start())
        await self.phones.answers_only()
        settings = self.platform.settings
        asterisk = find_process(settings.asterisk_home / "etc" / "asterisk.conf")
        if asterisk is None or self._plain_server.pid is None:
            raise SetupError("an Asterisk ended while the benchmark was being set up. Try again.")
        self.taxiphone = Side("Taxiphone", "platform", settings.cel_file, asterisk, self.platform.pid)
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

    async def warm_up(self) -> float:
        """Make one call through each side and listen to the second one.

        Returns:
            Seconds of Taxiphone's ring delay in which it speaks or waits for a key. A prompt that is added to the call is
            found here and does not count as delay.

        Raises:
            SetupError: no consultant's phone was rung.
        """
        heard: list[Event] = []
        settings = self.platform.settings
        address = f"{platform.ADDRESS}:{settings.asterisk.http_port}"
        password = credentials.ari_password(settings)
        ari = AriClient(address, credentials.ARI_USER, password, "bench")
        listening = asyncio.create_task(ari.run(heard.append), name="warm-up")
        try:
            await ari.wait_connected(10)
            for side in (self.plain, self.taxiphone):
                await self.phones.dial(side, self.lines[0], f"warm-up-{side.trunk}")
                await until(self.over, "the first call ends")
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        legs = [place for place, event in enumerate(heard) if event["type"] == "ChannelCreated"]
        if len(legs) != _LEGS:
            raise SetupError(f"Taxiphone's first call had {len(legs)} leg(s): {self.platform.last_words()}")
        sounds: int = sum(event["type"] == "PlaybackStarted" for event in heard[: legs[1]])
        return sounds * PROMPT_SECONDS + SKIP_SECONDS

    async def over(self) -> bool:
        """Whether all calls have ended: no channel at the telephones, and no unfinished call in Taxiphone."""
        return await self.phones.channels() == 0 and await self.platform.database.query(_unfinished) == 0

    @staticmethod
    def rings(session: Session) -> dict[str, float]:
        """When Taxiphone ended its prompts in the newest call of each line, in epoch seconds by dialled number."""
        rows = session.execute(
            select(Call.dialled, CallEvent.at)
            .join(CallEvent, CallEvent.call_id == Call.id)
            .where(CallEvent.what == "ringing")
            .order_by(CallEvent.id)
        )
        return {dialled: at.timestamp() for dialled, at in rows}

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
                recording_allowed=False,
            )
            client = clients.add_client(
                session, settings, name=f"Client {line.number}", phones=[line.client], language=_LANGUAGE
            )
            dids.add_number(
                session, settings, number=line.did, consultant_code=consultant.code, language=_LANGUAGE
            )
            postings.top_up(session, client.id, minor, settings.platform.currency)

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


def _unfinished(session: Session) -> int:
    return session.scalar(select(func.count()).where(Call.status.not_in(FINAL))) or 0
