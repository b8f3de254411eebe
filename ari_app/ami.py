"""Pauses and resumes a recording: MixMonitorMute over AMI, which ARI has no command for (panoramisk).

A connection is made for each use: it is rare, and panoramisk 1.4 reconnects by itself and then sends once more what was
not answered, which for a stale "resume" would be wrong.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from panoramisk import Manager

from taxiphone.dialplan.credentials import AMI_USER

log = logging.getLogger(__name__)

_SECONDS = 3.0


class AmiRecordingControl:
    """AMI's use.

    Args:
        port: of AMI on loopback.
        secret: of its user.
    """

    def __init__(self, port: int, secret: str) -> None:
        self._port, self._secret = port, secret

    async def mute(self, channel: str, muted: bool) -> bool:
        """Record silence from a channel from now on, or its sound again; False where Asterisk did not.

        Args:
            channel: its unique id, which is ours: nothing that a caller sent.
            muted: whether silence is recorded.
        """
        answer = await self._action(
            {"Action": "MixMonitorMute", "Channel": channel, "Direction": "both", "State": int(muted)}
        )
        if isinstance(answer, str):
            log.error(
                "AMI does not answer on 127.0.0.1:%d (%s): the recording goes on as it was.",
                self._port,
                answer,
            )
            return False
        if answer.response != "Success":
            log.error("%s: the recording could not be paused or resumed: %s", channel, answer.message)
            return False
        return True

    async def answers(self) -> str | None:
        """Whether Asterisk's AMI is there and takes our password; else why not."""
        answer = await self._action({"Action": "Ping"})
        if isinstance(answer, str):
            return answer
        return None if answer.response == "Success" else str(answer.message)

    async def _action(self, action: dict[str, Any]) -> Any:
        """Asterisk's answer to an action; a sentence where there was none."""
        manager = _Once(
            host="127.0.0.1", port=self._port, username=AMI_USER, secret=self._secret, events="off"
        )
        try:
            async with asyncio.timeout(_SECONDS):
                await manager.connect()
                return await manager.send_action(action)
        except (OSError, TimeoutError) as error:
            return str(error) or f"nothing in {_SECONDS:g} s"
        finally:
            manager.close()


class _Once(Manager):  # type: ignore[misc]  # panoramisk has no types
    """A manager that connects once: what could not be done now is not done later."""

    _tried = False

    def connect(self, *args: Any, **more: Any) -> Any:
        if self._tried:
            return None
        self._tried = True
        return super().connect(*args, **more)
