"""Pauses and resumes recordings with AMI's MixMonitorMute (panoramisk); ARI has no such command.

A connection is made for each use, which is rare. panoramisk 1.4 reconnects by itself and then replays unanswered actions,
which would be wrong for a stale "resume".
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from panoramisk import Manager

from taxiphone.dialplan.credentials import AMI_USER

log = logging.getLogger(__name__)


class AmiRecordingControl:
    """Controls recordings over AMI. Implements `ports.RecordingControl`.

    Args:
        port: AMI's port on loopback.
        secret: the password of the AMI user.
        answer_seconds: time-out of an action.
    """

    def __init__(self, port: int, secret: str, *, answer_seconds: float = 3.0) -> None:
        self._port, self._secret, self._seconds = port, secret, answer_seconds

    async def mute(self, channel: str, muted: bool) -> bool:
        """Start or stop recording silence instead of sound; False if Asterisk refused or did not answer.

        Args:
            channel: the channel's unique id. It is made by this program, so it contains nothing that a caller sent.
            muted: whether to record silence.
        """
        answer = await self._action(
            {"Action": "MixMonitorMute", "Channel": channel, "Direction": "both", "State": int(muted)}
        )
        if isinstance(answer, str):
            log.error(
                "AMI does not answer on 127.0.0.1:%d (%s): the recording continues unchanged.",
                self._port,
                answer,
            )
            return False
        if answer.response != "Success":
            log.error("%s: the recording could not be paused or resumed: %s", channel, answer.message)
            return False
        return True

    async def unavailable(self) -> str | None:
        """Why Asterisk's AMI can't be used; None if it answers and accepts our password."""
        answer = await self._action({"Action": "Ping"})
        if isinstance(answer, str):
            return answer
        return None if answer.response == "Success" else str(answer.message)

    async def _action(self, action: dict[str, Any]) -> Any:
        """Asterisk's answer to an action; a message if there was none."""
        manager = _Once(
            host="127.0.0.1", port=self._port, username=AMI_USER, secret=self._secret, events="off"
        )
        try:
            async with asyncio.timeout(self._seconds):
                await manager.connect()
                return await manager.send_action(action)
        except (OSError, TimeoutError) as error:
            return str(error) or f"no answer in {self._seconds:g} s"
        finally:
            manager.close()


class _Once(Manager):  # type: ignore[misc]  # panoramisk has no types
    """A manager that connects only once: an action that has failed must not be carried out later."""

    _tried = False

    def connect(self, *args: Any, **more: Any) -> Any:
        if self._tried:
            return None
        self._tried = True
        return super().connect(*args, **more)
