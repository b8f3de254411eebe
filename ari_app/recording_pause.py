"""The recording of a talk, paused and resumed by key."""

from __future__ import annotations

import asyncio

from taxiphone.ari_app.ports import RecordingControl
from taxiphone.ari_app.taken_over import RECORDING_PAUSED, RECORDING_RESUMED
from taxiphone.ari_app.talk_sides import TalkSides


class RecordingPause:
    """Pauses and resumes the recording of one talk.

    Args:
        control: where the recording is.
        sides: the talk's.
        muted: it is paused already.
    """

    def __init__(self, control: RecordingControl, sides: TalkSides, *, muted: bool) -> None:
        self._control, self._sides, self._muted = control, sides, muted
        self._turn = asyncio.Lock()  # of two keys, one after the other

    async def toggle(self) -> None:
        """Pause the recording, or resume it. Both are told, even if it could not be done."""
        async with self._turn:
            muted = not self._muted
            if not await self._control.mute(self._sides.consultant.id, muted):
                await self._sides.note("recording unchanged")
                await self._sides.tell_prompt("recording-unchanged")
                return
            self._muted = muted
            await self._sides.note(RECORDING_PAUSED if muted else RECORDING_RESUMED)
            await self._sides.tell_prompt("recording-paused" if muted else "recording-resumed")
