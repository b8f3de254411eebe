"""Waits that asyncio lacks: until a leg has gone, and to completion in spite of cancellation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from taxiphone.ari_app.router import Leg

Result = TypeVar("Result")


class CallerGoneError(Exception):
    """The caller has hung up. `staying` raises it from whatever the block was waiting for."""


@contextlib.asynccontextmanager
async def staying(leg: Leg) -> AsyncIterator[None]:
    """Interrupt the block as soon as `leg` hangs up.

    Raises:
        CallerGoneError: the leg hung up.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("staying() is used outside a task")
    hung_up, inside = False, True

    def stop(_: asyncio.Task[bool]) -> None:
        nonlocal hung_up
        # It may have been scheduled just before the block ended, in the same turn of the loop.
        if inside and leg.gone.is_set():
            hung_up = True
            task.cancel()

    watch = asyncio.ensure_future(leg.gone.wait())
    watch.add_done_callback(stop)
    try:
        yield
    except asyncio.CancelledError:
        if hung_up and task.uncancel() == 0:
            raise CallerGoneError from None
        raise
    except BaseException:
        # The cancellation was for this block, which failed while it was being left.
        if hung_up:
            task.uncancel()
        raise
    finally:
        inside = False
        watch.cancel()


async def to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` to completion; a cancellation takes effect only afterwards.

    Raises:
        asyncio.CancelledError: the work is done, and the waiting task was cancelled meanwhile.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
        except Exception:  # noqa: BLE001 - raised by task.result() below
            break
    result = task.result()
    if cancelled:
        raise asyncio.CancelledError
    return result


async def first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait until the first of these is done, and cancel the others."""
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
