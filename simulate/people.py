"""The people at the telephones of the simulated Asterisk, who carry out the actions of a script when they are due."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from taxiphone.simulate.asterisk import SimulatedAsterisk
from taxiphone.simulate.channel import (
    BUSY,
    DECLINED,
    UNREACHABLE,
    Channel,
    Happening,
    What,
)
from taxiphone.simulate.script import CLIENT, CONSULTANT, Deed, Does, Since
from taxiphone.speech.sentences import FOLDER
from taxiphone.store.calls import CONSULTANT_LEG

_BETWEEN_KEYS = 0.15  # seconds
_REACTS = 0.4  # seconds from a prompt to the first key
_PICKS_UP = 2.0  # seconds that a phone rings
_AT_ONCE = {Does.HANG_UP, Does.DROP, Does.DIE}
_REFUSALS = {Does.BUSY: BUSY, Does.DECLINE: DECLINED, Does.UNREACHABLE: UNREACHABLE}


def role(channel: Channel) -> tuple[str, int]:
    """Return whose channel it is, and the number of the consultant's phone (0 for the client)."""
    _, is_consultants, number = channel.id.partition(CONSULTANT_LEG)
    if not is_consultants:
        return CLIENT, 0
    return CONSULTANT, int(number.removeprefix(".") or 1)


class ScriptedPeople:
    """The client and the consultant of one call.

    Args:
        asterisk: the simulated Asterisk with their telephones.
        deeds: what they do. A person without a deed is silent, and a phone without a deed isn't answered.
        channel: the client's channel.
        between_keys: seconds from one key to the next.

    Attributes:
        left: deeds that were never done.
    """

    def __init__(
        self,
        asterisk: SimulatedAsterisk,
        deeds: Iterable[Deed],
        channel_id: str,
        *,
        between_keys: float = _BETWEEN_KEYS,
    ) -> None:
        self._asterisk, self._channel_id = asterisk, channel_id
        self._between_keys = between_keys
        self._deeds = list(deeds)
        self._loop = asyncio.get_running_loop()
        self._channels: dict[str, Channel] = {}  # who -> the channel that a deed at a certain time is done on
        self._begun: set[Since] = set()
        self.left = list(self._deeds)
        asterisk.core.listeners.append(self)

    def leave(self) -> None:
        """Stop listening, after the call."""
        self._asterisk.core.listeners.remove(self)

    def __call__(self, happening: Happening) -> None:
        """React to something that happened to a channel."""
        channel = happening.channel
        if channel.linked != self._channel_id:
            return
        who, phone = role(channel)
        found, wait = None, _REACTS
        match happening.what:
            case What.RINGS:
                self._channels.setdefault(who, channel)
                self._from_now_on(Since.ARRIVAL if who == CLIENT else Since.RINGING)
                if who == CONSULTANT:
                    found, wait = self._next(who, phone, None), _PICKS_UP
            case What.HEARD:
                found = self._next(who, phone, happening.sounds[0].removeprefix(f"{FOLDER}/"))
            case What.TALKS:
                self._channels[who] = channel
                if who == CONSULTANT:
                    self._from_now_on(Since.TALK)
        if found is not None:
            self._done(found)
            wait = found.after or (0.0 if found.does in _AT_ONCE else wait)
            self._loop.call_later(wait, self._do, found, channel)

    def _from_now_on(self, since: Since) -> None:
        if since in self._begun:
            return
        self._begun.add(since)
        for each in self._deeds:
            if each.since is since:
                self._loop.call_later(each.after, self._do_in_time, each)

    def _do_in_time(self, deed: Deed) -> None:
        if deed.who in self._channels:
            self._done(deed)
            self._do(deed, self._channels[deed.who])

    def _next(self, who: str, phone: int, prompt: str | None) -> Deed | None:
        """Return the deed that is due. Those of this phone come first, in turn; the last one is repeated."""
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

    def _do(self, deed: Deed, channel: Channel) -> None:
        match deed.does:
            case Does.PRESS:
                for number, key in enumerate(deed.keys):
                    self._loop.call_later(
                        number * self._between_keys, self._asterisk.core.press, channel, key
                    )
            case Does.HANG_UP:
                self._asterisk.hangs_up(channel)
            case Does.DROP:
                self._asterisk.line_drops(channel)
            case Does.DIE | Does.SEND_NOTHING:
                self._asterisk.core.die(channel, never_sent=deed.does is Does.SEND_NOTHING)
            case Does.HOLD | Does.COME_BACK:
                self._asterisk.core.hold(channel, held=deed.does is Does.HOLD)
            case Does.ANSWER:
                self._asterisk.picks_up(channel)
            case Does.BUSY | Does.DECLINE | Does.UNREACHABLE:
                self._asterisk.does_not_answer(channel, _REFUSALS[deed.does])
            case Does.NOTHING | Does.IGNORE:
                pass
