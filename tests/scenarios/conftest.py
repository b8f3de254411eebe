"""A fake ARI that answers as Asterisk does, and people who behave as a table says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from taxiphone.ari_app.consultation import Consultation, House
from taxiphone.ari_app.router import Router
from taxiphone.ari_app.verbs import Lines
from taxiphone.billing import ledger
from taxiphone.directory import people
from taxiphone.errors import AriRequestError, NotFoundError
from taxiphone.settings import Settings
from taxiphone.store.database import Database
from taxiphone.store.models import Call

OWN_DID, SHARED_DID = "+33199001234", "+33199001235"
CLIENT, BLOCKED, POOR = "+33639980001", "+33639980003", "+33639980004"


@dataclass
class Consultants:
    """How the consultant's phone behaves: `does` is what happens to the ringing, `key` what is pressed afterwards."""

    does: str = "answers"  # answers, busy, declines, rings, unreachable
    key: str = "1"


@dataclass
class FakeAri:
    """Takes requests, keeps them, and sends the events that Asterisk would."""

    consultant: Consultants = field(default_factory=Consultants)
    client_keys: dict[str, str] = field(default_factory=dict)  # prompt -> keys pressed when it is heard
    client_gone_at: str | None = None  # the prompt, or the command, at which the client hangs up
    deaf_at: str | None = None  # the prompt whose end is never told
    requests: list[str] = field(default_factory=list)
    heard: dict[str, list[str]] = field(default_factory=dict)  # channel -> prompts
    variables: dict[str, str] = field(default_factory=dict)
    channels: set[str] = field(default_factory=set)
    bridges: set[str] = field(default_factory=set)
    joined: dict[str, list[str]] = field(default_factory=dict)
    playing: dict[str, str] = field(default_factory=dict)  # channel -> playback
    tells_playback_first: bool = True  # as Asterisk does; after a gap it is the other way round
    router: Router = field(init=False)

    async def wait_connected(self, seconds: float) -> None:
        assert seconds > 0

    async def request(self, method, path, query=None, _body=None):  # noqa: C901, PLR0912 - a table of Asterisk's answers
        query, parts = query or {}, path.split("/")
        self.requests.append(f"{method} {path}")
        match method, *parts:
            case "POST", "channels":
                self._originate(query)
            case "POST", "channels", channel, "play", name:
                self._need(channel)
                self._play(channel, name, query["media"])
            case "POST", "channels", channel, "variable":
                self._need(channel)
                self.variables[query["variable"]] = query["value"]
            case "POST" | "DELETE", "channels", channel, "answer" | "ring":
                self._need(channel)
                if self.client_gone_at == parts[2] and method == "POST":
                    self.hang_up(channel)
            case "DELETE", "channels", channel:
                self._need(channel)
                self.hang_up(channel)
            case "DELETE", "playbacks", _:
                pass
            case "POST", "bridges", bridge:
                self.bridges.add(bridge)
            case "DELETE", "bridges", bridge:
                if bridge not in self.bridges:
                    raise NotFoundError("no such bridge", 404)
                self.bridges.discard(bridge)
            case "GET", "bridges", bridge:
                if bridge not in self.bridges:
                    raise NotFoundError("no such bridge", 404)
                return {"channels": self.joined.get(bridge, [])}
            case "GET", "channels":
                return [{"id": channel} for channel in self.channels]
            case "GET", "applications", _:
                return {"channel_ids": list(self.channels)}
            case "GET", "playbacks", playback:
                raise NotFoundError(f"no playback {playback}", 404)
            case "POST", "bridges", bridge, "addChannel":
                for channel in query["channel"].split(","):
                    if channel not in self.channels:  # this one request answers 400, not 404
                        raise AriRequestError("Channel not found", 400)
                self.joined[bridge] = query["channel"].split(",")
                if self.client_gone_at == "talk":
                    self._later("c1")
                elif self.client_gone_at == "consultant leaves":
                    self._later(query["channel"].split(",")[1])
            case _:
                raise AssertionError(f"not a request that the application should make: {method} {path}")
        return None

    def _need(self, channel):
        if channel not in self.channels:
            raise NotFoundError(f"no channel {channel}", 404)

    def send(self, kind, channel, **more):
        self.router.route({"type": kind, "channel": {"id": channel}, **more})

    def _later(self, channel):
        asyncio.get_running_loop().call_later(0.02, self.hang_up, channel)

    def hang_up(self, channel, cause=16):
        if channel not in self.channels:
            return
        self.channels.discard(channel)
        playback = self.playing.pop(channel, None)
        if playback and self.tells_playback_first:
            self._finished(channel, playback)
        self.send("ChannelDestroyed", channel, cause=cause)

    def _finished(self, channel, playback):
        self.router.route(
            {"type": "PlaybackFinished", "playback": {"id": playback, "target_uri": f"channel:{channel}"}}
        )

    def _originate(self, query):
        channel = query["channelId"]
        self.channels.add(channel)
        soon = asyncio.get_running_loop().call_soon
        match self.consultant.does:
            case "answers":
                soon(lambda: self.send("StasisStart", channel, args=["consultant", "x"]))
            case "busy":
                soon(self.hang_up, channel, 17)
            case "declines":
                soon(self.hang_up, channel, 21)
            case "unreachable":
                soon(self.hang_up, channel, 20)

    def _play(self, channel, name, media):
        prompts = [sound.removeprefix("sound:taxiphone/") for sound in media.split(",")]
        self.heard.setdefault(channel, []).extend(prompts)
        self.playing[channel] = name
        loop = asyncio.get_running_loop()
        keys = ""
        if channel.endswith(".consultant"):
            if "accept-menu" in prompts:
                keys = self.consultant.key
        else:
            if self.client_gone_at in prompts:
                loop.call_soon(self.hang_up, channel)
                return
            for prompt, pressed in self.client_keys.items():
                if prompt in prompts:
                    keys = pressed
        if keys == "hang up":
            loop.call_soon(self.hang_up, channel)
            return
        for key in keys:
            loop.call_soon(lambda key=key: self.send("ChannelDtmfReceived", channel, digit=key))
        if self.deaf_at in prompts:
            return
        loop.call_soon(self._finished, channel, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request, tmp_path):
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return Settings(
        platform={"cli": "+33199001200", "language": "en"},
        trunk={"host": "127.0.0.2"},
        call={"ring_seconds": 1, "accept_seconds": 1, "key_seconds": 1},
        database={"url": url},
        file=tmp_path / "taxiphone.toml",
    )


@pytest.fixture
def database(settings):
    database = Database(settings.database_url)
    database.create_if_new()
    database.do(lambda session: fill(session, settings))
    yield database
    database.close()


def fill(session, settings):
    consultant = people.add_consultant(
        session,
        settings,
        name="Camille",
        phone="+33639980002",
        price_per_minute=Decimal("1.55"),
        code="1234",
        recording_allowed=True,
    )
    people.add_number(session, settings, number=OWN_DID, consultant_code=consultant.code)
    people.add_number(session, settings, number=SHARED_DID)
    for name, number, credit in (("Alex", CLIENT, 5000), ("Bo", BLOCKED, 5000), ("Cy", POOR, 154)):
        client = people.add_client(session, settings, name=name, phones=[number])
        ledger.top_up(session, client.id, credit, "EUR")
        client.blocked = number == BLOCKED


@pytest.fixture
def arrive(settings, database):
    """Let a call arrive: `arrive(ari, dialled=..., caller=...)` -> its consultation, to be run."""

    def arrive(ari, *, dialled=OWN_DID, caller=CLIENT):
        ari.router = Router(lambda *_: None)
        ari.channels.add("c1")
        leg = ari.router.open("c1")
        leg.entered.set()
        leg.told = True
        return Consultation(
            House(settings, database, Lines(ari, ari.router)), leg, dialled=dialled, caller=caller
        )

    return arrive


@pytest.fixture
def live(arrive, database):
    """Live one call: `await live(ari, dialled=..., caller=...)` -> its row; nothing is left of it."""

    async def live(ari, **numbers):
        consultation = arrive(ari, **numbers)
        async with asyncio.timeout(15):
            await consultation.run()
        assert not ari.channels, "a channel is left"
        assert not ari.bridges, "a bridge is left"
        assert len(ari.router) == 0, "a leg is left"
        return database.do(lambda session: session.get_one(Call, consultation.id))

    return live


@pytest.fixture
def fake_ari():
    return FakeAri


@pytest.fixture
def consultant():
    return Consultants
