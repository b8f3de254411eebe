"""A person at a terminal is asked for keys when the call waits for either side, and time stands still meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from taxiphone.simulate.terminal import PersonAtTerminal
from taxiphone.store.calls import Outcome

CLIENT, SHARED_DID = "+33639980001", "+33199001235"


@pytest.fixture
def typed(world):
    """Run a call with typed lines: `await typed(*lines)` returns how it ended and who was asked."""

    async def typed(*lines):
        waiting, asked = list(lines), []

        async def ask(who, _what):
            asked.append(who)
            await asyncio.sleep(0)
            return waiting.pop(0) if waiting else None

        person = PersonAtTerminal(world.asterisk, "c1", asyncio.get_running_loop(), ask)
        ended = await world.live(world.arrive(dialled=SHARED_DID, caller=CLIENT, channel="c1"))
        person.leave()
        return ended.outcome, asked

    return typed


async def test_both_sides_are_asked_in_turn_and_the_talk_lasts_as_long_as_was_typed(
    typed, ears, nothing_left
):
    outcome, asked = await typed("1234#", "", "2", "answer", "1", "40", "client #*", "5")
    assert outcome == Outcome.TALKED
    assert asked == ["client"] * 3 + ["consultant"] * 2 + ["talk"] * 2 + ["client"]
    assert ears.talked == pytest.approx(40, abs=1)
    nothing_left()


async def test_an_answer_that_is_not_understood_is_asked_for_again(typed):
    outcome, asked = await typed("what?", "1234#", "", "2", "busy")
    assert outcome == Outcome.BUSY
    assert asked == ["client"] * 4 + ["consultant"]


async def test_the_end_of_the_input_hangs_up(typed, nothing_left):
    assert await typed() == (Outcome.CALLER_GONE, ["client"])
    nothing_left()
