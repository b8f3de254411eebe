"""The talk: reacts to keys, silence, hold and the end of the credit until one of them ends it."""

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
from taxiphone.ari_app.signs_of_life import TalkInProgress
from taxiphone.ari_app.steps.bridge import Bridged
from taxiphone.ari_app.taken_over import TakenOver
from taxiphone.ari_app.talk_clock import TalkClock
from taxiphone.ari_app.talk_sides import TalkSides
from taxiphone.ari_app.talk_timeout import TalkTimeout
from taxiphone.billing.pricing.talk import asked_for
from taxiphone.store.types import Moment, moment

log = logging.getLogger(__name__)

# How long until a call event is written again that could not be written.
_NEXT_TRY_SECONDS = 10.0

TOGETHER_SECONDS = 2.0
"""The longest time between the two keys of `#*`."""
DEAD_SECONDS = 4.0
"""If a client calls again, their other line counts as dead after this time without a packet."""


async def talk(
    call: LiveCall, agreement: Agreement, bridged: Bridged | None, taken_over: TakenOver | None = None
) -> Ending:
    """Run a talk until it is over.

    Args:
        call: the call, with its two legs bridged.
        agreement: what the talk is held under.
        bridged: when Asterisk had bridged them; None if an earlier process did that.
        taken_over: what that process recorded.
    """
    current = _Talk(call, agreement, bridged, taken_over)
    talks, client = call.services.talks, agreement.client.id
    talks[client] = current
    try:
        return await current.until_over()
    finally:
        if talks.get(client) is current:
            del talks[client]


class _Talk:
    """Everything that runs concurrently during one talk. The first task that ends the talk gives the reason."""

    def __init__(
        self, call: LiveCall, agreement: Agreement, bridged: Bridged | None, taken_over: TakenOver | None
    ) -> None:
        self.call_id = call.id
        self._call, self._recorded = call, agreement.recorded
        self._bridged_at = bridged.at if bridged else None
        self._loop = asyncio.get_running_loop()
        talked_for = taken_over.seconds if taken_over else 0.0
        self._sides = TalkSides(call, agreement)
        timeout = bridged.timeout if bridged else TalkTimeout(call.channels.set_variables, *self._sides.legs)
        self._clock = TalkClock(
            call, agreement, self._sides, self._end, timeout=timeout, talked_for=talked_for
        )
        self._recording = RecordingPause(
            call.services.recording_control, self._sides, muted=taken_over is not None and taken_over.muted
        )
        self._watchdog = RtpWatchdog(
            call.channels,
            call.services.signalling,
            *self._sides.legs,
            call.settings.call,
            heard=talked_for > 0,
            earlier=taken_over.packets if taken_over else ((), ()),
        )
        self._background: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Future[Ending] = self._loop.create_future()

    async def until_over(self) -> Ending:
        client, consultant = self._sides.legs
        coroutines: list[Coroutine[Any, Any, None]] = [
            self._until_left(client, EndReason.CLIENT_LEFT, EndReason.CLIENT_LINE_LOST),
            self._until_left(consultant, EndReason.CONSULTANT_LEFT, EndReason.CONSULTANT_LINE_LOST),
            self._clients_keys(),
            self._consultants_keys(),
            self._clock.run(),
            self._clock.keep_timeout(),
            self._until_silent(),
            self._note_began(),
            self._sides.client_holds(),
            self._sides.consultant_holds(),
        ]
        tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
        for task in tasks:
            task.add_done_callback(self._log_fault)
        signs = self._call.services.signs
        talk = TalkInProgress(
            self.call_id, self._call.bridge_id, frozenset((client.id, consultant.id)), self._watchdog.counts
        )
        signs.begin(talk)
        try:
            return await self._ending
        finally:
            signs.end(talk)
            tasks += self._background
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _log_fault(self, task: asyncio.Task[None]) -> None:
        """Log a task that failed. The talk continues: Asterisk's own time-out still ends it when the credit is used up."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call %s: %s The talk continues.", self.call_id, error, exc_info=error)

    # -- end ------------------------------------------------------------------------------------------------------

    def _end(self, reason: EndReason, heard_until: datetime | None = None) -> None:
        if not self._ending.done():
            self._ending.set_result(Ending(reason, heard_until, self._parted()))

    def _parted(self) -> Moment | None:
        """When the first leg left the bridge; now if both are still in it; None if the event was missed."""
        legs, bridge = self._sides.legs, self._call.bridge_id
        left = [leg.parted[bridge] for leg in legs if bridge in leg.parted]
        if left:
            return min(left, key=lambda when: when.monotonic_us)
        return None if any(leg.gone.is_set() for leg in legs) else moment()

    async def _until_left(self, leg: Leg, hung_up: EndReason, dropped: EndReason) -> None:
        await leg.gone.wait()
        if not asked_for(leg.cause):
            self._end(dropped)
        else:
            self._end(EndReason.CUT_BY_CLOCK if self._clock.timed_out_too_early else hung_up)

    async def _until_silent(self) -> None:
        """End the talk if one side was never heard, or has fallen silent."""
        silent = await self._watchdog.until_silence()
        client = silent.leg is self._sides.client
        if silent.from_the_start:
            self._end(EndReason.CLIENT_NOT_HEARD if client else EndReason.CONSULTANT_NOT_HEARD)
        else:
            lost = EndReason.CLIENT_LINE_LOST if client else EndReason.CONSULTANT_LINE_LOST
            self._end(lost, silent.heard_until)

    async def end_if_client_is_silent(self) -> bool:
        """End the talk if the client's line is dead; True if it was. Called when the same client calls again."""
        leg = self._sides.client
        if self._ending.done() or await self._watchdog.silent_for(leg) < DEAD_SECONDS or self._ending.done():
            return False
        self._call.services.rated_calls.expect(self.call_id)
        self._end(EndReason.CLIENT_LINE_LOST, self._watchdog.heard_until(leg))
        return True

    # -- keys -----------------------------------------------------------------------------------------------------

    async def _clients_keys(self) -> None:
        """Handle the client's keys: end at once (`#*`), end with the package, pause the recording."""
        settings, leg = self._call.settings.call, self._sides.client
        before, pressed_at = "", 0.0
        leg.forget_keys()
        while (key := await leg.key()) is not None:
            in_time = self._loop.time() - pressed_at <= TOGETHER_SECONDS
            if in_time and before + key == menu.END_AT_ONCE:
                self._end(EndReason.CLIENT_ENDED)
                return
            before, pressed_at = key, self._loop.time()
            # In the background, since each plays a prompt and `#*` must not wait for it.
            if key == settings.end_key and self._clock.choose_to_end_with_package():
                self._run_in_background(self._clock.confirm_end_with_package())
            elif key == settings.pause_key and self._recorded:
                self._run_in_background(self._recording.toggle())

    async def _consultants_keys(self) -> None:
        leg = self._sides.consultant
        leg.forget_keys()
        while (key := await leg.key()) is not None:
            if key == self._call.settings.call.pause_key and self._recorded:
                self._run_in_background(self._recording.toggle())

    def _run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(self._log_fault)

    # -- evidence -------------------------------------------------------------------------------------------------

    async def _note_began(self) -> None:
        """Record when the talk began."""
        began = self._entered_at()
        while began is not None:
            with contextlib.suppress(SQLAlchemyError):
                await self._call.record.bridged(began)
                return
            await asyncio.sleep(_NEXT_TRY_SECONDS)

    def _entered_at(self) -> Moment | None:
        """When both had entered the bridge; None if an earlier process saw that."""
        legs, bridge = self._sides.legs, self._call.bridge_id
        if all(bridge in leg.joined for leg in legs):
            return max((leg.joined[bridge] for leg in legs), key=lambda when: when.monotonic_us)
        return self._bridged_at
