"""Lets a person at a terminal play both the client and the consultant.

The person is asked whenever the call waits for one of the two, and time stands still in the meantime. Nobody is asked
while a prompt is playing, because a key after the prompt counts just as well. During the talk, the person enters how long
it lasts, or what happens.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from taxiphone.simulate.asterisk import SimulatedAsterisk
from taxiphone.simulate.channel import BUSY, DECLINED, UNREACHABLE, Channel, Happening, What
from taxiphone.simulate.clock import VirtualTimeLoop
from taxiphone.simulate.people import role
from taxiphone.simulate.script import CLIENT, CONSULTANT
from taxiphone.simulate.story import name

_KEYS = re.compile(r"[0-9*#]+")
_SECONDS = re.compile(r"[0-9]{1,5}(\.[0-9]+)?")
_BETWEEN_KEYS = 0.15
_REFUSALS = {"busy": BUSY, "decline": DECLINED, "unreachable": UNREACHABLE}

KEYS_HELP = "keys, Enter for none, or: hang up"
RINGS_HELP = "Enter to answer, or: busy, decline, ignore, unreachable"
TALK_HELP = (
    "seconds to talk on, client KEYS, consultant KEYS, client or consultant hangs up, "
    "client or consultant drops or dies; Enter: until something happens"
)

Ask = Callable[[str, str], Awaitable[str | None]]


class PersonAtTerminal:
    """Plays all people of one call.

    Args:
        asterisk: the simulated Asterisk with the telephones.
        channel: the client's channel.
        loop: the event loop, whose time stops while the person is asked.
        ask: asks (who, possible answers) and returns the line typed; None at the end of input.
    """

    def __init__(self, asterisk: SimulatedAsterisk, channel_id: str, loop: VirtualTimeLoop, ask: Ask) -> None:
        self._asterisk, self._channel_id, self._loop, self._ask = asterisk, channel_id, loop, ask
        self._due: list[Channel] = []  # people who heard or noticed something and haven't been asked since
        self._talking: dict[str, Channel] = {}
        asterisk.core.listeners.append(self)
        loop.before_jump = self._before_jump

    def leave(self) -> None:
        """Stop listening, after the call."""
        self._asterisk.core.listeners.remove(self)
        self._loop.before_jump = lambda: False

    def __call__(self, happening: Happening) -> None:
        """React to something that happened to a channel."""
        channel = happening.channel
        if channel.linked != self._channel_id:
            return
        if happening.what in {What.SAID, What.ENDED} and channel in self._due:
            self._due.remove(channel)
        match happening.what:
            case What.SAID:
                self._due.append(channel)
            case What.TALKS:
                self._due = [channel]
            case What.RINGS if role(channel)[0] == CONSULTANT:
                self._due = [*(each for each in self._due if not each.up), channel]
        if happening.what is What.TALKS:
            self._talking[role(channel)[0]] = channel
        elif happening.what in {What.LEFT, What.ENDED}:
            self._talking.pop(role(channel)[0], None)

    def _before_jump(self) -> bool:
        busy = any(channel.playbacks for channel in self._asterisk.core.known.values())
        if busy or not self._due:
            return False
        channel = self._due.pop(0)
        if len(self._talking) > 1:
            self._due.clear()
        self._loop.stand_still(asyncio.ensure_future(self._asked(channel), loop=self._loop))
        return True

    async def _asked(self, channel: Channel) -> None:
        who, what = self._question(channel)
        while (typed := await self._ask(who, what)) is not None:
            if self._understood(channel, " ".join(typed.split()).lower()):
                return
        self._asterisk.hangs_up(channel)

    def _question(self, channel: Channel) -> tuple[str, str]:
        if len(self._talking) > 1:
            return "talk", TALK_HELP
        return name(channel), KEYS_HELP if channel.up else RINGS_HELP

    def _understood(self, channel: Channel, typed: str) -> bool:
        if len(self._talking) > 1:
            return self._talk(channel, typed)
        if not channel.up:
            return self._ring(channel, typed)
        if typed in {"hang up", "h"}:
            self._asterisk.hangs_up(channel)
        elif _KEYS.fullmatch(typed):
            self._press(channel, typed)
        else:
            return not typed
        return True

    def _ring(self, channel: Channel, typed: str) -> bool:
        if typed in {"", "answer"}:
            self._asterisk.picks_up(channel)
        elif typed in _REFUSALS:
            self._asterisk.does_not_answer(channel, _REFUSALS[typed])
        else:
            return typed == "ignore"
        return True

    def _talk(self, channel: Channel, typed: str) -> bool:
        if _SECONDS.fullmatch(typed):
            self._loop.call_later(float(typed), self._again, channel)
            return True
        who, _, does = typed.partition(" ")
        if who not in {CLIENT, CONSULTANT}:
            return not typed
        actions = {
            "hangs up": self._asterisk.hangs_up,
            "drops": self._asterisk.line_drops,
            "dies": self._asterisk.core.die,
        }
        if does in actions:
            actions[does](self._talking[who])
        elif _KEYS.fullmatch(does):
            self._press(self._talking[who], does)
            self._loop.call_later(len(does) * _BETWEEN_KEYS + 1, self._again, channel)
        else:
            return False
        return True

    def _again(self, channel: Channel) -> None:
        if len(self._talking) > 1:
            self._due = [channel]

    def _press(self, channel: Channel, keys: str) -> None:
        for number, key in enumerate(keys):
            self._loop.call_later(number * _BETWEEN_KEYS, self._asterisk.core.press, channel, key)
