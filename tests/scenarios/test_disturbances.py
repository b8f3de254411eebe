"""Whatever either side does at whichever prompt: nothing is charged that was not talked, and nothing is left.

The prompts are not picked: a call in which everything is asked for is lived once, and each prompt that was heard in it
is disturbed in every way. `live` asserts what must hold.
"""

from __future__ import annotations

import asyncio

import pytest

from taxiphone.billing import ledger
from taxiphone.simulate.script import deed

ENDS = "talk 75: client hangs up"
# It hears every question that is put to a client whose number is known, and to a consultant.
SHARED_DID = "+33199001235"
STORY = (
    "client hears enter-code: press 1234#",
    "client hears recording-choice: press 1",
    "client hears rate-offer: press 5",
    "talk 75: consultant hangs up",
)

LATER = 7200  # seconds: no line that was cut goes on, and no consultant is paused any more

DISTURBANCES = {
    "hangs up": "hang up",
    "hangs up late": "after 3, hang up",
    "wrong key": "press 7",
    "hash": "press #",
    "star": "press *",
    "too late": "after 20, press 1",
    "twice": "press 11",
    "many at once": "press 123456789*0#",
    "silence": "nothing",
    "line drops": "line drops",
    "line dies": "line dies",
}


async def heard_by(live, ears, who):
    """The prompts of a call in which everything is asked for, each once, in their order."""
    await live(*STORY, dialled=SHARED_DID)
    return [sound for sound in dict.fromkeys(ears.of(who)) if "/" not in sound]


@pytest.mark.parametrize("who", ["client", "consultant"])
@pytest.mark.parametrize("does", DISTURBANCES.values(), ids=DISTURBANCES.keys())
async def test_whatever_is_done_at_a_prompt_nothing_is_charged_but_talk_and_nothing_is_left(
    live, ears, who, does, database
):
    prompts = await heard_by(live, ears, who)
    assert len(prompts) > (10 if who == "client" else 4)
    for prompt in prompts:
        kept = [line for line in STORY if (deed(line).who, deed(line).hears) != (who, prompt)]
        database.do(top_up)
        await asyncio.sleep(LATER)
        await live(*kept, f"{who} hears {prompt}: {does}", dialled=SHARED_DID, between_keys=0.02)


@pytest.mark.parametrize("key", ["1", "#", "9", "*"])
async def test_a_key_that_comes_before_any_question_chooses_nothing(live, ears, key):
    call = await live(f"client hears welcome: press {key}{key}{key}", "consultant rings: busy")
    assert not call.recording_asked
    assert "price-is" in ears.of("client")


async def test_a_hang_up_at_any_moment_of_the_call_leaves_nothing(live, database):
    begin = asyncio.get_running_loop().time()
    await live(*STORY, dialled=SHARED_DID)
    length = int(asyncio.get_running_loop().time() - begin)
    for second in range(0, length, 4):
        database.do(top_up)
        await asyncio.sleep(LATER)
        await live(*STORY, f"at {second}: client hangs up", dialled=SHARED_DID)


def top_up(session):
    """So much that the credit never ends the series."""
    ledger.top_up(session, 1, 5000, "EUR")
