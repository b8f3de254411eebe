"""A platform whose carrier is a bare UDP socket, which can send what no correct SIP stack sends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
import pytest_asyncio
from sip_wire import Caller, Message, Wire, answer, key, sdp, wire
from sqlalchemy import func, select

from taxiphone.billing.ledger import postings
from taxiphone.demo.platform import Platform, Timing
from taxiphone.dialplan.asterisk import locate
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.directory import clients, consultants, dids
from taxiphone.store.models import Call

CARRIER = "127.0.0.4"
CLIENT, DID = "+33639980001", "+33199001234"
PHONES = tuple(f"+3363998100{number}" for number in range(1, 9))
HASH = 11


@dataclass
class Carrier:
    """The carrier's socket and the platform that uses it as its trunk."""

    wire: Wire
    platform: Platform
    account: tuple[str, str] | None = None
    callers: list[Caller] = field(default_factory=list)

    @property
    def to(self):
        return ("127.0.0.1", self.platform.sip_port)

    def caller(self, number: str = CLIENT, dialled: str = DID, **changed) -> Caller:
        """Return a caller who hasn't called yet. `changed` has headers of the dialog as bytes."""
        host = b"127.0.0.1:%d" % self.platform.sip_port
        made = Caller(
            self.wire,
            self.to,
            **{
                "uri": b"sip:%s@%s" % (dialled.encode(), host),
                "from_": b"<sip:%s@%s>" % (number.encode(), CARRIER.encode()),
                "to_": b"<sip:%s@%s>" % (dialled.encode(), host),
                **changed,
            },
        )
        self.callers.append(made)
        return made

    def rows(self) -> int:
        """Return the number of calls that the platform has recorded."""
        return self.platform.database.do(
            lambda session: session.scalar(select(func.count()).select_from(Call))
        )

    def ids(self) -> set[str]:
        return self.platform.database.do(lambda session: set(session.scalars(select(Call.id))))

    async def rings(self, caller: Caller) -> str:
        """Call, skip the price, and let the call reach the consultant's phones. Return its id."""
        before = self.ids()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp:
            rtp.bind((CARRIER, 0))
            media = rtp.getsockname()[1]
            await caller.invite(media=media)
            accepted = await caller.final()
            assert accepted.status == 200, accepted.text
            there = int(re.search(r"m=audio (\d+)", accepted.text)[1])
            call_id = await self.platform.new_call(before)
            await self.platform.marked(call_id, "price told")
            for turn in itertools.count():
                for packet in key(HASH, sequence=100 + 20 * turn, timestamp=16000 * (turn + 1)):
                    rtp.sendto(packet, ("127.0.0.1", there))
                    await asyncio.sleep(0.02)
                with contextlib.suppress(TimeoutError):
                    await self.platform.marked(call_id, "price heard", 2)
                    return call_id
        raise AssertionError

    async def rung(self, number: str, seconds: float = 10) -> Message:
        """Return the INVITE to one of the consultant's phones, after answering it with 100."""
        invite = await self.wire.next(
            lambda each: each.method == "INVITE" and f"sip:{number}@" in each.start, seconds
        )
        self.wire.send(answer(invite, 100, "Trying"), self.to)
        return invite

    async def accepts_registration(self) -> None:
        """Let the platform register."""
        register = await self.wire.next(lambda each: each.method == "REGISTER")
        contact = b"Contact: %s;expires=600" % register.header("Contact").encode()
        self.wire.send(answer(register, 200, "OK", contact), self.to)

    def says(self, invite: Message, status: int, reason: str, *more: bytes, body: bytes = b"") -> None:
        """Answer on the called phone."""
        self.wire.send(answer(invite, status, reason, *more, body=body), self.to)

    async def accepts(self, call_id: str, invite: Message) -> None:
        """Answer on the called phone and press 1."""
        contact = b"Contact: <sip:phone@%s:%d>" % (CARRIER.encode(), self.wire.address[1])
        there = int(re.search(r"m=audio (\d+)", invite.text)[1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp:
            rtp.bind((CARRIER, 0))
            media = rtp.getsockname()[1]
            self.says(invite, 200, "OK", contact, b"Content-Type: application/sdp", body=sdp(CARRIER, media))
            await self.platform.marked(call_id, "consultant answered")
            for turn in itertools.count():
                for packet in key(1, sequence=100 + 20 * turn, timestamp=16000 * (turn + 1)):
                    rtp.sendto(packet, ("127.0.0.1", there))
                    await asyncio.sleep(0.02)
                with contextlib.suppress(TimeoutError):
                    await self.platform.marked(call_id, "bridging", 2)
                    return

    async def reloads(self, command: str) -> None:
        """Run a command on the platform's Asterisk."""
        server = AsteriskServer(locate.find(self.platform.settings), self.platform.settings.asterisk_home)
        await server.rx(command)

    async def over(self) -> None:
        """Hang up every caller, and check that no channel is left."""
        for caller in self.callers:
            if caller.to_tag and caller.target:
                caller.send(b"BYE")
        self.callers.clear()
        async with asyncio.timeout(15):
            while await self.platform.channels():
                await asyncio.sleep(0.1)


def fill(platform: Platform) -> None:
    """A client with credit, and a consultant with two phones and a number."""

    def work(session):
        settings = platform.settings
        consultant = consultants.add_consultant(
            session,
            settings,
            name="Camille",
            phone=PHONES[0],
            price_per_minute=Decimal("1.55"),
            language="en",
            more_phones=PHONES[1:],
            recording_allowed=False,
        )
        client = clients.add_client(session, settings, name="Alex", phones=[CLIENT], language="en")
        dids.add_number(session, settings, number=DID, consultant_code=consultant.code, language="en")
        postings.top_up(session, client.id, 5000, "EUR", "first")

    platform.database.do(work)


@contextlib.asynccontextmanager
async def trunk(folder, *, account=None, more="", timing=None):
    """Create a separate platform with a socket as its carrier."""
    async with wire(CARRIER) as carrier:
        platform = Platform(folder, timing=timing or Timing(ring_seconds=5, accept_seconds=2, key_seconds=2))
        platform.write(f'host = "{CARRIER}"\nport = {carrier.address[1]}{more}', account)
        fill(platform)
        try:
            yield Carrier(carrier, platform, account)
        finally:
            await platform.stop()
            await platform.stop_stray_asterisk()
            platform.database.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def carrier_of_all(tmp_path_factory):
    """One platform for a module's tests."""
    async with trunk(tmp_path_factory.mktemp("trunk") / "platform") as made:
        await made.platform.start()
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def carrier(carrier_of_all):
    """The module's platform, with no calls at the start and the end of the test."""
    yield carrier_of_all
    await carrier_of_all.over()


@pytest.fixture
def own(tmp_path):
    """A platform for one test: `async with own(account=...) as carrier`."""

    def make(**options):
        return trunk(tmp_path / "platform", **options)

    return make


@pytest.fixture(scope="session")
def run():
    """Run a command and return its exit code and output."""

    async def run(*command):
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    return run
