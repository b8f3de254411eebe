"""Calls whose end Asterisk's log will never have: found while the program runs, and priced from what the program saw.

A disk that is full when Asterisk writes, or an Asterisk that somebody else starts anew, leaves a call without its last rows.
Its hold would stay until the next start of the program.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.billing.metering.meter import Meter
from taxiphone.errors import AriError

log = logging.getLogger(__name__)

POLL_SECONDS = 10.0  # between two looks; a call is priced when it was found by two of them


async def watch(
    without_legs: Callable[[], Awaitable[set[str]]], meter: Meter, *, look_seconds: float = POLL_SECONDS
) -> None:
    """Look from time to time, until cancelled.

    Args:
        without_legs: the calls that are not priced, and that neither the program nor Asterisk has any more.
        meter: reads the log to its end first, which has the last word.
        look_seconds: between two looks.
    """
    before: set[str] = set()
    while True:
        await asyncio.sleep(look_seconds)
        try:
            found = await without_legs()
            if again := found & before:
                finished = await asyncio.to_thread(meter.abandoned, again)
                if finished:
                    log.warning(
                        "Asterisk's log has no end of %s: what the program saw of it was priced. "
                        "See: taxiphone call list, and whether the disk of the log is full",
                        ", ".join(finished),
                    )
            before = found
        except (AriError, SQLAlchemyError, OSError) as error:
            log.info("calls without an end could not be looked for: %s", error)
