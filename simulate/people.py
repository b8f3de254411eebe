"""People at the simulated Asterisk's telephones, who do what their deeds say, when it is time for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from taxiphone.simulate.asterisk import SimulatedAsterisk
from taxiphone.simulate.lines import (
    BUSY,
    DECLINED,
    UNREACHABLE,
    Happening,
    Line,
    What,
)
from taxiphone.simulate.script import CLIENT, CONSULTANT, Deed, Does
from taxiphone.store.calls import CONSULTANT_LEG

_BETWEEN_KEYS = 0.15  # seconds
_REACTS = 0.4  # seconds from what is heard to the first key
_PICKS_UP = 2.0  # seconds that a phone rings
_REFUSALS = {Does.BUSY: BUSY, Does.DECLINE: DECLINED, Does.UNREACHABLE: UNREACHABLE}


def role(line: Line) -> tuple[str, int]:
    """Whose line it is, and the number of the consultant's phone (0: the client's)."""
    _, is_consultants, number = line.id.partition(CONSULTANT_LEG)
    if not is_consultants:
        return CLIENT, 0
    return CONSULTANT, int(number.removeprefix(".") or 1)


class ScriptedPeople:
    """The client and the consultant of one call.

    Args:
        asterisk: where their telephones are.
        deeds: what they do; who has nothing to do is silent, and a phone that no deed speaks of rings in vain.
        channel: the client's.

    Attributes:
        left: deeds that were never done.
    """

    def __init__(self, asterisk: SimulatedAsterisk, deeds: Iterable[Deed], channel: str) -> None:
        self._asterisk, self._channel = asterisk, channel
        self._deeds = list(deeds)
        self._loop = asyncio.get_running_loop()
        self._talking: dict[str, Line] = {}
        self.left = list(self._deeds)
        asterisk.lines.listeners.append(self)

    def leave(self) -> None:
        """The call is over, and what happens now is another's."""
        self._asterisk.lines.listeners.remove(self)

    def __call__(self, happening: Happening) -> None:
        """Something happened to somebody's line."""
        line = happening.line
        if line.linked != self._channel:
            return
        who, phone = role(line)
        match happening.what:
            case What.RINGS if who == CONSULTANT:
                wait = _PICKS_UP
                found = self._next(who, phone, None)
            case What.HEARD:
                wait = _REACTS
                found = self._next(who, phone, happening.sounds[0].removeprefix("taxiphone/"))
            case What.TALKS:
                self._talks(who, line)
                return
            case _:
                return
        if found is not None:
            self._done(found)
            wait = found.after or (0.0 if found.does in {Does.HANG_UP, Does.DROP, Does.DIE} else wait)
            self._loop.call_later(wait, self._do, found, line)

    def _talks(self, who: str, line: Line) -> None:
        began = len(self._talking) == len({CLIENT, CONSULTANT})
        self._talking[who] = line
        if not began and len(self._talking) == len({CLIENT, CONSULTANT}):
            for each in self._deeds:
                if each.talking is not None:
                    self._loop.call_later(each.talking, self._do, each, self._talking[each.who])

    def _next(self, who: str, phone: int, prompt: str | None) -> Deed | None:
        """The deed that is due: those of this very phone first; each in turn, and the last one holds."""
        ours = [
            each
            for each in self._deeds
            if (each.who, each.hears) == (who, prompt)
            and each.talking is None
            and each.phone in {None, phone}
        ]
        ours = [each for each in ours if each.phone == phone] or ours
        waiting = [each for each in ours if each in self.left]
        due = waiting[:1] or ours[-1:]
        return due[0] if due else None

    def _done(self, deed: Deed) -> None:
        if deed in self.left:
            self.left.remove(deed)

    def _do(self, deed: Deed, line: Line) -> None:
        self._done(deed)
        match deed.does:
            case Does.PRESS:
                for number, key in enumerate(deed.keys):
                    self._loop.call_later(number * _BETWEEN_KEYS, self._asterisk.lines.press, line, key)
            case Does.HANG_UP:
                self._asterisk.hangs_up(line)
            case Does.DROP:
                self._asterisk.line_drops(line)
            case Does.DIE:
                self._asterisk.lines.die(line)
            case Does.ANSWER:
                self._asterisk.picks_up(line)
            case Does.BUSY | Does.DECLINE | Does.UNREACHABLE:
                self._asterisk.does_not_answer(line, _REFUSALS[deed.does])
            case Does.NOTHING | Does.IGNORE:
                pass
