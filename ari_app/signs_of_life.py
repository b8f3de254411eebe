"""Records every few seconds which talks are still in progress, for all talks with one request and one transaction.

This is the evidence of a talk's length if Asterisk dies, or if a clock is set (billing/evidence/proof.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.channels import Channels
from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.errors import AriError
from taxiphone.store import calls
from taxiphone.store.calls import ALIVE
from taxiphone.store.types import moment

log = logging.getLogger(__name__)

_ALIVE_SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class TalkInProgress:
    """A talk whose two legs have been bridged.

    Attributes:
        call_id: the call's id.
        bridge: the bridge's id.
        channels: the channels' ids.
        packets: returns the packets that have come from the client and from the consultant.
    """

    call_id: str
    bridge: str
    channels: frozenset[str]
    packets: Callable[[], tuple[int, int]]


class SignsOfLife:
    """The talks in progress, and the task that records them while there are any.

    Args:
        channels: the commands about bridges.
        database: the database.
        seconds: how often they are recorded.
    """

    def __init__(
        self, channels: Channels, database: DatabaseWithTimeout, *, seconds: float = _ALIVE_SECONDS
    ) -> None:
        self._channels, self._database, self._seconds = channels, database, seconds
        self._talks: set[TalkInProgress] = set()
        self._task: asyncio.Task[None] | None = None

    def begin(self, talk: TalkInProgress) -> None:
        """Record from now on, every few seconds, that this talk is in progress."""
        self._talks.add(talk)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="signs of life")

    def end(self, talk: TalkInProgress) -> None:
        """Stop recording this talk."""
        self._talks.discard(talk)
        if not self._talks and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self._record()
            except (AriError, SQLAlchemyError) as error:
                log.debug("which talks are in progress could not be recorded: %s", error)
            except Exception:
                log.exception("which talks are in progress could not be recorded")

    async def _record(self) -> None:
        # Both are taken before the request: it shows that these talks lasted until this moment at least.
        talks, asked_at = list(self._talks), moment()
        bridges = await self._channels.bridged()
        seen = [
            (talk.call_id, "packets {} {}".format(*talk.packets()))
            for talk in talks
            if talk.channels <= bridges.get(talk.bridge, frozenset())
        ]

        def work(connection: Connection) -> None:
            for call_id, packets in seen:
                calls.add_event(connection, call_id, ALIVE, packets, when=asked_at)

        if seen:
            await self._database.write(work)
