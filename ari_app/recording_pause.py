"""Pauses and resumes the recording of a talk when a key is pressed."""

from __future__ import annotations

import asyncio

from taxiphone.ari_app.ports import RecordingControl
from taxiphone.ari_app.taken_over import RECORDING_PAUSED, RECORDING_RESUMED
from taxiphone.ari_app.talk_sides import TalkSides


class RecordingPause:
    """Pauses and resumes the recording of one talk.

    Args:
        control: controls the recording.
        sides: the two sides of the talk.
        muted: whether the recording is paused already.
    """

    def __init__(self, control: RecordingControl, sides: TalkSides, *, muted: bool) -> None:
        self._control, self._sides, self._muted = control, sides, muted
        self._turn = asyncio.Lock()  # handles one key at a time

    async def toggle(self) -> None:
        """Pause the recording, or resume it, and tell both sides whether that succeeded."""
        async with self._turn:
            muted = not self._muted
            if not await self._control.mute(self._sides.consultant.id, muted):
                self._sides.note("recording unchanged")
                await self._sides.tell_prompt("recording-unchanged")
                return
            self._muted = muted
            self._sides.note(RECORDING_PAUSED if muted else RECORDING_RESUMED)
            await self._sides.tell_prompt("recording-paused" if muted else "recording-resumed")
