"""The channels and bridges of the simulated Asterisk: what happens to them, told as events, CEL rows and happenings.

Everything goes through here, whoever causes it: a request of the application's, a person at a telephone, or time.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

from taxiphone.ari_app.client import Event
from taxiphone.simulate.cel_log import CelLog
from taxiphone.simulate.line import BY_TIMEOUT, Happening, Line, Playback, What
from taxiphone.store.types import now

PACKETS = 50  # of RTP a second, each way (20 ms of sound in each)


class Lines:
    """All of them.

    Args:
        cel: the event log.
        length: how long a sound plays in a language, in seconds.
        send: gives an event to the application.
    """

    def __init__(
        self,
        cel: CelLog,
        length: Callable[[str, str], float],
        send: Callable[[Event], None],
    ) -> None:
        self.known: dict[str, Line] = {}
        self.bridges: dict[str, list[str]] = {}
        self.listeners: list[Callable[[Happening], None]] = []
        self.tells_playback_first = True  # as Asterisk does; after a gap it is the other way round
        self._cel, self._length, self._send = cel, length, send
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)

    # -- a line's life --------------------------------------------------------------------------------------------

    def start(self, channel: str, number: str, linked: str = "") -> Line:
        """A new channel."""
        name = f"PJSIP/trunk-{next(self._numbers):08x}"
        line = self.known[channel] = Line(channel, name, number, linked or channel)
        self._write("CHAN_START", line)
        return line

    def answered(self, line: Line) -> None:
        """It is answered, by the application or by a person."""
        if not line.up:
            line.up, line.up_at = True, self._loop.time()
            self._write("ANSWER", line)
            self.happen(What.ANSWERED, line)

    def enter(self, line: Line, *args: str) -> None:
        """It comes into the application."""
        line.held = True
        self.tell("StasisStart", line, args=list(args))

    def leave(self, line: Line) -> None:
        """It goes back to the dialplan."""
        self.part(line)
        line.held = False
        self.tell("StasisEnd", line)

    def end(self, line: Line, cause: int, by: str) -> None:
        """It is hung up; nothing to do where it has been."""
        if self.known.get(line.id) is not line:
            return
        self.tell("ChannelHangupRequest", line, cause=cause)
        playing, line.playbacks = line.playbacks, []
        for timer in (*line.timers.values(), *(each.timer for each in playing if each.timer)):
            timer.cancel()
        self.part(line)
        del self.known[line.id]
        source = line.name if by in {"person", "network"} else ""
        self._write("HANGUP", line, hangupcause=cause, hangupsource=source, dialstatus="")
        self._write("CHAN_END", line)
        if not any(other.linked == line.linked for other in self.known.values()):
            self._write("LINKEDID_END", line)
        if self.tells_playback_first:
            self._all_finished(line, playing)
        if line.held:
            self.tell("StasisEnd", line)
        self.tell("ChannelDestroyed", line, cause=cause)
        if not self.tells_playback_first:
            self._all_finished(line, playing)
        self.happen(What.ENDED, line, cause=cause, by=by)

    def end_after(self, line: Line, seconds: float) -> None:
        """Asterisk's TIMEOUT(absolute): it is hung up so long from now; 0 takes that back."""
        if (before := line.timers.pop("absolute", None)) is not None:
            before.cancel()
        if seconds > 0:
            line.timers["absolute"] = self._loop.call_later(seconds, self.end, line, BY_TIMEOUT, "asterisk")

    def die(self, line: Line, *, never_sent: bool = False) -> None:
        """No packet comes from it any more; `never_sent`: nor has one ever come, since its keys came by SIP INFO."""
        if never_sent:
            line.up_at = math.inf
        if line.dead_at is None:
            line.dead_at = self._loop.time()
            self.happen(What.DIED, line)

    def hold(self, line: Line, *, held: bool) -> None:
        """Its phone puts the call on hold, or comes back."""
        if self.known.get(line.id) is line:
            line.variables["CHANNEL(rtp,hold)"] = str(int(held))
            self.tell("ChannelHold" if held else "ChannelUnhold", line)

    def press(self, line: Line, key: str) -> None:
        """A key is pressed; nothing comes of it where the line has gone, died, or is not up."""
        if self.known.get(line.id) is line and line.up and line.dead_at is None:
            self.happen(What.PRESSED, line, key=key)
            self.tell("ChannelDtmfReceived", line, digit=key, duration_ms=100)

    def packets(self, line: Line) -> dict[str, int]:
        """How many packets have come and gone."""
        now = self._loop.time()
        until = now if line.dead_at is None else line.dead_at
        begin = line.up_at if line.up else now
        return {
            "rxcount": int(max(until - begin, 0) * PACKETS),
            "txcount": int(max(now - begin, 0) * PACKETS),
        }

    # -- bridges --------------------------------------------------------------------------------------------------

    def join(self, bridge: str, lines: Iterable[Line]) -> None:
        """Lines enter a bridge."""
        inside = self.bridges[bridge]
        for line in lines:
            if line.bridge != bridge:
                self.part(line)
                line.bridge = bridge
                inside.append(line.id)
                self._write("BRIDGE_ENTER", line, bridge_id=bridge, bridge_technology="simple_bridge")
                self.tell("ChannelEnteredBridge", line, bridge={"id": bridge})
        if len(inside) > 1:
            for channel in inside:
                self.happen(What.TALKS, self.known[channel])

    def part(self, line: Line) -> None:
        """A line leaves its bridge, where it is in one."""
        if line.bridge is None:
            return
        bridge, line.bridge = line.bridge, None
        self.bridges[bridge].remove(line.id)
        self._write("BRIDGE_EXIT", line, bridge_id=bridge, bridge_technology="simple_bridge")
        self.tell("ChannelLeftBridge", line, bridge={"id": bridge})
        self.happen(What.LEFT, line)

    # -- sounds ---------------------------------------------------------------------------------------------------

    def play(self, line: Line, playback: str, sounds: tuple[str, ...]) -> None:
        """Play sounds after those that are playing."""
        line.playbacks.append(Playback(playback, sounds))
        if len(line.playbacks) == 1:
            self._begin(line)

    def stop(self, playback: str) -> bool:
        """Stop a playback; False where there is none of this name."""
        for line in self.known.values():
            for each in line.playbacks:
                if each.id == playback:
                    self.happen(What.CUT_SHORT, line, sounds=each.sounds)
                    self._finish(line, each)
                    return True
        return False

    def playing(self, playback: str) -> bool:
        """Whether it is playing, or waits for its turn."""
        return any(each.id == playback for line in self.known.values() for each in line.playbacks)

    def _begin(self, line: Line) -> None:
        playback = line.playbacks[0]
        self.happen(What.SAID, line, sounds=playback.sounds)
        self._next(line, playback)

    def _next(self, line: Line, playback: Playback) -> None:
        if playback.at >= len(playback.sounds):
            self._finish(line, playback)
            return
        sound = playback.sounds[playback.at]
        playback.at += 1
        seconds = self._length(sound, line.language)
        if not seconds:
            # There is no such sound: Asterisk goes on with the next, and says so of the last only.
            playback.failed = playback.at == len(playback.sounds)
            for kind in ("PlaybackStarted", "PlaybackContinuing"):
                self._tell_playback(kind, line, playback)
        playback.timer = self._loop.call_later(seconds, self._next, line, playback)
        self.happen(What.HEARD, line, sounds=(sound,))

    def _finish(self, line: Line, playback: Playback) -> None:
        if playback.timer is not None:
            playback.timer.cancel()
        first = line.playbacks[0] is playback
        line.playbacks.remove(playback)
        self._finished(line, playback)
        if first and line.playbacks:
            self._begin(line)

    def _all_finished(self, line: Line, playbacks: list[Playback]) -> None:
        for playback in playbacks:
            self._finished(line, playback)

    def _finished(self, line: Line, playback: Playback) -> None:
        self._tell_playback("PlaybackFinished", line, playback, "failed" if playback.failed else "done")

    def _tell_playback(self, kind: str, line: Line, playback: Playback, state: str = "playing") -> None:
        told = {"id": playback.id, "target_uri": f"channel:{line.id}", "state": state}
        self._send({"type": kind, "timestamp": now().isoformat(), "playback": told})

    # -- what is told ---------------------------------------------------------------------------------------------

    def tell(self, kind: str, line: Line, **more: Any) -> None:
        """Send the application an event about a line."""
        channel = {
            "id": line.id,
            "name": line.name,
            "protocol_id": f"{line.id}@simulated",
            "caller": {"number": line.number, "name": ""},
        }
        self._send({"type": kind, "channel": channel, **more})

    def tell_dial(self, line: Line, status: str) -> None:
        """Send the application how far the dialling of a line has come."""
        self._send({"type": "Dial", "peer": {"id": line.id, "name": line.name}, "dialstatus": status})

    def happen(self, what: What, line: Line, **more: Any) -> None:
        """Tell whoever listens: the people, and who writes down what they hear."""
        happening = Happening(self._loop.time(), what, line, **more)
        for listener in tuple(self.listeners):
            listener(happening)

    def _write(self, event: str, line: Line, **extra: Any) -> None:
        note = line.variables.get("CHANNEL(userfield)", "")
        self._cel.write(event, line.id, line.linked, line.name, note=note, **extra)
