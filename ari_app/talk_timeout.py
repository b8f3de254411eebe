"""Asterisk's own time-out of a talk, TIMEOUT(absolute), for when this program has died.

The time-out is a time of day. If the wall clock is set forward past it, Asterisk ends the talk at once, which can't be
prevented. If the clock is set back, the talk would continue beyond its credit. It is therefore set again after each step of
the clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from taxiphone.ari_app.router import Leg
from taxiphone.billing.evidence.two_clocks import TOLERANCE, passed, step
from taxiphone.store.types import Moment, moment

SetVariables = Callable[[Leg, Mapping[str, str]], Awaitable[bool]]

# The consultant's leg times out a little later: the client's leg ends the talk.
_CONSULTANT_LATER = 5.0
# How exactly it can be compared with the time that is left of a talk.
_EXACT = 0.1
# The longest time from Asterisk's hang-up of a leg to the event.
_EVENT_DELAY = timedelta(seconds=3)


@dataclass(frozen=True)
class _Set:
    """A time-out that was set.

    Attributes:
        at: when it was set.
        seconds: the time from then, by the wall clock, until Asterisk ends the talk.
    """

    at: Moment
    seconds: timedelta

    def is_past_too_early(self) -> bool:
        """Whether it has passed by the wall clock, but not by the monotonic clock."""
        now = moment()
        return now.at - self.at.at >= self.seconds and passed(self.at, now) < self.seconds - TOLERANCE


class TalkTimeout:
    """Asterisk's own time-out of one talk.

    Args:
        set_variables: sets channel variables or functions (`Channels.set_variables`).
        client: the client's leg.
        consultant: the consultant's leg, which times out a little later.
    """

    def __init__(self, set_variables: SetVariables, client: Leg, consultant: Leg) -> None:
        self._set_variables, self._legs = set_variables, ((client, 0.0), (consultant, _CONSULTANT_LATER))
        self._set: _Set | None = None
        # When it was last set again while Asterisk may already have been ending the talk.
        self._past: Moment | None = None

    def is_set_to(self, seconds: float, *, later: float) -> bool:
        """Whether it ends the talk this many seconds from now, or up to `later` seconds after that."""
        if self._set is None:
            return False
        left = (self._set.seconds - passed(self._set.at, moment())).total_seconds()
        return seconds - _EXACT <= left <= seconds + later

    async def after(self, seconds: float, client_variables: Mapping[str, str] | None = None) -> None:
        """Let Asterisk hang up both legs this many seconds from now, even if this program has died.

        Args:
            seconds: the time until then.
            client_variables: further variables of the client's leg, set before the time-out.

        Raises:
            AriError: the time-out could not be set; an earlier one may still apply.
        """
        if self._set is not None and self._set.is_past_too_early():
            self._past = moment()
        new = _Set(moment(), timedelta(seconds=seconds))
        for leg, more in self._legs:
            values = {"TIMEOUT(absolute)": f"{seconds + more:.1f}"}
            if not more and client_variables:
                values = {**client_variables, **values}
            await self._set_variables(leg, values)
        self._set = new

    def stepped(self) -> timedelta | None:
        """By how much the wall clock was stepped since the time-out was set; None if it was not."""
        stepped = None if self._set is None else step(self._set.at, moment())
        return stepped if stepped is not None and abs(stepped) > TOLERANCE else None

    def came_too_early(self) -> bool:
        """Whether a talk that ends now was ended by Asterisk because the wall clock was stepped forward."""
        if self._past is not None and passed(self._past, moment()) < _EVENT_DELAY:
            return True
        return self._set is not None and self._set.is_past_too_early()
