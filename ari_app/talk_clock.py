"""The scheduled events of a talk: the warnings, the end of the package, the end of the credit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.agreement import Agreement
from taxiphone.ari_app.end_reasons import TIME_IS_UP, EndReason
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.steps.bridge import BRIDGING_SECONDS
from taxiphone.ari_app.talk_sides import TalkSides
from taxiphone.ari_app.talk_timeout import TalkTimeout
from taxiphone.ari_app.timetable import timetable
from taxiphone.billing.holds import EndsBy
from taxiphone.errors import AriError

log = logging.getLogger(__name__)

Action = Callable[[], Awaitable[None]]

# When to look for the last time whether credit has arrived: so many seconds before the talk ends.
_LAST_LOOK_SECONDS = 3.0
# How long that may take, so that a slow database delays neither the end nor its announcement.
_LOOK_SECONDS = 2.0
# How often to check whether the wall clock was set, and whether Asterisk's time-out is to be set anew.
_CLOCK_SECONDS = 1.0


class TalkClock:
    """The clock of one talk.

    Args:
        call: the call.
        agreement: what the talk is held under.
        sides: the two sides of the talk.
        end: ends the talk.
        timeout: Asterisk's own time-out of the talk, set or not.
        talked_for: seconds already talked, if the talk was taken over.
    """

    def __init__(
        self,
        call: LiveCall,
        agreement: Agreement,
        sides: TalkSides,
        end: Callable[[EndReason], None],
        *,
        timeout: TalkTimeout,
        talked_for: float,
    ) -> None:
        self._call, self._accepted, self._sides, self._end = call, agreement.accepted, sides, end
        self._times = timetable(agreement.accepted, call.settings)
        self._loop = asyncio.get_running_loop()
        self._talked_before = talked_for
        self._began = self._loop.time() - talked_for
        self._timeout = timeout
        self._may_end_with_package = False
        self._ends_with_package = False
        self._warnings: set[Action] = {self._warn, self._warn_of_package}
        self._credit_matters: set[Action] = {self._warn, self._look_for_credit}

    @property
    def timed_out_too_early(self) -> bool:
        """Whether a talk that ends now was ended by Asterisk because the wall clock was set forward."""
        return self._timeout.came_too_early()

    async def run(self) -> None:
        """Carry out each event at its time."""
        # The earlier process has given its warnings.
        given = self._talked_before - self._times.patience
        done = {action for second, action in self._schedule() if second < given and action in self._warnings}
        while due := [event for event in self._schedule() if event[1] not in done]:
            second, action = min(due, key=lambda event: event[0])
            await asyncio.sleep(max(0.0, second - self._talked()))
            if action in self._credit_matters and await self._extend():
                done.discard(self._look_for_credit)
                if (self._times.warning or 0.0) > self._talked():
                    done.discard(self._warn)
                continue
            done.add(action)
            await action()

    def _schedule(self) -> list[tuple[float, Action]]:
        """Return the events of the talk with their seconds."""
        times = self._times
        schedule: list[tuple[float, Action]] = [(times.end, self._time_is_up)]
        if times.ends_by is not EndsBy.LONGEST:
            schedule.append((times.end - _LAST_LOOK_SECONDS, self._look_for_credit))
        if times.warning is not None:
            schedule.append((times.warning, self._warn))
        if times.package is not None and times.package_warning is not None:
            schedule.append((times.package_warning, self._warn_of_package))
            schedule.append((times.package_end, self._package_is_over))
        return schedule

    async def keep_timeout(self) -> None:
        """Set Asterisk's time-out unless it is right, and again whenever the wall clock, which it follows, was set."""
        while True:
            if (set_by := self._timeout.stepped()) is not None:
                log.warning(
                    "call %s: the wall clock was set by %+.3f s. The talk is billed by the monotonic clock.",
                    self._call.id,
                    set_by.total_seconds(),
                )
            if set_by is not None or not self._timeout.is_set_to(self._left(), later=BRIDGING_SECONDS):
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

    def _left(self) -> float:
        """Seconds from now until the talk's last paid second."""
        last = (self._times.package or 0.0) if self._ends_with_package else self._times.longest
        return max(last - self._talked(), 0.1)

    async def _set_timeout(self) -> None:
        """Let Asterisk end the talk at its last paid second, counted from now."""
        await self._timeout.after(self._left())

    async def _extend(self) -> bool:
        """Let the talk last longer if credit has arrived since it began; return whether it has.

        Another process may have posted it, so the database is asked, just before it matters.
        """
        if self._times.ends_by is EndsBy.LONGEST:
            return False
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                accepted = await self._call.record.extended()
        except (SQLAlchemyError, TimeoutError) as error:
            reason = str(error) or "the database is slow"
            log.warning("call %s: whether credit has arrived is not known: %s", self._call.id, reason)
            return False
        if accepted is None or accepted.max_seconds <= self._accepted.max_seconds:
            return False
        self._sides.note("extended", f"to {accepted.max_seconds} s")
        self._accepted, self._times = accepted, timetable(accepted, self._call.settings)
        return True

    async def _look_for_credit(self) -> None:
        """Do nothing more: `run` has just looked whether the talk can last longer."""

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
