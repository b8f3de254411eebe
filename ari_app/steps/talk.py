"""The talk: the meter runs, and what happens in it is told to both, each in their own language."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app import menu
from taxiphone.ari_app.agreement import Agreement
from taxiphone.ari_app.end_reasons import Ending, EndReason
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.recording_pause import RecordingPause
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.rtp_watchdog import RtpWatchdog
from taxiphone.ari_app.taken_over import TakenOver
from taxiphone.ari_app.talk_clock import TalkClock
from taxiphone.ari_app.talk_sides import TalkSides
from taxiphone.billing.pricing.talk import asked_for
from taxiphone.errors import AriError
from taxiphone.store.types import Moment, moment

log = logging.getLogger(__name__)

_ALIVE_SECONDS = 10.0

TOGETHER_SECONDS = 2.0
"""Two keys that mean one thing come within this time."""
DEAD_SECONDS = 4.0
"""A line without a packet for so long is dead, if its client calls from another."""


async def talk(
    call: LiveCall, agreement: Agreement, bridged_at: Moment | None, found: TakenOver | None = None
) -> Ending:
    """Live through a talk until it is over.

    Args:
        call: its two legs are bridged.
        agreement: what the talk is held under.
        bridged_at: when Asterisk had bridged them; None if an earlier process saw that.
        found: what that process noted, if the talk was taken over.
    """
    going_on = _Talk(call, agreement, bridged_at, found)
    talks, client = call.services.talks, agreement.client.id
    talks[client] = going_on
    try:
        return await going_on.until_over()
    finally:
        if talks.get(client) is going_on:
            del talks[client]


class _Talk:
    """What goes on side by side during one talk; the first that ends it says why."""

    def __init__(
        self, call: LiveCall, agreement: Agreement, bridged_at: Moment | None, found: TakenOver | None
    ) -> None:
        self.call_id = call.id
        self._call, self._recorded, self._bridged_at = call, agreement.recorded, bridged_at
        self._loop = asyncio.get_running_loop()
        talked_for = found.seconds if found else 0.0
        self._sides = TalkSides(call, agreement)
        self._clock = TalkClock(call, agreement, self._sides, self._end, talked_for=talked_for)
        self._recording = RecordingPause(
            call.services.recording_control, self._sides, muted=found is not None and found.muted
        )
        self._watchdog = RtpWatchdog(
            call.channels,
            call.services.signalling,
            *self._sides.legs,
            call.settings.call,
            heard=talked_for > 0,
            earlier=found.packets if found else ((), ()),
        )
        self._beside: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Future[Ending] = self._loop.create_future()

    async def until_over(self) -> Ending:
        client, consultant = self._sides.legs
        work: list[Coroutine[Any, Any, None]] = [
            self._until_left(client, EndReason.CLIENT_LEFT, EndReason.CLIENT_LINE_LOST),
            self._until_left(consultant, EndReason.CONSULTANT_LEFT, EndReason.CONSULTANT_LINE_LOST),
            self._clients_keys(),
            self._consultants_keys(),
            self._clock.run(),
            self._clock.keep_timeout(),
            self._until_silent(),
            self._note_alive(),
            self._sides.client_holds(),
            self._sides.consultant_holds(),
        ]
        tasks = [asyncio.create_task(each) for each in work]
        for task in tasks:
            task.add_done_callback(self._log_fault)
        try:
            return await self._ending
        finally:
            tasks += self._beside
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _log_fault(self, task: asyncio.Task[None]) -> None:
        """A part that fails does not end the talk: Asterisk ends it at the end of the credit all the same."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call %s: %s The talk goes on.", self.call_id, error, exc_info=error)

    # -- its end --------------------------------------------------------------------------------------------------

    def _end(self, reason: EndReason, heard_until: datetime | None = None) -> None:
        if not self._ending.done():
            self._ending.set_result(Ending(reason, heard_until, self._parted()))

    def _parted(self) -> Moment | None:
        """When the talk ended, if that was seen: Asterisk said who left, or this program ends it now."""
        legs, bridge = self._sides.legs, self._call.bridge_id
        left = [leg.parted[bridge] for leg in legs if bridge in leg.parted]
        if left:
            return min(left, key=lambda each: each.monotonic_us)
        return None if any(leg.gone.is_set() for leg in legs) else moment()

    async def _until_left(self, leg: Leg, hung_up: EndReason, cut: EndReason) -> None:
        await leg.gone.wait()
        if not asked_for(leg.cause):
            self._end(cut)
        else:
            self._end(EndReason.CUT_BY_CLOCK if self._clock.timed_out_too_early else hung_up)

    async def _until_silent(self) -> None:
        """Ends a talk in which one side is not heard, or is not heard any more."""
        silent = await self._watchdog.until_silence()
        client = silent.leg is self._sides.client
        if silent.from_the_start:
            self._end(EndReason.CLIENT_NOT_HEARD if client else EndReason.CONSULTANT_NOT_HEARD)
        else:
            lost = EndReason.CLIENT_LINE_LOST if client else EndReason.CONSULTANT_LINE_LOST
            self._end(lost, silent.heard_until)

    def end_if_client_is_silent(self) -> bool:
        """The same client calls again: a line that has been dead for some seconds stays dead."""
        leg = self._sides.client
        if self._ending.done() or self._watchdog.silent_for(leg) < DEAD_SECONDS:
            return False
        self._call.services.rated_calls.expect(self.call_id)
        self._end(EndReason.CLIENT_LINE_LOST, self._watchdog.heard_until(leg))
        return True

    # -- keys -----------------------------------------------------------------------------------------------------

    async def _clients_keys(self) -> None:
        """`#*` ends at once; in the last minute of the package a key ends with it."""
        keys, leg = self._call.settings.call, self._sides.client
        before, pressed_at = "", 0.0
        leg.forget_keys()
        while (key := await leg.key()) is not None:
            in_time = self._loop.time() - pressed_at <= TOGETHER_SECONDS
            if in_time and before + key == menu.END_AT_ONCE:
                self._end(EndReason.CLIENT_ENDED)
                return
            before, pressed_at = key, self._loop.time()
            # Beside this loop: what a key does takes the time of a sentence, and `#*` must not wait for it.
            if key == keys.end_key and self._clock.choose_to_end_with_package():
                self._do_beside(self._clock.confirm_end_with_package())
            elif key == keys.pause_key and self._recorded:
                self._do_beside(self._recording.toggle())

    async def _consultants_keys(self) -> None:
        leg = self._sides.consultant
        leg.forget_keys()
        while (key := await leg.key()) is not None:
            if key == self._call.settings.call.pause_key and self._recorded:
                self._do_beside(self._recording.toggle())

    def _do_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        task.add_done_callback(self._log_fault)

    # -- evidence -------------------------------------------------------------------------------------------------

    async def _note_alive(self) -> None:
        """Note when the talk began, and from time to time that both are there: evidence if Asterisk dies or its clock is set."""
        call = self._call
        began = self._entered_at()
        while True:
            with contextlib.suppress(SQLAlchemyError):
                if began is not None:
                    await call.record.bridged(began)
                    began = None
            await asyncio.sleep(_ALIVE_SECONDS)
            with contextlib.suppress(SQLAlchemyError, AriError):
                asked_at = moment()  # what Asterisk answers was so then, at the least
                if await call.channels.are_bridged(call.bridge_id, *self._sides.legs):
                    await call.record.alive(asked_at, self._watchdog.counts())

    def _entered_at(self) -> Moment | None:
        """When both had entered the bridge; None if an earlier process saw that."""
        legs, bridge = self._sides.legs, self._call.bridge_id
        if all(bridge in leg.joined for leg in legs):
            return max((leg.joined[bridge] for leg in legs), key=lambda each: each.monotonic_us)
        return self._bridged_at
