"""One press counts as one key on a real Asterisk, whatever methods the carrier uses and however often it sends it."""

from __future__ import annotations

import asyncio

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

SHARED_DID = "+33199001200"


def both_methods(line, key, later):
    """Press a key by RTP events (RFC 4733), and repeat it later by SIP INFO."""

    async def info():
        await asyncio.sleep(later)
        await line.info(key)

    return asyncio.gather(line.key(key), info())


WAYS = {
    "INFO at once": lambda line, key: both_methods(line, key, 0),
    "INFO 50 ms later": lambda line, key: both_methods(line, key, 0.05),
    "INFO after the end": lambda line, key: both_methods(line, key, 0.12),
    "end packets with time stamps of their own": lambda line, key: line.key(key, ends=(0, 160, 320)),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_code_is_read_in_the_order_of_its_keys(wired, way):
    call = wired()
    await call.dial(SHARED_DID)
    await call.marked("identified")
    call.client.speak()  # Asterisk plays a key by INFO out while sound comes, and else only with the next packet
    await asyncio.sleep(2)  # the question has begun
    for key in f"{call.code}#":
        await WAYS[way](call.client, key)
        await asyncio.sleep(0.5)
    marked = await call.marked("consultant", 10)
    assert marked.detail == call.code
    await call.client.hang_up()


@pytest.mark.parametrize("who", ["client", "consultant"])
async def test_a_doubled_pause_key_pauses_the_recording_once(wired, who):
    call = wired(recording_allowed=True)
    await call.talk(record=True)
    call.client.speak()
    call.consultant.speak()
    line = getattr(call, who)
    for count, mark in enumerate(("recording paused", "recording resumed"), 1):
        await WAYS["INFO 50 ms later"](line, "0")
        await call.marked(mark)
        await asyncio.sleep(4)  # a second press would count once what the first one did has been said
        assert len(call.marks("recording paused") + call.marks("recording resumed")) == count
    assert [len(call.marks(mark)) for mark in ("recording paused", "recording resumed")] == [1, 1]
    await call.finished()


async def test_two_presses_of_one_key_150_ms_apart_are_two(wired):
    call = wired(code="7700")
    await call.dial(SHARED_DID)
    await call.marked("identified")
    await asyncio.sleep(2)
    for key in "70":
        await call.client.key(key)
        await asyncio.sleep(0.05)
        await call.client.key(key)
        await asyncio.sleep(0.3)
    await call.client.key("#")
    assert (await call.marked("consultant", 10)).detail == "7700"
    await call.client.hang_up()
