"""A person at a terminal is client and consultant at once: asked where the call waits for one of them, and time waits too.

Nobody is asked while something is being said: what is pressed then counts as well after it. In the talk one says how
long it goes on, or what happens.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from taxiphone.simulate.asterisk import SimulatedAsterisk
from taxiphone.simulate.clock import VirtualTimeLoop
from taxiphone.simulate.line import BUSY, DECLINED, UNREACHABLE, Happening, Line, What
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
        asterisk: where the telephones are.
        channel: the client's.
        loop: whose time waits for the person.
        ask: asks (who, what can be said) and gives the line typed; None: nobody is there any more.
    """

    def __init__(self, asterisk: SimulatedAsterisk, channel: str, loop: VirtualTimeLoop, ask: Ask) -> None:
        self._asterisk, self._channel, self._loop, self._ask = asterisk, channel, loop, ask
        self._due: list[Line] = []  # who heard or noticed something, and was not asked since
        self._talking: dict[str, Line] = {}
        asterisk.lines.listeners.append(self)
        loop.before_jump = self._before_jump

    def leave(self) -> None:
        """The call is over."""
        self._asterisk.lines.listeners.remove(self)
        self._loop.before_jump = lambda: False

    def __call__(self, happening: Happening) -> None:
        """Something happened to somebody's line."""
        line = happening.line
        if line.linked != self._channel:
            return
        if happening.what in {What.SAID, What.ENDED} and line in self._due:
            self._due.remove(line)
        match happening.what:
            case What.SAID:
                self._due.append(line)
            case What.TALKS:
                self._due = [line]
            case What.RINGS if role(line)[0] == CONSULTANT:
                self._due = [*(each for each in self._due if not each.up), line]
        if happening.what is What.TALKS:
            self._talking[role(line)[0]] = line
        elif happening.what in {What.LEFT, What.ENDED}:
            self._talking.pop(role(line)[0], None)

    def _before_jump(self) -> bool:
        busy = any(line.playbacks for line in self._asterisk.lines.known.values())
        if busy or not self._due:
            return False
        line = self._due.pop(0)
        if len(self._talking) > 1:
            self._due.clear()
        self._loop.stand_still(asyncio.ensure_future(self._asked(line), loop=self._loop))
        return True

    async def _asked(self, line: Line) -> None:
        who, what = self._question(line)
        while (typed := await self._ask(who, what)) is not None:
            if self._understood(line, " ".join(typed.split()).lower()):
                return
        self._asterisk.hangs_up(line)

    def _question(self, line: Line) -> tuple[str, str]:
        if len(self._talking) > 1:
            return "talk", TALK_HELP
        return name(line), KEYS_HELP if line.up else RINGS_HELP

    def _understood(self, line: Line, typed: str) -> bool:
        if len(self._talking) > 1:
            return self._talk(line, typed)
        if not line.up:
            return self._ring(line, typed)
        if typed in {"hang up", "h"}:
            self._asterisk.hangs_up(line)
        elif _KEYS.fullmatch(typed):
            self._press(line, typed)
        else:
            return not typed
        return True

    def _ring(self, line: Line, typed: str) -> bool:
        if typed in {"", "answer"}:
            self._asterisk.picks_up(line)
        elif typed in _REFUSALS:
            self._asterisk.does_not_answer(line, _REFUSALS[typed])
        else:
            return typed == "ignore"
        return True

    def _talk(self, line: Line, typed: str) -> bool:
        if _SECONDS.fullmatch(typed):
            self._loop.call_later(float(typed), self._again, line)
            return True
        who, _, does = typed.partition(" ")
        if who not in {CLIENT, CONSULTANT}:
            return not typed
        actions = {
            "hangs up": self._asterisk.hangs_up,
            "drops": self._asterisk.line_drops,
            "dies": self._asterisk.lines.die,
        }
        if does in actions:
            actions[does](self._talking[who])
        elif _KEYS.fullmatch(does):
            self._press(self._talking[who], does)
            self._loop.call_later(len(does) * _BETWEEN_KEYS + 1, self._again, line)
        else:
            return False
        return True

    def _again(self, line: Line) -> None:
        if len(self._talking) > 1:
            self._due = [line]

    def _press(self, line: Line, keys: str) -> None:
        for number, key in enumerate(keys):
            self._loop.call_later(number * _BETWEEN_KEYS, self._asterisk.lines.press, line, key)
