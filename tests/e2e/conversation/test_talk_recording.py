"""Either side pauses and resumes the recording by key: both hear it, and the pause isn't recorded."""

from __future__ import annotations

import asyncio

import pytest
import talks

from taxiphone.demo import report
from taxiphone.demo.sound import read_wav
from taxiphone.store.models import Call

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

# Seconds at most between the MP3 and the talk: Asterisk records no packet that never came, and of tests on a busy
# machine some do not. The pause is four seconds.
LENGTHS_DIFFER = 1.0
MOMENT = LENGTHS_DIFFER  # for a key, and the way to Asterisk and back


async def both(call, what):
    """Wait until each has heard this prompt in their own language."""
    [spans, _] = await asyncio.gather(call.hears(what), call.consultant_hears(what))
    return spans


async def test_what_is_said_while_the_recording_is_paused_is_not_in_it(scene, tmp_path):
    async def story(call):
        await talks.begin(call, record=True)
        await asyncio.sleep(2)  # they talk for this long
        await call.press("0")
        paused = await call.platform.marked(call.call_id, "recording paused")
        await both(call, "recording-paused")
        await asyncio.sleep(2)
        await call.consultant.press("0")
        resumed = await call.platform.marked(call.call_id, "recording resumed")
        sentence = await both(call, "recording-resumed")
        await asyncio.sleep(2)
        await call.client.hang_up()
        bill = await talks.priced(call)
        await talks.let_go(call)
        recording = await call.them.recorded(call.call_id)
        assert recording.status == "ready"
        assert abs(recording.milliseconds / 1000 - bill.talked) <= LENGTHS_DIFFER

        wav = tmp_path / f"{call.call_id}.wav"
        voices = report.voices(call.settings.recordings / recording.mp3, wav)
        assert voices["client"].present
        assert voices["consultant"].present
        row = call.platform.database.do(lambda session: session.get_one(Call, call.call_id))
        off, on = ((mark.at - row.talk_from).total_seconds() for mark in (paused, resumed))
        longest = sentence[0].end - sentence[0].begin + 1.0  # the other's sentence may be longer
        for phone in (call.client, call.consultant):
            before, *between, after = talks.stretches(read_wav(wav), phone.hertz)
            begin, end = before[1], after[0]
            assert not [each for each in between if each[0] < on - MOMENT]
            assert abs(begin - off) < MOMENT
            assert on - MOMENT < end < on + longest + MOMENT

    calls = [scene("fr", consultant_language="en"), scene("en", consultant_language="fr")]
    await talks.at_once(*map(story, calls))
    await calls[0].them.nothing_left()


async def test_in_a_talk_that_is_not_recorded_the_key_does_nothing(scene):
    call = scene("fr")
    await talks.begin(call, record=False)
    await call.press("0")
    await call.press("#*")
    await call.hears("you-ended")
    assert not call.client_ear.all().spans("recording-paused")
    await talks.priced(call)
    await talks.let_go(call)
    await call.them.nothing_left()
