"""One platform and one public network for all tests of a module, with people who call and are called."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from dataclasses import dataclass
from decimal import Decimal

import pytest
import pytest_asyncio
from sqlalchemy import select

from taxiphone.billing.ledger import balances, postings
from taxiphone.billing.ledger_check import check
from taxiphone.demo.network import PublicNetwork
from taxiphone.demo.phone import Phone
from taxiphone.demo.platform import Platform, Timing
from taxiphone.demo.story import Set, press_until
from taxiphone.dialplan.asterisk import locate
from taxiphone.directory import clients, consultants, dids
from taxiphone.store.calls import Outcome
from taxiphone.store.database import Database
from taxiphone.store.models import Call, Recording

_numbers = itertools.count(100)


@dataclass
class Cast:
    """A client and a consultant with their phones, and the number to dial."""

    everyone: Set
    client: Phone
    consultant: Phone
    did: str
    consultant_code: str
    credit: int

    @property
    def platform(self) -> Platform:
        return self.everyone.platform

    async def dial(self, did=None, **options):
        """Let the client dial, and return the call's id. Only one call at a time may arrive at a number."""
        did = did or self.did

        def calls(session):
            return set(session.scalars(select(Call.id).where(Call.dialled == did)))

        before = self.platform.database.do(calls)
        await self.client.dial(did, **options)
        [call_id] = await self.platform.until(lambda session: calls(session) - before, "a call arrives")
        return call_id

    async def press(self, call_id, phone, keys, mark):
        await press_until(self.platform, call_id, phone, keys, mark)

    async def ring(self, *, record=None):
        """Dial, skip the price, answer any recording question, and let the phone ring. Return the call's id."""
        call_id = await self.dial()
        await self.platform.marked(call_id, "price told")
        await self.press(call_id, self.client, "#", "price heard")
        if record is not None:
            await self.platform.marked(call_id, "recording offered", 30)
            await self.press(call_id, self.client, "1" if record else "2", "recording asked")
        await self.consultant.ringing(30)
        return call_id

    async def connect(self, *, record=False):
        """Let the two talk, and return the call's id."""
        call_id = await self.ring(record=record)
        await self.consultant.answer()
        await self.platform.marked(call_id, "consultant answered")
        await self.press(call_id, self.consultant, "1", "accepted")
        await asyncio.gather(self.client.speak(), self.consultant.speak())
        await self.platform.marked(call_id, "bridged")
        return call_id

    async def finished(self, call_id, seconds=60):
        """Return the call's row once it is priced and no channel is left.

        After a talk, who is left on the line hangs up as well: what they would hear is not every test's matter.
        """
        call = await self.platform.finished(call_id, seconds)
        if call.outcome == Outcome.TALKED:
            await asyncio.gather(self.client.hang_up(), self.consultant.hang_up())
        await self.client.ended(5)
        await self.platform.marked(call_id, "ended")
        for leg in (self.client.leg, self.consultant.leg):
            assert leg is None or leg.gone.is_set()
        # As it is now: the meter may have been done with it before the program had written how it ended.
        return await self.platform.finished(call_id)

    async def recorded(self, call_id):
        return await self.platform.until(
            lambda session: session.scalar(
                select(Recording).where(
                    Recording.call_id == call_id, Recording.status.in_(["ready", "failed"])
                )
            ),
            "the MP3",
        )

    def wallet(self):
        def look(session):
            number = self.client.number
            client = clients.client_calling(session, number)
            return balances.balance(session, "wallet", client.id)

        return self.platform.database.do(look)

    async def nothing_left(self):
        """Assert that no channel is left on either side and that the ledger balances."""
        assert await self.platform.channels() == 0
        assert await self.everyone.network.channels() == 0
        assert self.platform.database.do(check) == []


@pytest.fixture(scope="session", autouse=True)
def migrated_once(tmp_path_factory):
    """A new database, which every platform copies, because running the migrations takes a second."""
    prepared = tmp_path_factory.mktemp("database") / "taxiphone.db"
    database = Database(f"sqlite:///{prepared}")
    database.create_if_new()
    database.close()
    create = Database.create_if_new

    def copied(self):
        if self.file is not None and not self.file.exists():
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.file.touch(0o600)
            shutil.copyfile(prepared, self.file)
        create(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "create_if_new", copied)
        yield


@pytest.fixture(scope="session", autouse=True)
def tones_made_once(tmp_path_factory):
    """Every network gets a link to the same tones of its phones: two minutes of a tone take half a second to make."""
    made = tmp_path_factory.mktemp("tones")
    phone = PublicNetwork.phone

    def with_tone(self, name, number, hertz):
        tone, own = made / f"{hertz}.wav", self.server.folders.data / "tones" / f"{hertz}.wav"
        if tone.exists() and not own.exists():
            own.parent.mkdir(parents=True, exist_ok=True)
            own.hardlink_to(tone)
        result = phone(self, name, number, hertz)
        if not tone.exists():
            tone.hardlink_to(own)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PublicNetwork, "phone", with_tone)
        yield


@pytest.fixture(scope="session")
def asterisk():
    return locate.find(None)


@pytest.fixture(scope="module")
def timing():
    """The platform's time-outs. A module that needs others overrides this fixture."""
    return Timing(ring_seconds=4, accept_seconds=2, key_seconds=2)


@pytest.fixture(scope="module")
def more_settings():
    """Further sections of the settings file. A module may override it."""
    return ""


@pytest.fixture(scope="module")
def rtcp_seconds():
    """The seconds between two RTCP reports of a phone. A module may override it."""
    return 5


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def everyone(asterisk, tmp_path_factory, timing, more_settings, rtcp_seconds):
    """The platform and the public network, running."""
    folder = tmp_path_factory.mktemp("set")
    made = Set(folder, asterisk, timing=timing, more=more_settings, rtcp_seconds=rtcp_seconds)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
        await made.platform.stop_stray_asterisk()


@pytest.fixture
def cast(everyone):
    """Create a client and a consultant who have never called: `cast(price="1.55", credit=5000)`."""

    def make(*, price="1.55", credit=5000, language="en", blocked=False, **consultant):
        number = next(_numbers)
        client_number, consultant_number, did = (f"+3363998{kind}{number:03d}" for kind in (1, 2, 3))

        def fill(session):
            settings = everyone.platform.settings
            added = consultants.add_consultant(
                session,
                settings,
                name=f"Consultant {number}",
                phone=consultant_number,
                price_per_minute=Decimal(price),
                language=language,
                **{"recording_allowed": True, **consultant},
            )
            client = clients.add_client(
                session, settings, name=f"Client {number}", phones=[client_number], language=language
            )
            client.blocked = blocked
            dids.add_number(session, settings, number=did, consultant_code=added.code, language=language)
            if credit:
                postings.top_up(session, client.id, credit, "EUR", "first")
            return added.code

        code = everyone.platform.database.do(fill)
        return Cast(
            everyone,
            everyone.network.phone(f"client{number}", client_number, 700),
            everyone.network.phone(f"consultant{number}", consultant_number, 1100),
            did,
            code,
            credit,
        )

    return make
