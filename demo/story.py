"""The call of the demo: what client and consultant do, and the steps shown to the user."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.billing.ledger import postings
from taxiphone.billing.pricing.money import to_minor
from taxiphone.demo import network
from taxiphone.demo.network import PublicNetwork, Softphone
from taxiphone.demo.phone import Phone
from taxiphone.demo.platform import Platform, Timing
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.directory import clients, consultants, dids
from taxiphone.speech import names
from taxiphone.store.models import CallEvent, Recording

DID = "+33199001234"
CLIENT_NUMBER = "+33639980001"
CONSULTANT_NUMBER = "+33639980002"
# Neither frequency is part of a ringing tone or a harmonic of the other.
CLIENT_HERTZ, CONSULTANT_HERTZ = 700, 1100
PRICE = Decimal("1.55")
CREDIT = Decimal("50.00")
TALK_SECONDS = 7.3
_KEY_AGAIN_SECONDS = 2.0
# Maximum duration of the announcements of prices and of the amounts at the end.
_ALL_PRICES_SECONDS, _ALL_DUE_SECONDS = 60.0, 30.0

_STEPS = {
    "received": "the call arrives at the platform from {caller}",
    "identified": "the caller is identified: client {detail}",
    "price told": "the price is announced: {detail} per minute",
    "price heard": "the announcement is heard: {detail}",
    "recording offered": "a recording is offered",
    "recording asked": "recording chosen: {detail}",
    "ringing": "the consultant's phone rings",
    "consultant answered": "the consultant answers and hears who is calling",
    "accepted": "the consultant presses 1",
    "bridging": "both are connected: the meter starts",
    "left": "the {detail} hangs up: the talk ends",
    "ended": "both phones are free",
}


@dataclass
class Set:
    """The platform, the public network and two phones.

    Args:
        folder: the folder of everything.
        asterisk: the Asterisk that both sides run.
        language: the language of the platform.
        softphones: accounts for real softphones.
        timing: timeouts of calls.
        more: further sections of the platform's settings file.
        settings_of_asterisk: further lines of its section [asterisk].
        account: name and password with which the platform registers; None: it is identified by its address.
        rtcp_seconds: interval of a phone's RTCP reports (`PublicNetwork`).
    """

    folder: Path
    asterisk: Asterisk
    language: str = "en"
    softphones: tuple[Softphone, ...] = ()
    timing: Timing = field(default_factory=Timing)
    more: str = ""
    settings_of_asterisk: str = ""
    account: tuple[str, str] | None = None
    rtcp_seconds: int = 5
    platform: Platform = field(init=False)
    network: PublicNetwork = field(init=False)
    client: Phone = field(init=False)
    consultant: Phone = field(init=False)

    def __post_init__(self) -> None:
        self.platform = Platform(
            self.folder / "platform",
            language=self.language,
            timing=self.timing,
            more=self.more,
            asterisk=self.settings_of_asterisk,
        )
        self.network = PublicNetwork(
            self.asterisk,
            self.folder / "network",
            platform_port=self.platform.sip_port,
            softphones=self.softphones,
            account=self.account,
            rtcp_seconds=self.rtcp_seconds,
        )

    async def start(self) -> None:
        """Start everything.

        Raises:
            SetupError: something could not be started.
        """
        await self.prepare()
        await asyncio.gather(self.network.start(), self.platform.start())

    async def prepare(self) -> None:
        """Write the platform's settings and fill its directory."""
        trunk = f'host = "{network.ADDRESS}"\nport = {self.network.sip_port}'
        self.platform.write(trunk, self.account)
        for kind, code, name in self.platform.database.do(self._fill_directory):
            await asyncio.to_thread(names.try_make, self.platform.settings, kind, code, name)
        self.client = self.network.phone("client", CLIENT_NUMBER, CLIENT_HERTZ)
        self.consultant = self.network.phone("consultant", CONSULTANT_NUMBER, CONSULTANT_HERTZ)

    async def registered(self) -> None:
        """Wait until the platform has registered with the carrier."""
        async with asyncio.timeout(10):
            while not await self.network.platform_registered():
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Stop everything, in whatever state it is."""
        results = await asyncio.gather(self.network.stop(), self.platform.stop(), return_exceptions=True)
        self.platform.database.close()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _fill_directory(self, session: Session) -> tuple[tuple[names.Kind, str, str], ...]:
        """Add the consultant and the client; return the names to synthesize."""
        settings = self.platform.settings
        camille = consultants.add_consultant(
            session,
            settings,
            name="Camille Martin",
            phone=CONSULTANT_NUMBER,
            price_per_minute=PRICE,
            language=self.language,
            recording_allowed=True,
        )
        alex = clients.add_client(
            session, settings, name="Alex Bernard", phones=[CLIENT_NUMBER], language=self.language
        )
        dids.add_number(session, settings, number=DID, consultant_code=camille.code, language=self.language)
        credit = to_minor(CREDIT, settings.currency_digits)
        postings.top_up(session, alex.id, credit, settings.platform.currency, "demo")
        return ("consultant", camille.code, camille.name), ("client", alex.code, alex.name)


@dataclass
class Call:
    """Measurements of the call. Times are in seconds after the client's hang-up.

    Attributes:
        id: the id of the call.
        stopped: when the platform had ended the talk.
        freed: when the consultant's phone was free, after the announcement of their share.
        priced: when the call was priced.
        recorded: when the MP3 was ready and its fee posted.
        left: number of channels left on both Asterisks at the end.
    """

    id: str = ""
    stopped: float = 0.0
    freed: float = 0.0
    priced: float = 0.0
    recorded: float = 0.0
    left: int = 0


async def live(everyone: Set, show: Callable[[float, str], None]) -> Call:
    """Run the call from dialling to hang-up, and return when it is priced and the MP3 is ready.

    Args:
        everyone: the running setup.
        show: called with the seconds since dialling and a sentence.

    Raises:
        TimeoutError: a step did not happen in time.
    """
    begin = time.monotonic()
    client, consultant, taxiphone = everyone.client, everyone.consultant, everyone.platform

    def tell(sentence: str) -> None:
        show(time.monotonic() - begin, sentence)

    tell(f"{client.number} dials {DID}")
    await client.dial(DID)
    call = Call(await taxiphone.new_call(set()))
    showing = asyncio.create_task(_show_marks(taxiphone, call.id, client.number, tell))
    try:
        await taxiphone.marked(call.id, "recording offered", _ALL_PRICES_SECONDS)
        await press_until(taxiphone, call.id, client, "1", "recording asked")
        await consultant.ringing()
        tell(f"the display shows {consultant.caller} ({consultant.caller_name})")
        await asyncio.sleep(1)
        await consultant.answer()
        await taxiphone.marked(call.id, "consultant answered")
        await press_until(taxiphone, call.id, consultant, "1", "accepted")
        await asyncio.gather(client.speak(), consultant.speak())
        await taxiphone.marked(call.id, "bridging")
        await asyncio.sleep(TALK_SECONDS)
        hung_up = time.monotonic()
        await client.hang_up()
        await taxiphone.marked(call.id, "left")
        call.stopped = time.monotonic() - hung_up
        await taxiphone.finished(call.id)
        call.priced = time.monotonic() - hung_up
        tell("priced, posted, receipt issued; the consultant hears the duration and their share")
        await consultant.ended(_ALL_DUE_SECONDS)
        call.freed = time.monotonic() - hung_up
        await taxiphone.until(lambda session: _recording_ready(session, call.id), "the MP3 is ready", 30)
        call.recorded = time.monotonic() - hung_up
        tell("the MP3 is ready")
        await taxiphone.marked(call.id, "ended")
    finally:
        showing.cancel()
    call.left = await everyone.network.channels() + await taxiphone.channels()
    return call


async def press_until(taxiphone: Platform, call_id: str, phone: Phone, keys: str, mark: str) -> None:
    """Press keys, repeatedly if necessary, until the platform has received them."""
    for _ in range(4):
        await phone.press(keys)
        try:
            await taxiphone.marked(call_id, mark, _KEY_AGAIN_SECONDS)
        except TimeoutError:
            continue
        return
    await taxiphone.marked(call_id, mark, _KEY_AGAIN_SECONDS)


async def _show_marks(taxiphone: Platform, call_id: str, caller: str, tell: Callable[[str], None]) -> None:
    """Show each step of the platform when it happens."""
    seen = 0
    while True:

        def later(session: Session, after: int = seen) -> list[CallEvent]:
            return list(
                session.scalars(
                    select(CallEvent)
                    .where(CallEvent.call_id == call_id, CallEvent.id > after)
                    .order_by(CallEvent.id)
                )
            )

        for mark in await taxiphone.database.query(later):
            seen = mark.id
            if mark.what in _STEPS:
                tell(_STEPS[mark.what].format(detail=mark.detail, caller=caller))
        await asyncio.sleep(0.05)


def _recording_ready(session: Session, call_id: str) -> Recording | None:
    return session.scalar(select(Recording).where(Recording.call_id == call_id, Recording.status == "ready"))
