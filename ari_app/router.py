"""Routes each of Asterisk's events to the leg that it concerns. No decisions are made here.

A `Leg` is the inbox of one channel. It keeps what events report about the channel (answered, keys, finished playbacks,
gone), in Asterisk's order. It is opened before the channel is created, so that no event is missed. Commands wait on it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from taxiphone.ari_app.keypad import Keypad
from taxiphone.ari_app.ports import Event
from taxiphone.store.types import Moment, moment

Arrival = Callable[["Leg", Event], None]


class Leg:
    """The state of one channel, according to its events.

    Attributes:
        id: the channel's unique id.
        entered: set when it is in the application (StasisStart).
        answered: set when the phone that it rings has been picked up.
        gone: set when it has been hung up.
        hung_up: whether Asterisk has carried out a command to hang it up; `gone` follows.
        cause: the Q.850 cause of the hang-up; None before it, or if none was sent.
        dialled: the dial status: "", "RINGING", "PROGRESS", "ANSWER", "BUSY" ... (Dial events).
        confirmed: whether Asterisk is known to have created the channel.
        speaking: held while something is played to it. A request to play, or to set a variable, is answered by Asterisk only
            when what is playing has ended, and until then no other request of this program is answered.
        joined: when an event said that the channel had entered a bridge, by the bridge's id.
        parted: when an event said that it had left a bridge, by the bridge's id.
        on_hold: set while its phone has the call on hold, and may send nothing.
        off_hold: set while its phone does not have the call on hold.
        language: the language of its prompts; None if not known.
        sip_call_id: the Call-ID of its SIP dialog; None if not known yet.
        packets_before_answer: RTP packets received before it answered, such as early media.
    """

    def __init__(self, channel: str) -> None:
        self.id = channel
        self.entered = asyncio.Event()
        self.answered = asyncio.Event()
        self.gone = asyncio.Event()
        self.hung_up = False
        self.cause: int | None = None
        self.dialled = ""
        self.confirmed = False
        self.on_hold, self.off_hold = asyncio.Event(), asyncio.Event()
        self.off_hold.set()
        self.language: str | None = None
        self.sip_call_id: str | None = None
        self.packets_before_answer = 0
        self._keypad = Keypad()
        self.joined: dict[str, Moment] = {}
        self.parted: dict[str, Moment] = {}
        self._keys: deque[str] = deque()
        self._key_came = asyncio.Event()
        self.speaking = asyncio.Lock()
        self._playbacks: dict[str, asyncio.Event] = {}
        self._unheard: set[str] = set()  # playbacks whose sound could not be played

    def __repr__(self) -> str:
        return f"<Leg {self.id}{' gone' if self.gone.is_set() else ''}>"

    @property
    def held(self) -> bool:
        """Whether its phone has put the call on hold."""
        return self.on_hold.is_set()

    # -- what commands wait for ----------------------------------------------------------------------------------

    async def key(self) -> str | None:
        """Wait for the next key (DTMF, RFC 4733) that has not been read yet; None if the leg has gone."""
        while not self._keys:
            if self.gone.is_set():
                return None
            self._key_came.clear()
            await self._key_came.wait()
        return self._keys.popleft()

    def forget_keys(self) -> None:
        """Drop keys pressed so far, so that they aren't taken for an answer to the next question."""
        self._keys.clear()

    def expect_playback(self, playback: str) -> asyncio.Event:
        """An event that is set when a playback has finished. Call this before the playback is requested."""
        return self._playbacks.setdefault(playback, asyncio.Event())

    def forget_playback(self, playback: str) -> None:
        """Stop tracking a playback that is over or never began."""
        self._playbacks.pop(playback, None)
        self._unheard.discard(playback)

    def unheard(self, playback: str) -> bool:
        """Whether a playback's last sound could not be played. Call this before `forget_playback`."""
        return playback in self._unheard

    def confirm(self, *, entered: bool = False, answered: bool = False) -> None:
        """Note that the channel exists, as Asterisk answered a query. Its events may have been missed.

        Args:
            entered: whether it is in the application.
            answered: whether it is up.
        """
        self.confirmed = True
        if entered:
            self.entered.set()
        if answered:
            self.answered.set()

    def set_sip_call_id(self, sip_call_id: str) -> None:
        """Note its SIP Call-ID, as Asterisk answered a query."""
        self.sip_call_id = sip_call_id

    def set_packets_before_answer(self, packets: int) -> None:
        """Note that it has answered, and how many RTP packets of early media had arrived before."""
        self.packets_before_answer = packets

    def expect_return(self) -> None:
        """Note that it is about to leave the application for the dialplan; `entered` is set again when it returns."""
        self.entered.clear()

    # -- what the router calls ------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Apply an event of this channel."""
        self.confirmed = True
        self._dialog(event)
        self._moved(event)
        match event["type"]:
            case "StasisStart":
                self.language = event["channel"].get("language") or self.language
                self.entered.set()
            case "ChannelHold" | "ChannelUnhold":
                self.set_on_hold(event["type"] == "ChannelHold")
            case "ChannelDtmfReceived":
                if self._keypad.is_new_press(
                    event["digit"], _time_of(event), int(event.get("duration_ms", 0))
                ):
                    self._keys.append(event["digit"])
                    self._key_came.set()
            case "PlaybackFinished":
                self._playback_finished(event["playback"])
            case "Dial":
                self.dialled = event.get("dialstatus") or self.dialled
                if self.dialled == "ANSWER":
                    self.answered.set()
            case "ChannelHangupRequest":
                self.cause = event.get("cause") or self.cause
            case "ChannelDestroyed":
                self.cause = event.get("cause") or self.cause
                self.mark_gone()

    def _playback_finished(self, playback: Mapping[str, Any]) -> None:
        """Handle the end of a playback. Its state tells whether its last sound exists."""
        name = playback["id"]
        if name in self._playbacks:
            if playback.get("state") == "failed":
                self._unheard.add(name)
            self.playback_ended(name)

    def set_on_hold(self, held: bool) -> None:
        """Note that its phone has put the call on hold, or resumed it."""
        (self.on_hold.set if held else self.on_hold.clear)()
        (self.off_hold.clear if held else self.off_hold.set)()

    def _dialog(self, event: Event) -> None:
        """Note its SIP Call-ID, if the event has it. Otherwise `Channels.rtp_count` queries it."""
        if self.sip_call_id is None:
            channel = event.get("channel") or event.get("peer") or {}
            self.sip_call_id = channel.get("protocol_id") or None

    def _moved(self, event: Event) -> None:
        """Note when it entered a bridge, or left one."""
        if event["type"] == "ChannelEnteredBridge":
            self.joined.setdefault(str(event["bridge"]["id"]), moment())
        elif event["type"] == "ChannelLeftBridge":
            self.parted[str(event["bridge"]["id"])] = moment()

    def mark_gone(self) -> None:
        """Note that the channel has gone, and end all waits for its keys and playbacks."""
        self.gone.set()
        self._key_came.set()
        for finished in self._playbacks.values():
            finished.set()

    def playing(self) -> list[str]:
        """The playbacks that have not ended, according to the events."""
        return [name for name, finished in self._playbacks.items() if not finished.is_set()]

    def playback_ended(self, playback: str) -> None:
        """Note that a playback has ended."""
        if playback in self._playbacks:
            self._playbacks[playback].set()


class Router:
    """Finds legs by channel id, and passes unknown channels to `on_arrival`."""

    def __init__(self, on_arrival: Arrival) -> None:
        self._on_arrival = on_arrival
        self._legs: dict[str, Leg] = {}

    def open(self, channel: str) -> Leg:
        """The leg of a channel; created if there is none. Call this before the channel is created."""
        return self._legs.setdefault(channel, Leg(channel))

    def close(self, leg: Leg) -> None:
        """Drop a leg whose events are no longer needed."""
        self._legs.pop(leg.id, None)

    def route(self, event: Event) -> None:
        """Pass an event to its leg."""
        channel = _channel_of(event)
        if channel is None:
            return
        leg = self._legs.get(channel)
        if leg is None:
            if event["type"] != "StasisStart":
                return
            leg = self.open(channel)
            leg.apply(event)
            self._on_arrival(leg, event)
            return
        leg.apply(event)

    def known(self) -> list[Leg]:
        """The legs whose channels exist in Asterisk, according to the events."""
        return [leg for leg in self._legs.values() if leg.confirmed and not leg.gone.is_set()]

    def has(self, channel: str) -> bool:
        """Whether this channel has an open leg."""
        return channel in self._legs

    def __len__(self) -> int:
        return len(self._legs)


def _channel_of(event: Event) -> str | None:
    playback: dict[str, Any] | None = event.get("playback")
    if playback is not None:
        kind, _, name = str(playback.get("target_uri", "")).partition(":")
        return name if kind == "channel" else None
    channel = event.get("channel") or event.get("peer")  # Dial events call the called party "peer"
    # Events about a registration or a qualified contact have a "peer" that is not a channel.
    return None if channel is None or "id" not in channel else str(channel["id"])


def _time_of(event: Event) -> datetime | None:
    """When Asterisk made an event, by its clock; None if the event has no time."""
    try:
        return datetime.fromisoformat(str(event.get("timestamp")))
    except ValueError:
        return None
