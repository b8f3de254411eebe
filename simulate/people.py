"""People at the simulated Asterisk's telephones, who do what their deeds say, when it is time for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from taxiphone.simulate.asterisk import SimulatedAsterisk
from taxiphone.simulate.line import (
    BUSY,
    DECLINED,
    UNREACHABLE,
    Happening,
    Line,
    What,
)
from taxiphone.simulate.script import CLIENT, CONSULTANT, Deed, Does, Since
from taxiphone.speech.sentences import FOLDER
from taxiphone.store.calls import CONSULTANT_LEG

_BETWEEN_KEYS = 0.15  # seconds
_REACTS = 0.4  # seconds from what is heard to the first key
_PICKS_UP = 2.0  # seconds that a phone rings
_AT_ONCE = {Does.HANG_UP, Does.DROP, Does.DIE}
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
        between_keys: seconds from one key to the next.

    Attributes:
        left: deeds that were never done.
    """

    def __init__(
        self,
        asterisk: SimulatedAsterisk,
        deeds: Iterable[Deed],
        channel: str,
        *,
        between_keys: float = _BETWEEN_KEYS,
    ) -> None:
        self._asterisk, self._channel = asterisk, channel
        self._between_keys = between_keys
        self._deeds = list(deeds)
        self._loop = asyncio.get_running_loop()
        self._lines: dict[str, Line] = {}  # who -> the line that a deed at a certain time is done on
        self._begun: set[Since] = set()
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
        found, wait = None, _REACTS
        match happening.what:
            case What.RINGS:
                self._lines.setdefault(who, line)
                self._from_now_on(Since.ARRIVAL if who == CLIENT else Since.RINGING)
                if who == CONSULTANT:
                    found, wait = self._next(who, phone, None), _PICKS_UP
            case What.HEARD:
                found = self._next(who, phone, happening.sounds[0].removeprefix(f"{FOLDER}/"))
            case What.TALKS:
                self._lines[who] = line
                if who == CONSULTANT:
                    self._from_now_on(Since.TALK)
        if found is not None:
            self._done(found)
            wait = found.after or (0.0 if found.does in _AT_ONCE else wait)
            self._loop.call_later(wait, self._do, found, line)

    def _from_now_on(self, since: Since) -> None:
        if since in self._begun:
            return
        self._begun.add(since)
        for each in self._deeds:
            if each.since is since:
                self._loop.call_later(each.after, self._do_in_time, each)

    def _do_in_time(self, deed: Deed) -> None:
        if deed.who in self._lines:
            self._done(deed)
            self._do(deed, self._lines[deed.who])

    def _next(self, who: str, phone: int, prompt: str | None) -> Deed | None:
        """The deed that is due: those of this very phone first; each in turn, and the last one holds."""
        ours = [
            each
            for each in self._deeds
            if (each.who, each.hears) == (who, prompt) and each.since is None and each.phone in {None, phone}
        ]
        ours = [each for each in ours if each.phone == phone] or ours
        waiting = [each for each in ours if each in self.left]
        due = waiting[:1] or ours[-1:]
        return due[0] if due else None

    def _done(self, deed: Deed) -> None:
        if deed in self.left:
            self.left.remove(deed)

    def _do(self, deed: Deed, line: Line) -> None:
        match deed.does:
            case Does.PRESS:
                for number, key in enumerate(deed.keys):
                    self._loop.call_later(number * self._between_keys, self._asterisk.lines.press, line, key)
            case Does.HANG_UP:
                self._asterisk.hangs_up(line)
            case Does.DROP:
                self._asterisk.line_drops(line)
            case Does.DIE | Does.SEND_NOTHING:
                self._asterisk.lines.die(line, never_sent=deed.does is Does.SEND_NOTHING)
            case Does.HOLD | Does.COME_BACK:
                self._asterisk.lines.hold(line, held=deed.does is Does.HOLD)
            case Does.ANSWER:
                self._asterisk.picks_up(line)
            case Does.BUSY | Does.DECLINE | Does.UNREACHABLE:
                self._asterisk.does_not_answer(line, _REFUSALS[deed.does])
            case Does.NOTHING | Does.IGNORE:
                pass
