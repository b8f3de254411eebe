"""A simulated Asterisk that answers the application's ARI requests and sends events as Asterisk does.

`docs/adr/0001` describes how the real one is used. The status codes of refused requests are taken from Asterisk's source
(res/ari/resource_*.c): 404 for a channel that does not exist, 409 for one that is not in the application; for bridges, 400
and 422 respectively.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from taxiphone.ari_app.ports import Event
from taxiphone.billing.metering import arrivals
from taxiphone.errors import AriRequestError, ConflictError, NotFoundError
from taxiphone.settings import Settings
from taxiphone.simulate import channel as causes
from taxiphone.simulate.cel_log import CelLog
from taxiphone.simulate.channel import Channel, What
from taxiphone.simulate.core import Core
from taxiphone.simulate.sound_lengths import SoundLengths
from taxiphone.store.types import now


class SimulatedAsterisk:
    """Implements `ari_app.ports.Ari` without a network.

    Args:
        settings: settings with the paths of the sounds and the event log, and the RTP time-out.
        on_row: called after each row of the event log, with its event.

    Attributes:
        application: the name of the application that owns the channels.
        on_event: called with each event; must be set before the first call.
        core: the channels and bridges.
        requests: all requests in order, such as "POST channels/1/answer".
        sounds: how long each sound plays.
        lost: a predicate; events for which it is true never reach the application.
    """

    def __init__(self, settings: Settings, on_row: Callable[[str], None] = lambda _: None) -> None:
        self.application = "taxiphone"
        self.on_event: Callable[[Event], None] = lambda _: None
        self.requests: list[str] = []
        self.sounds = SoundLengths(settings)
        self.lost: Callable[[Event], bool] = lambda _: False
        self._loop = asyncio.get_running_loop()
        self._language = settings.platform.language
        self.core = Core(
            CelLog(settings.cel_file, now, on_row),
            self.sounds.seconds,
            self._send,
        )

    # -- people ---------------------------------------------------------------------------------------

    def arrives(self, channel_id: str, *, dialled: str, caller: str) -> Channel:
        """Start a call from the trunk, which enters the application."""
        channel = self.core.start(channel_id, caller)
        channel.variables["CHANNEL(userfield)"] = arrivals.note_of("in", dialled, caller)
        channel.variables["CHANNEL(language)"] = self._language  # pjsip.conf
        self.core.happen(What.RINGS, channel)
        self.core.enter(channel, "inbound", dialled, "allowed", "", "", "", "")
        return channel

    def picks_up(self, channel: Channel) -> None:
        """Answer the ringing phone."""
        if not self._is_ringing(channel):
            return
        if (timer := channel.timers.pop("ring", None)) is not None:
            timer.cancel()
        self.core.answered(channel)
        self.core.tell_dial(channel, "ANSWER")

    def does_not_answer(self, channel: Channel, cause: int) -> None:
        """Let the ringing phone, or its network, refuse the call."""
        if self._is_ringing(channel):
            statuses = {causes.BUSY: "BUSY", causes.NO_ANSWER: "NOANSWER", causes.NO_USER: "NOANSWER"}
            self.core.tell_dial(channel, statuses.get(cause, "CHANUNAVAIL"))
            self.core.end(channel, cause, "person" if cause in {causes.BUSY, causes.DECLINED} else "network")

    def hangs_up(self, channel: Channel) -> None:
        """Hang up, as the person at the phone."""
        self.core.end(channel, causes.NORMAL, "person")

    def line_drops(self, channel: Channel) -> None:
        """Drop the line, as a network that signals it."""
        self.core.end(channel, causes.OUT_OF_ORDER, "network")

    def _is_ringing(self, channel: Channel) -> bool:
        return self.core.known.get(channel.id) is channel and not channel.up

    # -- requests --------------------------------------------------------------------------------

    async def run(
        self, on_event: Callable[[Event], None], on_connect: Callable[[], None] = lambda: None
    ) -> None:
        """Stay connected until cancelled."""
        self.on_event = on_event
        on_connect()
        await asyncio.Event().wait()

    def asterisk_has_gone(self) -> None:
        """Do nothing: the connection never ends."""

    async def wait_connected(self, seconds: float) -> None:
        """Return immediately: it is always connected."""
        if seconds <= 0:
            raise ValueError("it must be waited for a while")

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Carry out a request and answer it; see `ports.Ari.request`.

        Raises:
            AriRequestError: the request is refused, as by Asterisk.
        """
        await asyncio.sleep(0)  # Cancelled here, the request was not sent ...
        self.requests.append(f"{method} {path}")
        parts = [unquote(part) for part in path.split("/")]
        answer = self._do(method, parts, query or {}, body or {})
        await asyncio.sleep(0)  # ... and here it was sent, but the answer is lost.
        return answer

    def _do(self, method: str, parts: list[str], query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
        match method, *parts:
            case "POST", "channels", "create":
                answer: Any = self._create(query, body)
            case _, "channels", channel_id, *rest if rest or method == "GET":
                answer = self._about_channel(method, channel_id, rest, query)
            case "DELETE", "channels", channel_id:
                answer = self._hang_up(self._find(channel_id), int(query.get("reason_code", causes.NORMAL)))
            case _, "bridges", bridge, *rest:
                answer = self._about_bridge(method, bridge, rest, query)
            case "GET", ("asterisk" | "channels" | "bridges"), *_:
                answer = self._state(parts)
            case "PUT", "applications", _, "eventFilter":
                answer = None  # all events are sent; the application ignores the rest
            case (("GET" | "DELETE"), "playbacks", playback):
                if not (self.core.playing(playback) if method == "GET" else self.core.stop(playback)):
                    raise NotFoundError("Playback not found", 404)
                answer = {"id": playback} if method == "GET" else None
            case _:
                raise _unknown(method, parts)
        return answer

    def _state(self, parts: list[str]) -> Any:
        match parts:
            case ["asterisk", "info"]:
                return {"status": {"startup_time": "2026-11-22T08:00:00.000+0000"}}
            case ["bridges"]:
                return [self._shown(bridge) for bridge in self.core.bridges]
            case ["channels"]:
                return [_shown_channel(channel) for channel in self.core.known.values()]
            case _:
                raise _unknown("GET", parts)

    def _about_channel(self, method: str, channel_id: str, rest: list[str], query: Mapping[str, Any]) -> Any:
        channel = self._find(channel_id)
        if method == "GET":
            return {
                **_shown_channel(channel),
                "protocol_id": f"{channel.id}@simulated",
                "value": channel.variables.get(query.get("variable", ""), "0"),
                **self.core.packets(channel),
            }
        if not channel.held:
            raise ConflictError("Channel not in Stasis application", 409)
        match method, *rest:
            case "POST", "answer":
                self.core.answered(channel)
            case (("POST" | "DELETE"), ("ring" | "moh")):
                pass
            case "POST", "dial":
                self._dial(channel, float(query["timeout"]))
            case "POST", "play", playback:
                sounds = tuple(media.partition(":")[2] for media in query["media"].split(","))
                self.core.play(channel, playback, sounds)
            case "POST", "variable":
                self.core.set_variable(channel, query["variable"], str(query["value"]))
            case "POST", "continue":
                # The dialplan runs MixMonitor and returns the channel to the application.
                self.core.leave(channel)
                self.core.enter(channel, "consultant", channel.variables.get("TAXIPHONE_CALL", ""))
            case _:
                raise _unknown(method, ["channels", channel_id, *rest])
        return None

    def _about_bridge(self, method: str, bridge: str, rest: list[str], query: Mapping[str, Any]) -> Any:
        bridges = self.core.bridges
        if (method, rest) == ("POST", []):
            return self._make_bridge(bridge)
        if bridge not in bridges:
            raise NotFoundError("Bridge not found", 404)
        match method, *rest:
            case ("GET",):
                return self._shown(bridge)
            case ("DELETE",):
                for channel_id in tuple(bridges[bridge]):
                    self.core.part(self.core.known[channel_id])
                del bridges[bridge]
            case "POST", "addChannel":
                self.core.join(bridge, self._held_channels(query["channel"]))
            case "POST", "removeChannel":
                leaving = self._held_channels(query["channel"])
                if any(channel.bridge != bridge for channel in leaving):
                    raise AriRequestError("Channel not in this bridge", 422)
                for channel in leaving:
                    self.core.part(channel)
            case _:
                raise _unknown(method, ["bridges", bridge, *rest])
        return None

    def _make_bridge(self, bridge: str) -> Any:
        if bridge in self.core.bridges:
            raise ConflictError(f"Bridge with id '{bridge}' already exists", 409)
        self.core.bridges[bridge] = []
        return self._shown(bridge)

    def _hang_up(self, channel: Channel, cause: int) -> Any:
        if self._is_ringing(channel) and channel.id != channel.linked:
            self.core.tell_dial(channel, "CANCEL")
        self.core.end(channel, cause, "application")
        return None

    def _create(self, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
        channel_id = query["channelId"]
        if channel_id in self.core.known:
            raise ConflictError("Channel with given unique ID already exists", 409)
        number = query["endpoint"].partition("/")[2].partition("@")[0]
        channel = self.core.start(channel_id, number, query.get("originator", ""))
        channel.variables |= {name: str(value) for name, value in body.get("variables", {}).items()}
        self._loop.call_soon(self.core.enter, channel, *query["appArgs"].split(","))
        channel.held = True
        return _shown_channel(channel)

    def _dial(self, channel: Channel, seconds: float) -> None:
        channel.timers["ring"] = self._loop.call_later(
            seconds, self.does_not_answer, channel, causes.NO_ANSWER
        )
        self._loop.call_soon(self._rings, channel)

    def _rings(self, channel: Channel) -> None:
        if self._is_ringing(channel):
            self.core.tell_dial(channel, "RINGING")
            self.core.happen(What.RINGS, channel)

    def _find(self, channel_id: str) -> Channel:
        if channel_id not in self.core.known:
            raise NotFoundError("Channel not found", 404)
        return self.core.known[channel_id]

    def _held_channels(self, channels: str) -> list[Channel]:
        found = []
        for channel_id in channels.split(","):
            if channel_id not in self.core.known:
                raise AriRequestError("Channel not found", 400)
            if not self.core.known[channel_id].held:
                raise AriRequestError("Channel not in Stasis application", 422)
            found.append(self.core.known[channel_id])
        return found

    def _shown(self, bridge: str) -> dict[str, Any]:
        return {"id": bridge, "channels": list(self.core.bridges[bridge])}

    # -- events ----------------------------------------------------------------------------------------

    def _send(self, event: Event) -> None:
        if not self.lost(event):
            self._loop.call_soon(self.on_event, event)


def _shown_channel(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "state": "Up" if channel.up else "Down",
        "dialplan": {"app_name": "Stasis" if channel.held else ""},
    }


def _unknown(method: str, parts: list[str]) -> Exception:
    return NotImplementedError(f"the simulated Asterisk does not know {method} {'/'.join(parts)}")
