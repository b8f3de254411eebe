"""The scheduled events of a talk: the warnings, the end of the package, the end of the credit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from taxiphone.ari_app.agreement import Agreement
from taxiphone.ari_app.end_reasons import TIME_IS_UP, EndReason
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.talk_sides import TalkSides
from taxiphone.ari_app.talk_timeout import TalkTimeout
from taxiphone.ari_app.timetable import timetable
from taxiphone.errors import AriError

log = logging.getLogger(__name__)

# How often to check whether the wall clock was set.
_CLOCK_SECONDS = 1.0


class TalkClock:
    """The clock of one talk.

    Args:
        call: the call.
        agreement: what the talk is held under.
        sides: the two sides of the talk.
        end: ends the talk.
        talked_for: seconds already talked, if the talk was taken over.
    """

    def __init__(
        self,
        call: LiveCall,
        agreement: Agreement,
        sides: TalkSides,
        end: Callable[[EndReason], None],
        *,
        talked_for: float,
    ) -> None:
        self._call, self._accepted, self._sides, self._end = call, agreement.accepted, sides, end
        self._times = timetable(agreement.accepted, call.settings)
        self._loop = asyncio.get_running_loop()
        self._talked_before = talked_for
        self._began = self._loop.time() - talked_for
        self._timeout = TalkTimeout(call.channels.set_variable, *sides.legs)
        self._may_end_with_package = False
        self._ends_with_package = False

    @property
    def timed_out_too_early(self) -> bool:
        """Whether a talk that ends now was ended by Asterisk because the wall clock was set forward."""
        return self._timeout.came_too_early()

    async def run(self) -> None:
        """Carry out each event at its time."""
        times = self._times
        warnings = {self._warn, self._warn_of_package}
        schedule: list[tuple[float, Callable[[], Awaitable[None]]]] = [(times.end, self._time_is_up)]
        if times.warning is not None:
            schedule.append((times.warning, self._warn))
        if times.package is not None and times.package_warning is not None:
            schedule.append((times.package_warning, self._warn_of_package))
            schedule.append((times.package_end, self._package_is_over))
        for second, action in sorted(schedule, key=lambda event: event[0]):
            if second < self._talked_before - times.patience and action in warnings:
                continue  # the earlier process has given this warning
            await asyncio.sleep(max(0.0, second - self._talked()))
            await action()

    async def keep_timeout(self) -> None:
        """Set Asterisk's time-out at the beginning, and again whenever the wall clock, which it follows, was set."""
        while True:
            if (set_by := self._timeout.stepped()) is not None:
                log.warning(
                    "call %s: the wall clock was set by %+.3f s. The talk is billed by the monotonic clock.",
                    self._call.id,
                    set_by.total_seconds(),
                )
            if set_by is not None or not self._timeout.is_set:
                with contextlib.suppress(AriError):  # the previous one applies until the next try
                    await self._set_timeout()
            await asyncio.sleep(_CLOCK_SECONDS)

    def choose_to_end_with_package(self) -> bool:
        """Handle the key that ends the talk with the package; False if it has no effect now."""
        if not self._may_end_with_package or self._ends_with_package:
            return False
        self._ends_with_package = True
        return True

    async def confirm_end_with_package(self) -> None:
        """Set Asterisk's time-out to the end of the package, and tell both sides."""
        with contextlib.suppress(AriError):  # the program ends the talk in any case
            await self._set_timeout()
        self._sides.note("ends with the package")
        await self._sides.tell_prompt("ends-with-package")

    def _talked(self) -> float:
        """Seconds since the two were bridged, by the monotonic clock."""
        return self._loop.time() - self._began

    async def _set_timeout(self) -> None:
        """Let Asterisk end the talk at its last paid second, counted from now."""
        last = (self._times.package or 0.0) if self._ends_with_package else self._times.longest
        await self._timeout.after(max(last - self._talked(), 0.1))

    async def _time_is_up(self) -> None:
        reason = TIME_IS_UP[self._times.ends_by]
        accepted = self._accepted
        if reason is EndReason.CREDIT_USED_UP and accepted.max_seconds <= accepted.tariff.free_seconds:
            reason = EndReason.FREE_MINUTES_OVER
        self._end(reason)

    async def _warn(self) -> None:
        """Warn both sides that the credit, or the longest talk, ends soon."""
        sides, seconds = self._sides, self._times.warned_seconds
        sides.note("warned", f"{seconds} s left")
        await sides.tell(sides.client_speech.time_left(seconds), sides.consultant_speech.time_left(seconds))

    async def _warn_of_package(self) -> None:
        """Warn both sides that the package ends soon. The talk then continues per minute, unless the client presses the key."""
        sides, seconds, settings = self._sides, self._times.warned_seconds, self._call.settings
        sides.note("package warned", f"{seconds} s left")
        self._may_end_with_package = True
        await sides.tell(
            sides.client_speech.package_ends(
                seconds, self._times.then_per_minute, settings.platform.currency, settings.call.end_key
            ),
            sides.consultant_speech.client_package_ends(seconds),
        )

    async def _package_is_over(self) -> None:
        self._may_end_with_package = False
        if self._ends_with_package:
            self._end(EndReason.PACKAGE_OVER)
