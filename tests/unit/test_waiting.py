"""Steps that end when the caller hangs up."""

import asyncio

import pytest

from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.waiting import CallerGoneError, staying


async def waits(leg: Leg) -> None:
    async with staying(leg):
        leg.mark_gone()
        await asyncio.Event().wait()


async def fails_while_it_ends(leg: Leg) -> None:
    async with staying(leg):
        leg.mark_gone()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("cleaning up")


async def test_a_step_ends_when_the_caller_hangs_up() -> None:
    with pytest.raises(CallerGoneError):
        await waits(Leg("client"))


async def test_a_step_that_fails_while_it_ends_does_not_cancel_the_next_one() -> None:
    with pytest.raises(ValueError, match="cleaning up"):
        await fails_while_it_ends(Leg("client"))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    with pytest.raises(CallerGoneError):
        await waits(Leg("client"))
