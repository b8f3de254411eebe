"""The talk: the meter runs from here, and what happens in it is heard by both, each in their own language."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app import menu
from taxiphone.ari_app.conversation import Conversation
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.rtp_watchdog import Earlier, RtpWatchdog
from taxiphone.ari_app.talk_timeout import TalkTimeout
from taxiphone.ari_app.timetable import Timetable, timetable
from taxiphone.ari_app.verbs import Sounds
from taxiphone.ari_app.waiting import CallerGoneError, staying
from taxiphone.billing.evidence import proof
from taxiphone.billing.holds import EndsBy
from taxiphone.billing.pricing.talk import asked_for
from taxiphone.errors import AriError
from taxiphone.speech.sentences import Speech
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.types import Moment, moment

log = logging.getLogger(__name__)

_ALIVE_SECONDS = 10.0
_CLOCK_SECONDS = 1.0  # between two looks at whether the wall clock was set
_TONE_SECONDS = 2.0  # from Asterisk's time-out being set to the bridge, at most
_HOLD_SILENCES = 10  # of 0.3 s, after each tone
_SHORTEST_TONE_SECONDS = 1.0

_TOGETHER_SECONDS = 2.0  # two keys that mean one thing come within this
_DEAD_SECONDS = 4.0  # without a packet, of a line whose client calls from another


class Why(enum.Enum):
    """Why a talk is over; the price comes from Asterisk's own log."""

    CLIENT_LEFT = "client"
    CONSULTANT_LEFT = "consultant"
    CLIENT_ENDED = "client's keys"
    PACKAGE_OVER = "package over"
    CREDIT_USED_UP = "credit used up"
    FREE_MINUTES_OVER = "free minutes over"  # and no credit after them
    LIMIT_REACHED = "limit reached"  # the client's own
    LONGEST = "longest talk"
    CLIENT_NOT_HEARD = "client not heard"  # from the beginning: not billed
    CONSULTANT_NOT_HEARD = "consultant not heard"  # likewise
    CLIENT_LINE_LOST = "client's line lost"
    CONSULTANT_LINE_LOST = "consultant's line lost"
    CUT_BY_CLOCK = proof.CUT_BY_CLOCK  # by Asterisk's time-out, which goes by the wall clock

    @property
    def one_way(self) -> bool:
        """Whether one side was never heard."""
        return self in {Why.CLIENT_NOT_HEARD, Why.CONSULTANT_NOT_HEARD}

    @property
    def consultants(self) -> bool:
        """Whether it is the consultant's line that is lost."""
        return self in {Why.CONSULTANT_NOT_HEARD, Why.CONSULTANT_LINE_LOST}

    @property
    def time_is_up(self) -> bool:
        """Whether Asterisk's own cut comes a moment later."""
        return self in {*_TIME_IS_UP.values(), Why.PACKAGE_OVER, Why.FREE_MINUTES_OVER}


_TIME_IS_UP = {
    EndsBy.CREDIT: Why.CREDIT_USED_UP,
    EndsBy.LIMIT: Why.LIMIT_REACHED,
    EndsBy.LONGEST: Why.LONGEST,
}


@dataclass(frozen=True)
class Ending:
    """How a talk came to its end.

    Attributes:
        why: the reason.
        heard_until: when the last packet came of the side that fell silent.
        parted: when the first left the bridge, or was about to be taken out of it; None where nobody saw that.
    """

    why: Why
    heard_until: datetime | None = None
    parted: Moment | None = None


async def bridge(call: Conversation) -> Outcome | None:
    """Bridge the two: only now does the meter start. Asterisk itself ends the talk where the credit does."""
    times = timetable(call.accepted, call.settings)
    # From here on, Asterisk's own cut must not say that nothing was charged (extension T of the dialplan).
    await call.lines.set_variable(call.client_leg, "TAXIPHONE_TALK", call.id)
    await TalkTimeout(call.lines, call.client_leg, call.consultant_leg).after(times.longest + _TONE_SECONDS)
    await call.record.write(Status.TALKING, "bridging")
    try:
        call.bridged = await call.lines.bridge(call.bridge, call.client_leg, call.consultant_leg)
    except BaseException:  # it may have been carried out, and then the meter runs
        call.bridged = True
        raise
    if call.bridged:
        call.bridged_at = moment()
        return None
    if call.client_leg.gone.is_set():
        return Outcome.CALLER_GONE
    with contextlib.suppress(CallerGoneError):
        async with staying(call.client_leg):
            await call.farewell(Outcome.NOT_ACCEPTED)
    return Outcome.NOT_ACCEPTED


async def talk(call: Conversation, talked_for: float = 0.0) -> Ending:
    """Live through the talk until it is over; `talked_for` seconds of it are past, where it was taken over."""
    times = timetable(call.accepted, call.settings)
    earlier: Earlier = ((), ())
    if talked_for:
        with contextlib.suppress(SQLAlchemyError):
            earlier = await call.record.packets_before()
    going_on = _Talk(call, times, talked_for, earlier)
    call.services.talks[call.client.id] = going_on
    try:
        return await going_on.until_over()
    finally:
        if call.services.talks.get(call.client.id) is going_on:
            del call.services.talks[call.client.id]


class _Talk:
    """What goes on beside each other during one talk; the first that ends it says why."""

    def __init__(self, call: Conversation, times: Timetable, talked_for: float, earlier: Earlier) -> None:
        self.call, self.times, self.call_id = call, times, call.id
        self._loop = asyncio.get_running_loop()
        self._talked_before = talked_for  # this process took it over
        self._began = self._loop.time() - talked_for
        self._watchdog = RtpWatchdog(
            call.lines,
            call.services.signalling,
            call.client_leg,
            call.consultant_leg,
            call.settings.call,
            heard=talked_for > 0,
            earlier=earlier,
        )
        self._beside: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Future[Ending] = self._loop.create_future()
        self._paused = call.recording_paused
        self._turn = asyncio.Lock()  # of two keys, one after the other
        self._may_end_with_package = False
        self._ends_with_package = False
        self._cut = TalkTimeout(call.lines, call.client_leg, call.consultant_leg)

    async def until_over(self) -> Ending:
        call = self.call
        work: list[Coroutine[Any, Any, None]] = [
            self._leaves(call.client_leg, Why.CLIENT_LEFT, Why.CLIENT_LINE_LOST),
            self._leaves(call.consultant_leg, Why.CONSULTANT_LEFT, Why.CONSULTANT_LINE_LOST),
            self._clients_keys(),
            self._consultants_keys(),
            self._clock(),
            self._keep_cut(),
            self._listen(),
            self._note_alive(),
            self._hold(call.client_leg, call.consultant_leg, call.consultants_speech, "client"),
            self._hold(call.consultant_leg, call.client_leg, call.speech, "consultant"),
        ]
        tasks = [asyncio.create_task(each) for each in work]
        for task in tasks:
            task.add_done_callback(self._look_for_faults)
        try:
            return await self._ending
        finally:
            tasks += self._beside
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _look_for_faults(self, task: asyncio.Task[None]) -> None:
        """A part that fails does not end the talk: Asterisk cuts it at the end of the credit all the same."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call %s: %s The talk goes on.", self.call.id, error, exc_info=error)

    def _end(self, why: Why, heard_until: datetime | None = None) -> None:
        if not self._ending.done():
            self._ending.set_result(Ending(why, heard_until, self._parted()))

    def _parted(self) -> Moment | None:
        """When the talk ended, where that was seen: Asterisk said who left, or this program ends it now."""
        legs = (self.call.client_leg, self.call.consultant_leg)
        left = [leg.parted[self.call.bridge] for leg in legs if self.call.bridge in leg.parted]
        if left:
            return min(left, key=lambda each: each.monotonic_us)
        return None if any(leg.gone.is_set() for leg in legs) else moment()

    async def _leaves(self, leg: Leg, hung_up: Why, cut: Why) -> None:
        await leg.gone.wait()
        if not asked_for(leg.cause):
            self._end(cut)
        else:
            self._end(Why.CUT_BY_CLOCK if self._cut.came_too_early() else hung_up)

    # -- keys -----------------------------------------------------------------------------------------------------

    async def _clients_keys(self) -> None:
        """`#*` ends at once; in the last minute of the package a key ends with it."""
        keys, leg = self.call.settings.call, self.call.client_leg
        before, pressed_at = "", 0.0
        leg.forget_keys()
        while (key := await leg.key()) is not None:
            in_time = self._loop.time() - pressed_at <= _TOGETHER_SECONDS
            if in_time and before + key == menu.END_AT_ONCE:
                self._end(Why.CLIENT_ENDED)
                return
            before, pressed_at = key, self._loop.time()
            # Beside this loop: what a key does takes the time of a sentence, and `#*` must not wait for it.
            if key == keys.end_key and self._may_end_with_package and not self._ends_with_package:
                self._ends_with_package = True
                self._do_beside(self._end_with_package())
            elif key == keys.pause_key and self.call.recorded:
                self._do_beside(self._pause_or_resume())

    async def _consultants_keys(self) -> None:
        leg = self.call.consultant_leg
        leg.forget_keys()
        while (key := await leg.key()) is not None:
            if key == self.call.settings.call.pause_key and self.call.recorded:
                self._do_beside(self._pause_or_resume())

    def _do_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        task.add_done_callback(self._look_for_faults)

    async def _pause_or_resume(self) -> None:
        """Either may pause the recording and resume it; both are told, also where it could not be."""
        call = self.call
        async with self._turn:
            wanted = not self._paused
            what = "recording-unchanged"
            if await call.services.recording_control.mute(call.consultant_leg.id, wanted):
                self._paused = wanted
                what = "recording-paused" if wanted else "recording-resumed"
            with contextlib.suppress(SQLAlchemyError):
                await call.record.write(None, what.replace("-", " "))
            await self._both(call.speech.prompt(what), call.consultants_speech.prompt(what))

    async def _end_with_package(self) -> None:
        call = self.call
        with contextlib.suppress(AriError):  # then only the program ends it
            await self._cut_at_the_end()
        with contextlib.suppress(SQLAlchemyError):
            await call.record.write(None, "ends with the package")
        words = "ends-with-package"
        await self._both(call.speech.prompt(words), call.consultants_speech.prompt(words))

    # -- the clock ------------------------------------------------------------------------------------------------

    def _talked(self) -> float:
        """Seconds since the two were bridged, by the monotonic clock."""
        return self._loop.time() - self._began

    async def _clock(self) -> None:
        """What is due at which second of the talk."""
        times = self.times
        due: list[tuple[float, Callable[[], Awaitable[None]]]] = [(times.end, self._time_is_up)]
        if times.warning is not None:
            due.append((times.warning, self._warn))
        if times.package is not None and times.package_warning is not None:
            due.append((times.package_warning, self._warn_of_package))
            due.append((times.package_end, self._package_is_over))
        for second, action in sorted(due, key=lambda each: each[0]):
            if second < self._talked_before - times.patience and action in {
                self._warn,
                self._warn_of_package,
            }:
                continue  # the process before this one has said it
            await asyncio.sleep(max(0.0, second - self._talked()))
            await action()

    async def _keep_cut(self) -> None:
        """Set Asterisk's time-out at the beginning, and again whenever the wall clock was set, by which it goes."""
        while True:
            if (set_by := self._cut.stepped()) is not None:
                log.warning(
                    "call %s: the wall clock was set by %+.3f s. The talk is billed by the monotonic clock.",
                    self.call_id,
                    set_by.total_seconds(),
                )
            if set_by is not None or not self._cut.is_set:
                with contextlib.suppress(AriError):  # the one before it holds until the next try
                    await self._cut_at_the_end()
            await asyncio.sleep(_CLOCK_SECONDS)

    async def _cut_at_the_end(self) -> None:
        """Let Asterisk end the talk at its last paid second, counted from now."""
        last = (self.times.package or 0.0) if self._ends_with_package else self.times.longest
        await self._cut.after(max(last - self._talked(), 0.1))

    async def _time_is_up(self) -> None:
        why = _TIME_IS_UP[self.times.ends_by]
        accepted = self.call.accepted
        if why is Why.CREDIT_USED_UP and accepted.max_seconds <= accepted.tariff.free_seconds:
            why = Why.FREE_MINUTES_OVER
        self._end(why)

    async def _warn(self) -> None:
        """The credit, or the longest talk, ends soon."""
        call, seconds = self.call, self.times.warned_seconds
        await self._mark("warned", f"{seconds} s left")
        await self._both(call.speech.time_left(seconds), call.consultants_speech.time_left(seconds))

    async def _warn_of_package(self) -> None:
        """The package ends soon; then it goes on by the minute, unless the client presses the key."""
        call, seconds = self.call, self.times.warned_seconds
        await self._mark("package warned", f"{seconds} s left")
        self._may_end_with_package = True
        await self._both(
            call.speech.package_ends(
                seconds,
                self.times.then_per_minute,
                call.settings.platform.currency,
                call.settings.call.end_key,
            ),
            call.consultants_speech.client_package_ends(seconds),
        )

    async def _package_is_over(self) -> None:
        self._may_end_with_package = False
        if self._ends_with_package:
            self._end(Why.PACKAGE_OVER)

    # -- both sides -----------------------------------------------------------------------------------------------

    async def _hold(self, holder: Leg, other: Leg, speech: Speech, who: str) -> None:
        """While one phone holds the call, the other side hears a tone. It is talk all the same, and billed."""
        while True:
            await holder.on_hold.wait()
            tone = asyncio.create_task(self._hold_tone(other, speech))
            try:
                await self._mark(f"{who} holds")
                await holder.off_hold.wait()
            finally:
                tone.cancel()
                await asyncio.gather(tone, return_exceptions=True)
            await self._mark(f"{who} is back")

    async def _hold_tone(self, leg: Leg, speech: Speech) -> None:
        sounds = (*speech.prompt("tone-hold"), *speech.prompt("silence") * _HOLD_SILENCES)
        while not leg.gone.is_set():
            began = self._loop.time()
            with contextlib.suppress(AriError):  # a tone that can't be played ends nothing
                await self.call.lines.say(leg, *sounds)
            if self._loop.time() - began < _SHORTEST_TONE_SECONDS:
                # It was not heard, and won't be a moment later.
                await asyncio.sleep(_ALIVE_SECONDS)

    async def _listen(self) -> None:
        """Ends a talk in which one side is not heard, or is not heard any more."""
        silent = await self._watchdog.until_silence()
        client = silent.leg is self.call.client_leg
        if silent.from_the_start:
            self._end(Why.CLIENT_NOT_HEARD if client else Why.CONSULTANT_NOT_HEARD)
        else:
            self._end(Why.CLIENT_LINE_LOST if client else Why.CONSULTANT_LINE_LOST, silent.heard_until)

    def end_if_client_is_silent(self) -> bool:
        """The same client calls again: where this line has been dead for some seconds, it is so for good."""
        leg = self.call.client_leg
        if self._ending.done() or self._watchdog.silent_for(leg) < _DEAD_SECONDS:
            return False
        self.call.services.rated_calls.expect(self.call_id)
        self._end(Why.CLIENT_LINE_LOST, self._watchdog.heard_until(leg))
        return True

    async def _note_alive(self) -> None:
        """Note when the talk began, and from time to time that both are there: proof, should Asterisk die or its clock be set."""
        call = self.call
        began = self._bridged_at()
        while True:
            with contextlib.suppress(SQLAlchemyError):
                if began is not None:
                    await call.record.bridged(began)
                    began = None
            await asyncio.sleep(_ALIVE_SECONDS)
            with contextlib.suppress(SQLAlchemyError, AriError):
                asked_at = moment()  # what Asterisk answers was so then, at the least
                if await call.lines.bridged(call.bridge, call.client_leg, call.consultant_leg):
                    await call.record.alive(asked_at, self._watchdog.counts())

    def _bridged_at(self) -> Moment | None:
        """When both had entered the bridge; None where an earlier process saw that."""
        legs, bridge = (self.call.client_leg, self.call.consultant_leg), self.call.bridge
        if all(bridge in leg.joined for leg in legs):
            return max((leg.joined[bridge] for leg in legs), key=lambda each: each.monotonic_us)
        return self.call.bridged_at

    async def _both(self, client: Sounds, consultant: Sounds) -> None:
        """Each hears their own sentence; the talk goes on after it."""
        call = self.call
        with contextlib.suppress(AriError):  # a sentence that can't be said ends nothing
            await asyncio.gather(
                call.lines.say(call.client_leg, *client), call.lines.say(call.consultant_leg, *consultant)
            )

    async def _mark(self, what: str, detail: str | None = None) -> None:
        with contextlib.suppress(SQLAlchemyError):  # a note that can't be made keeps nobody from being told
            await self.call.record.write(None, what, detail)
