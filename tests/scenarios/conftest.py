"""Calls on the simulated Asterisk, in virtual time, by people who follow a script, on both databases.

However a call goes, `live` asserts what must hold of every one: no channel, bridge, leg or hold is left, and nothing is
charged that was not talked.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import math
from decimal import Decimal

import pytest
import pytest_asyncio
from databases import FreshPostgres, FreshSqlite
from sqlalchemy import select, update

from taxiphone.ari_app import endings
from taxiphone.billing import ledger_check
from taxiphone.billing.ledger import balances, postings
from taxiphone.directory import clients, consultant_fields, consultants, dids
from taxiphone.settings import Settings
from taxiphone.simulate import clock
from taxiphone.simulate.channel import What
from taxiphone.simulate.people import ScriptedPeople
from taxiphone.simulate.script import deed
from taxiphone.simulate.story import name
from taxiphone.simulate.world import world as a_world
from taxiphone.store.calls import FINAL, Status
from taxiphone.store.models import Account, Call, Consultant

OWN_DID, SHARED_DID = "+33199001234", "+33199001235"
CLIENT, BLOCKED, POOR = "+33639980001", "+33639980003", "+33639980004"
DAY = 86_400

# By default, people do what lets the call continue.
USUAL = (
    "consultant rings: answer",
    "consultant hears accept-menu: press 1",
    "consultant hears accept-menu-recorded: press 1",
)


def pytest_asyncio_loop_factories(config, item):  # noqa: ARG001 - the hook's own names
    return {"virtual time": clock.VirtualTimeLoop}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave the hundreds of disturbed calls on PostgreSQL to `make test-all`. All other scenarios always run on both."""
    for item in items:
        if item.path.name == "test_disturbances.py" and "postgresql" in item.callspec.id:
            item.add_marker(pytest.mark.slow)


@functools.cache
def usual_settings():
    return Settings(platform={"cli": "+33199001200", "language": "en"}, trunk={"host": "127.0.0.2"})


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request):
    return request.param


@pytest.fixture
def settings(backend, tmp_path):  # noqa: ARG001 - each test is made for each database
    return usual_settings().model_copy(update={"file": tmp_path / "taxiphone.toml"})


def _usual(session):
    fill(session, usual_settings())


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory):
    made = FreshSqlite(tmp_path_factory.mktemp("sqlite"), _usual)
    yield made
    made.database.close()


@pytest.fixture(scope="session")
def postgresql(postgres):
    made = FreshPostgres(postgres, "scenario", _usual)
    yield made
    made.close()


@pytest.fixture
def database(request, backend):
    return request.getfixturevalue(backend).new()


@pytest.fixture(autouse=True)
def every_outcome_is_declared(caplog):
    """Check that a step ends a call only with an outcome that it declares and that docs/call-flow.md therefore lists."""
    yield
    assert [each for each in caplog.get_records("call") if each.name == endings.__name__] == []


def fill(session, settings):
    consultant = consultants.add_consultant(
        session,
        settings,
        name="Camille",
        phone="+33639980002",
        price_per_minute=Decimal("1.55"),
        code="1234",
        recording_allowed=True,
    )
    dids.add_number(session, settings, number=OWN_DID, consultant_code=consultant.code)
    dids.add_number(session, settings, number=SHARED_DID)
    for name_, number, credit in (("Alex", CLIENT, 5000), ("Bo", BLOCKED, 5000), ("Cy", POOR, 154)):
        client = clients.add_client(session, settings, name=name_, phones=[number])
        postings.top_up(session, client.id, credit, "EUR", "first")
        client.blocked = number == BLOCKED


class Ears:
    """What each person heard and how long they talked, as observed on their channels.

    A talk counts as long as packets come from both.
    """

    def __init__(self):
        self.heard = {}
        self.talked = 0.0
        self._inside, self._since = set(), None
        self._died = {}

    def __call__(self, happening):
        line = happening.channel
        match happening.what:
            case What.HEARD:
                sound = happening.sounds[0].removeprefix("taxiphone/")
                self.heard.setdefault(name(line), []).append(sound)
            case What.TALKS:
                self._inside.add(line.id)
                if len(self._inside) == 2 and self._since is None:
                    self._since = happening.at
            case What.DIED:
                self._died[line.id] = happening.at
            case What.LEFT:
                if self._since is not None:
                    ends = [happening.at, *(self._died[each] for each in self._inside & self._died.keys())]
                    self.talked += max(min(ends) - self._since, 0)
                    self._since = None
                self._inside.discard(line.id)

    def of(self, who):
        return self.heard.get(who, [])


@pytest.fixture
def ears():
    return Ears()


@pytest_asyncio.fixture
async def world(settings, database, ears):
    loop = asyncio.get_running_loop()
    with clock.wall_clock(loop):
        async with a_world(settings, database) as world:
            world.asterisk.core.listeners.append(ears)
            yield world


@pytest.fixture
def arrive(world):
    """Let a call arrive: `arrive(*script, dialled=..., caller=...)` returns the call, ready to run."""
    numbers, people = itertools.count(1), []

    def arrive(*script, dialled=OWN_DID, caller=CLIENT, between_keys=0.15):
        channel = f"c{next(numbers)}"
        deeds = [deed(line) for line in script]
        said = {(each.who, each.hears) for each in deeds if each.since is None}
        usual = [each for each in map(deed, USUAL) if (each.who, each.hears) not in said]
        if not world.asterisk.core.known:  # those of the calls before have nothing to listen to any more
            while people:
                people.pop().leave()
        people.append(ScriptedPeople(world.asterisk, [*deeds, *usual], channel, between_keys=between_keys))
        return world.arrive(dialled=dialled, caller=caller, channel=channel)

    return arrive


@pytest.fixture
def nothing_left(world):
    """Assert that no channel, bridge or leg is left."""

    def nothing_left():
        assert not world.asterisk.core.known, "a channel is left"
        assert not world.asterisk.core.bridges, "a bridge is left"
        assert len(world.router) == 0, "a leg is left"

    return nothing_left


@pytest.fixture
def only_talk_was_charged(database):
    """Assert that the call is priced for exactly what was talked; return its row."""

    def check(call_id, wallets, talked):
        def look(session):
            call = session.get_one(Call, call_id)
            _ = call.receipt, call.client
            held = balances.balance(session, postings.HOLD, call_id)
            return call, held, wallet_balances(session), ledger_check.check(session)

        call, held, left, problems = database.read(look)
        receipt = call.receipt
        assert problems == []
        assert call.status in FINAL
        assert (call.status == Status.RATED) is (receipt is not None)
        pending = receipt is not None and receipt.recording_pending
        fee = 500 if pending else 0
        assert held == fee, "a hold is left"
        paid = {
            client: wallets[client] - left[client] for client in wallets if wallets[client] != left[client]
        }
        total = 0 if receipt is None else receipt.total
        assert paid == ({str(call.client_id): total + fee} if total + fee else {})
        if receipt is None:
            assert talked == 0
        elif call.fault:
            assert total == 0
        elif call.heard_until is None and call.mode == "per_minute" and call.continues_id is None:
            assert call.billed_seconds == math.ceil(round(talked, 4))
            assert total == int(Decimal(call.billed_seconds) * 155 / 60 + Decimal("0.5"))
        return call

    return check


@pytest.fixture
def wallets(database):
    """Return the balance of each client before the test."""
    return database.read(wallet_balances)


@pytest.fixture
def live(world, arrive, database, ears, nothing_left, only_talk_was_charged):
    """Run one call and check that nothing is left: `await live(*script, dialled=..., caller=...)` returns its row."""

    async def live(*script, **more):
        wallets, before = database.read(wallet_balances), ears.talked
        arrived = arrive(*script, **more)
        async with asyncio.timeout(DAY):
            await world.live(arrived)
        nothing_left()
        return only_talk_was_charged(arrived.id, wallets, ears.talked - before)

    return live


def wallet_balances(session):
    wallets = session.query(Account).filter(Account.kind == postings.WALLET)
    return {account.owner: account.balance for account in wallets}


@pytest.fixture
def answering(world):
    """Let `special` handle each request first."""

    def answering(special):
        usual = world.asterisk.request

        async def request(method, path, query=None, body=None):
            found = await special(method, path)
            return found if found is not None else await usual(method, path, query, body)

        world.asterisk.request = request

    return answering


@pytest.fixture
def killed(world, arrive):
    """Run a call during which the program dies and is restarted: `await killed(when, *script)` returns its id.

    It dies when it makes the request for which `when(method, path)` is true.
    """

    async def killed(when, *script, **more):
        arrived = arrive(*script, **more)
        usual = world.asterisk.request

        async def nothing(*_):
            pass

        async def request(method, path, query=None, body=None):
            if when(method, path):
                arrived.call.end = nothing  # a program that is killed does nothing any more
                task.cancel()
                await asyncio.Event().wait()
            return await usual(method, path, query, body)

        world.asterisk.request = request
        task = asyncio.create_task(arrived.run())
        await asyncio.gather(task, return_exceptions=True)
        world.asterisk.request = usual
        world.start()
        return arrived.id

    return killed


@pytest.fixture
def change(database):
    """Change columns of all rows of a table: `change(Consultant, ring_at_once=True)`."""

    def change(table, **columns):
        database.do(lambda session: session.execute(update(table).values(columns)))

    return change


@pytest.fixture
def two_phones(database):
    """The consultant has two phones that ring at once."""

    def write(session):
        consultant = session.scalars(select(Consultant)).one()
        consultant.ring_at_once = True
        consultant_fields.set_more_phones(consultant, ["+33639980010"])

    database.do(write)


@pytest.fixture
def heard(world):
    """Do something the first time that somebody hears a prompt: `heard("client", "price-is", what)`."""

    def heard(who, prompt, what):
        def listen(happening):
            it_is = happening.what is What.HEARD and name(happening.channel) == who
            if it_is and happening.sounds[0].removeprefix("taxiphone/") == prompt:
                world.asterisk.core.listeners.remove(listen)
                what()

        world.asterisk.core.listeners.append(listen)

    return heard


@pytest.fixture
def row(database):
    """Return the current row of a call, with its receipt: `row(call_id)`."""

    def look(session, call_id):
        call = session.get_one(Call, call_id)
        _ = call.receipt
        return call

    return lambda call_id: database.read(lambda session: look(session, call_id))
