"""On a real Asterisk, a phone that is silent for a valid reason isn't treated as dead; any other silent phone is."""

from __future__ import annotations

import asyncio
import signal

import numpy as np
import pytest
from talks import stretches

from taxiphone.billing.papers.explanation import explain
from taxiphone.store.models import Call
from taxiphone.store.types import now

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

TIMEOUT = 4  # rtp_timeout_seconds of the module's platform
LONG = TIMEOUT * 2 + 1


def decoded(alaw: bytes):
    """Decode A-law (G.711) to samples."""
    value = np.frombuffer(bytes(alaw), np.uint8) ^ 0x55
    exponent, mantissa = (value >> 4) & 7, (value & 0xF).astype(np.int32)
    size = np.where(
        exponent == 0,
        mantissa * 16 + 8,
        (mantissa * 16 + 264) << np.maximum(exponent.astype(np.int32) - 1, 0),
    )
    return np.where(value & 0x80, size, -size).astype(np.int16)


def hears_tone(line, hertz=425):
    return bool(stretches(decoded(line.media.heard), hertz))


async def repeat(act, every=1.0):
    while True:
        act()
        await asyncio.sleep(every)


async def goes_on(call, seconds=LONG):
    """Check that the talk continues for this long."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        assert call.why() is None
        await asyncio.sleep(0.5)


def left_first(call):
    """Return who left the talk first, according to `call explain`."""
    story = call.platform.database.read(lambda session: explain(session, session.get_one(Call, call.call_id)))
    return story["talk"]["left_first"]


@pytest.mark.parametrize("who", ["client", "consultant"])
@pytest.mark.parametrize("direction", ["recvonly", "sendonly", "inactive"])
async def test_who_only_listens_or_holds_is_not_a_dead_line(wired, who, direction):
    call = wired()
    await call.talk()
    silent, other = (call.client, call.consultant)[:: 1 if who == "client" else -1]
    other.speak()
    silent.speak()
    await asyncio.sleep(1)
    silent.be_silent()
    await silent.change(direction)
    other.media.heard.clear()
    await goes_on(call)
    assert hears_tone(other) == (direction != "recvonly")
    await silent.change("sendrecv")
    silent.speak()
    await asyncio.sleep(1)
    other.media.heard.clear()
    await asyncio.sleep(1.5)
    assert not hears_tone(other)
    row = await call.finished()
    assert row.billed_seconds > LONG
    assert not row.dropped
    assert row.fault is None


@pytest.mark.parametrize("sign", ["report", "comfort_noise"])
async def test_a_silent_phone_that_still_reports_is_not_a_dead_line(wired, sign):
    call = wired()
    await call.talk()
    call.client.speak()
    await asyncio.sleep(1)
    signs = asyncio.create_task(repeat(getattr(call.consultant, sign)))
    try:
        await goes_on(call)
    finally:
        signs.cancel()
    died = now()
    await call.marked("left", TIMEOUT + 5)
    assert call.why() == "consultant's line lost"
    row = await call.finished()
    assert abs((row.talk_to - died).total_seconds()) < 1.5
    assert row.billed_seconds >= LONG
    assert left_first(call) == "consultant"


async def test_who_accepts_by_a_key_and_then_is_silent_is_not_called_never_heard(wired):
    call = wired()
    await call.talk()
    call.client.speak()
    await call.marked("left", TIMEOUT + 5)
    assert call.why() == "consultant's line lost"
    row = await call.finished()
    assert left_first(call) == "consultant"
    assert row.fault is None
    assert row.billed_seconds == 0  # its last packet, the key, came before the talk


async def test_who_was_never_heard_is_not_billed(wired):
    call = wired()
    await call.talk(accept=lambda: call.consultant.info("1"))
    call.client.speak()
    await call.marked("left", 5)
    assert call.why() == "consultant not heard"
    row = await call.finished()
    assert row.fault == "one-way audio"
    assert row.review
    assert call.charged() == 0


async def test_ringing_that_was_sound_before_the_answer_does_not_count_as_heard(wired):
    call = wired()
    await call.dial()
    await call.marked("price told")
    await call.press_until("price heard", lambda: call.client.key("#"))
    call.consultant = await call.carrier.rings()
    call.consultant.progress()
    call.consultant.speak()
    await asyncio.sleep(0.6)
    call.consultant.be_silent()
    await asyncio.sleep(0.2)
    await call.consultant.answer()
    await call.marked("consultant answered")
    await call.press_until("accepted", lambda: call.consultant.info("1"))
    call.client.speak()
    await call.marked("left", 8)
    assert call.why() == "consultant not heard"
    await call.finished()


@pytest.mark.parametrize("knew", [True, False], ids=["before the kill", "while no program was there"])
async def test_a_program_that_is_killed_and_comes_back_knows_who_only_listens(wired, knew):
    call = wired()
    await call.talk()
    call.client.speak()
    call.consultant.speak()
    await asyncio.sleep(1)
    call.client.be_silent()
    if knew:
        await call.client.change("recvonly")
    call.platform.signal(signal.SIGKILL)
    await call.platform.ended()
    if not knew:
        await call.client.change("recvonly")
    await call.platform.start()
    await goes_on(call)
    row = await call.finished()
    assert not row.dropped


async def test_two_lines_that_die_at_once_end_the_talk_at_their_last_packet(wired):
    call = wired()
    await call.talk()
    call.client.speak()
    call.consultant.speak()
    await asyncio.sleep(2)
    call.client.be_silent()
    call.consultant.be_silent()
    died = now()
    await call.marked("left", TIMEOUT + 5)
    row = await call.finished()
    assert row.dropped
    assert abs((row.talk_to - died).total_seconds()) < 0.7
