"""The channels and bridges of the simulated Asterisk. Each change to them produces ARI events, CEL rows and notifications.

All changes are made here, whether caused by a request, a person at a telephone, or a time-out.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

from taxiphone.ari_app.ports import Event
from taxiphone.simulate.cel_log import CelLog
from taxiphone.simulate.channel import BY_TIMEOUT, Channel, Happening, Playback, What
from taxiphone.store.types import now

PACKETS = 50  # RTP packets per second in each direction (20 ms of audio each)


class Core:
    """The channels and bridges.

    Args:
        cel: the event log.
        length: returns how long a sound plays in a language, in seconds.
        send: sends an event to the application.

    Attributes:
        blocked: requests that Asterisk would have answered only when the sound that was playing had ended; until then it
            answers no other request either.
    """

    def __init__(
        self,
        cel: CelLog,
        length: Callable[[str, str], float],
        send: Callable[[Event], None],
    ) -> None:
        self.known: dict[str, Channel] = {}
        self.bridges: dict[str, list[str]] = {}
        self.listeners: list[Callable[[Happening], None]] = []
        # As Asterisk does; after a gap in the connection it is the other way round.
        self.tells_playback_first = True
        self.blocked: list[str] = []
        self._cel, self._length, self._send = cel, length, send
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)

    # -- channels --------------------------------------------------------------------------------------------

    def start(self, channel_id: str, number: str, linked: str = "") -> Channel:
        """Create a channel."""
        name = f"PJSIP/trunk-{next(self._numbers):08x}"
        channel = self.known[channel_id] = Channel(channel_id, name, number, linked or channel_id)
        self._write("CHAN_START", channel)
        return channel

    def answered(self, channel: Channel) -> None:
        """Answer a channel, as the application or a person."""
        if not channel.up:
            channel.up, channel.up_at = True, self._loop.time()
            self._write("ANSWER", channel)
            self.happen(What.ANSWERED, channel)

    def enter(self, channel: Channel, *args: str) -> None:
        """Let a channel enter the application."""
        channel.held = True
        self.tell("StasisStart", channel, args=list(args))

    def leave(self, channel: Channel) -> None:
        """Return a channel to the dialplan."""
        self.part(channel)
        channel.held = False
        self.tell("StasisEnd", channel)

    def end(self, channel: Channel, cause: int, by: str) -> None:
        """Hang up a channel, unless it has already been hung up."""
        if self.known.get(channel.id) is not channel:
            return
        self.tell("ChannelHangupRequest", channel, cause=cause)
        playing, channel.playbacks = channel.playbacks, []
        for timer in (*channel.timers.values(), *(each.timer for each in playing if each.timer)):
            timer.cancel()
        self.part(channel)
        del self.known[channel.id]
        source = channel.name if by in {"person", "network"} else ""
        self._write("HANGUP", channel, hangupcause=cause, hangupsource=source, dialstatus="")
        self._write("CHAN_END", channel)
        if not any(other.linked == channel.linked for other in self.known.values()):
            self._write("LINKEDID_END", channel)
        if self.tells_playback_first:
            self._all_finished(channel, playing)
        if channel.held:
            self.tell("StasisEnd", channel)
        self.tell("ChannelDestroyed", channel, cause=cause)
        if not self.tells_playback_first:
            self._all_finished(channel, playing)
        self.happen(What.ENDED, channel, cause=cause, by=by)

    def end_after(self, channel: Channel, seconds: float) -> None:
        """Set TIMEOUT(absolute): hang up after this many seconds; 0 cancels it."""
        if (before := channel.timers.pop("absolute", None)) is not None:
            before.cancel()
        if seconds > 0:
            channel.timers["absolute"] = self._loop.call_later(
                seconds, self.end, channel, BY_TIMEOUT, "asterisk"
            )

    def die(self, channel: Channel, *, never_sent: bool = False) -> None:
        """Let a channel stop sending packets. `never_sent`: it has never sent any, because its keys came by SIP INFO."""
        if never_sent:
            channel.up_at = math.inf
        if channel.dead_at is None:
            channel.dead_at = self._loop.time()
            self.happen(What.DIED, channel)

    def hold(self, channel: Channel, *, held: bool) -> None:
        """Put the call on hold from this phone, or resume it."""
        if self.known.get(channel.id) is channel:
            channel.variables["CHANNEL(rtp,hold)"] = str(int(held))
            self.tell("ChannelHold" if held else "ChannelUnhold", channel)

    def press(self, channel: Channel, key: str) -> None:
        """Press a key. This has no effect if the channel has gone, is dead, or isn't up."""
        if self.known.get(channel.id) is channel and channel.up and channel.dead_at is None:
            self.happen(What.PRESSED, channel, key=key)
            self.tell("ChannelDtmfReceived", channel, digit=key, duration_ms=100)

    def packets(self, channel: Channel) -> dict[str, int]:
        """Return the number of packets received and sent."""
        now = self._loop.time()
        until = now if channel.dead_at is None else channel.dead_at
        begin = channel.up_at if channel.up else now
        return {
            "rxcount": int(max(until - begin, 0) * PACKETS),
            "txcount": int(max(now - begin, 0) * PACKETS),
        }

    # -- bridges --------------------------------------------------------------------------------------------------

    def join(self, bridge: str, core: Iterable[Channel]) -> None:
        """Add channels to a bridge."""
        inside = self.bridges[bridge]
        for channel in core:
            if channel.bridge != bridge:
                self.part(channel)
                channel.bridge = bridge
                inside.append(channel.id)
                self._write("BRIDGE_ENTER", channel, bridge_id=bridge, bridge_technology="simple_bridge")
                self.tell("ChannelEnteredBridge", channel, bridge={"id": bridge})
        if len(inside) > 1:
            for channel_id in inside:
                self.happen(What.TALKS, self.known[channel_id])

    def part(self, channel: Channel) -> None:
        """Remove a channel from its bridge, if it is in one."""
        if channel.bridge is None:
            return
        bridge, channel.bridge = channel.bridge, None
        self.bridges[bridge].remove(channel.id)
        self._write("BRIDGE_EXIT", channel, bridge_id=bridge, bridge_technology="simple_bridge")
        self.tell("ChannelLeftBridge", channel, bridge={"id": bridge})
        self.happen(What.LEFT, channel)

    # -- sounds ---------------------------------------------------------------------------------------------------

    def set_variable(self, channel: Channel, name: str, value: str) -> None:
        """Set a channel variable or function; `ARRAY(a,b)` sets several, as in Asterisk's dialplan."""
        if channel.playbacks:
            self.blocked.append(f"variable {name}")
        if name.startswith("ARRAY("):
            names, values = name[len("ARRAY(") : -1].split(","), value.split(",")
        else:
            names, values = [name], [value]
        channel.variables |= zip(names, values, strict=True)
        if "TIMEOUT(absolute)" in names:
            self.end_after(channel, float(channel.variables["TIMEOUT(absolute)"]))

    def play(self, channel: Channel, playback: str, sounds: tuple[str, ...]) -> None:
        """Queue sounds after those that are already playing."""
        if channel.playbacks:
            self.blocked.append(f"play {playback}")
        channel.playbacks.append(Playback(playback, sounds))
        if len(channel.playbacks) == 1:
            self._begin(channel)

    def stop(self, playback: str) -> bool:
        """Stop a playback; return False if there is none of this name."""
        for channel in self.known.values():
            for each in channel.playbacks:
                if each.id == playback:
                    self.happen(What.CUT_SHORT, channel, sounds=each.sounds)
                    self._finish(channel, each)
                    return True
        return False

    def playing(self, playback: str) -> bool:
        """Tell whether a playback is playing or queued."""
        return any(each.id == playback for channel in self.known.values() for each in channel.playbacks)

    def _begin(self, channel: Channel) -> None:
        playback = channel.playbacks[0]
        self.happen(What.SAID, channel, sounds=playback.sounds)
        self._next(channel, playback)

    def _next(self, channel: Channel, playback: Playback) -> None:
        if playback.at >= len(playback.sounds):
            self._finish(channel, playback)
            return
        sound = playback.sounds[playback.at]
        playback.at += 1
        seconds = self._length(sound, channel.language)
        if not seconds:
            # The sound is missing: Asterisk continues with the next one, and reports a failure only for the last.
            playback.failed = playback.at == len(playback.sounds)
        playback.timer = self._loop.call_later(seconds, self._next, channel, playback)
        self.happen(What.HEARD, channel, sounds=(sound,))

    def _finish(self, channel: Channel, playback: Playback) -> None:
        if playback.timer is not None:
            playback.timer.cancel()
        first = channel.playbacks[0] is playback
        channel.playbacks.remove(playback)
        self._finished(channel, playback)
        if first and channel.playbacks:
            self._begin(channel)

    def _all_finished(self, channel: Channel, playbacks: list[Playback]) -> None:
        for playback in playbacks:
            self._finished(channel, playback)

    def _finished(self, channel: Channel, playback: Playback) -> None:
        state = "failed" if playback.failed else "done"
        told = {"id": playback.id, "target_uri": f"channel:{channel.id}", "state": state}
        self._send({"type": "PlaybackFinished", "timestamp": now().isoformat(), "playback": told})

    # -- events ---------------------------------------------------------------------------------------------

    def tell(self, kind: str, channel: Channel, **more: Any) -> None:
        """Send the application an event about a channel."""
        shown = {
            "id": channel.id,
            "name": channel.name,
            "protocol_id": f"{channel.id}@simulated",
            "language": channel.language,
            "caller": {"number": channel.number, "name": ""},
        }
        self._send({"type": kind, "channel": shown, **more})

    def tell_dial(self, channel: Channel, status: str) -> None:
        """Send the application the status of dialling a channel."""
        self._send({"type": "Dial", "peer": {"id": channel.id, "name": channel.name}, "dialstatus": status})

    def happen(self, what: What, channel: Channel, **more: Any) -> None:
        """Notify the listeners: the people, and the transcript of what they hear."""
        happening = Happening(self._loop.time(), what, channel, **more)
        for listener in tuple(self.listeners):
            listener(happening)

    def _write(self, event: str, channel: Channel, **extra: Any) -> None:
        note = channel.variables.get("CHANNEL(userfield)", "")
        self._cel.write(event, channel.id, channel.linked, channel.name, note=note, **extra)
