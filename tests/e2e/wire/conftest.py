"""A platform whose carrier is written in Python, so a test controls every packet that reaches the platform."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from decimal import Decimal

import pytest
import pytest_asyncio
from softphone import Carrier, Line
from sqlalchemy import select

from taxiphone.billing.ledger import postings
from taxiphone.demo.platform import Platform, Timing
from taxiphone.demo.ports import free_port
from taxiphone.directory import clients, consultants, dids
from taxiphone.store.models import Call, CallEvent, Receipt

ADDRESS = "127.0.0.5"
SHARED_DID = "+33199001200"
_numbers = itertools.count(100)


@dataclass
class Wired:
    """A client and a consultant on the Python carrier.

    Attributes:
        call_id: of the call that `dial` has made.
        client: its line, once dialled.
        consultant: the consultant's, once it has rung.
    """

    platform: Platform
    carrier: Carrier
    number: int
    code: str
    call_id: str = ""
    client: Line | None = None
    consultant: Line | None = None

    @property
    def client_number(self) -> str:
        return f"+3363998{1}{self.number:03d}"

    @property
    def did(self) -> str:
        return f"+3363998{3}{self.number:03d}"

    async def dial(self, did=None):
        """Let the client call, and wait for the answer."""

        def ids(session):
            return set(session.scalars(select(Call.id)))

        before = await self.platform.database.query(ids)
        self.client = await self.carrier.dial(did or self.did, caller=self.client_number)
        self.call_id = await self.platform.new_call(before)

    async def ring(self, *, record=False):
        """Let the client call and skip the price, and the consultant answer and hear who is calling."""
        await self.dial()
        await self.marked("price told")
        await self.press_until("price heard", lambda: self.client.key("#"))
        if record:
            await self.press_until("recording asked", lambda: self.client.key("1"))
        await self.pick_up()

    async def pick_up(self):
        self.consultant = await self.carrier.rings()
        await self.consultant.answer()
        await self.marked("consultant answered")

    async def talk(self, *, accept=None, record=False):
        """Bring both into a talk in which neither has sent audio, only keys."""
        await self.ring(record=record)
        await self.press_until("accepted", accept or (lambda: self.consultant.key("1")))
        await self.marked("bridged")

    async def press_until(self, mark, press):
        """Press a key until it takes effect, because it counts only from the start of the question."""
        async with asyncio.timeout(20):
            while not self.marks(mark):
                await press()
                await asyncio.sleep(0.5)

    async def marked(self, what, seconds=20):
        return await self.platform.marked(self.call_id, what, seconds)

    def marks(self, what):
        return self.platform.database.do(
            lambda session: session.scalars(
                select(CallEvent).where(CallEvent.call_id == self.call_id, CallEvent.what == what)
            ).all()
        )

    def why(self):
        """Return the end reason that the program recorded; None if the talk continues."""
        return next((mark.detail for mark in self.marks("left")), None)

    def charged(self):
        """Return the total of the call's receipt, in cents."""
        return self.platform.database.do(
            lambda session: session.scalar(select(Receipt.total).where(Receipt.call_id == self.call_id))
        )

    async def finished(self):
        """Hang up both lines and return the call's row once it is priced."""
        await asyncio.gather(*(line.hang_up() for line in (self.client, self.consultant) if line))
        await self.marked("ended")
        return await self.platform.finished(self.call_id)


@pytest.fixture(scope="module")
def timing():
    """The platform's time-outs. A module that needs others overrides this fixture."""
    return Timing(ring_seconds=10, accept_seconds=5, key_seconds=4, rtp_timeout_seconds=4, one_way_seconds=2)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def wired(tmp_path_factory, timing):
    """Create a client and a consultant who have never called: `wired(recording_allowed=True)`."""
    port = free_port(ADDRESS)
    platform = Platform(tmp_path_factory.mktemp("wire") / "platform", timing=timing)
    platform.write(f'host = "{ADDRESS}"\nport = {port}')
    try:
        await platform.start()
        async with Carrier(ADDRESS, port, platform=(("127.0.0.1"), platform.sip_port)) as carrier:

            def make(**consultant):
                number = next(_numbers)
                made = Wired(platform, carrier, number, consultant.pop("code", str(number)))

                def fill(session):
                    settings = platform.settings
                    consultants.add_consultant(
                        session,
                        settings,
                        name=f"Consultant {number}",
                        phone=f"+3363998{2}{number:03d}",
                        price_per_minute=Decimal("1.55"),
                        code=made.code,
                        language="en",
                        **{"recording_allowed": False, **consultant},
                    )
                    client = clients.add_client(
                        session, settings, name=f"Client {number}", phones=[made.client_number], language="en"
                    )
                    dids.add_number(session, settings, number=made.did, consultant_code=made.code)
                    if not dids.did(session, SHARED_DID):
                        dids.add_number(session, settings, number=SHARED_DID)
                    postings.top_up(session, client.id, 5000, "EUR", "first")

                platform.database.do(fill)
                return made

            yield make
    finally:
        await platform.stop()
        await platform.stop_stray_asterisk()
        platform.database.close()
