"""The recording, by real calls in French and English: who is asked, what is announced, and what it costs."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from taxiphone.store.models import Receipt

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

TALK_SECONDS = 1.5


async def asked(call):
    """Let the client skip the price and be asked about the recording."""
    await call.dial()
    await call.client_ear.begins("press-hash-to-skip")
    await call.press("#")


async def talk(call):
    await call.platform.marked(call.call_id, "bridging")
    await asyncio.gather(call.client.speak(), call.consultant.speak())
    await asyncio.sleep(TALK_SECONDS)
    await call.client.hang_up()
    return await call.finished()


def receipt(call):
    def look(session):
        return [line["what"] for line in session.query(Receipt).filter_by(call_id=call.call_id).one().lines]

    return call.platform.database.read(look)


async def test_fee_and_last_day_are_announced_both_agree_and_only_the_talk_is_recorded(
    in_both_languages,
):
    async def story(call):
        await asked(call)
        await call.hears(call.recording_offer(), "recording-choice")
        await call.press("1")
        await call.hears("recording-yes")
        await call.consultant.ringing(30)
        await call.consultant.answer()
        speech = call.consultants_speech
        await call.consultant_hears(
            (
                *speech.prompt("talk-recorded"),
                *speech.pause_key("0"),
                *speech.prompt("accept-menu-recorded"),
            )
        )
        await call.consultant.press("1")
        row = await talk(call)
        recording = await call.them.recorded(call.call_id)
        assert recording.status == "ready"
        talked = (row.talk_to - row.talk_from).total_seconds()
        assert abs(recording.milliseconds / 1000 - talked) <= 0.2, "nothing from before the bridge"
        assert len(receipt(call)) == 2

    await in_both_languages(story)


async def test_only_the_key_1_means_yes(in_both_languages):
    async def story(call, answer):
        await asked(call)
        await call.client_ear.begins("recording-choice")
        if answer:
            await call.press(answer)
        await call.hears("recording-no")
        await call.consultant.ringing(30)
        await call.consultant.answer()
        await call.consultant_ear.begins("accept-menu")
        assert not call.consultant_ear.all().began("talk-recorded")
        await call.client.hang_up()
        assert not (await call.finished()).recording_asked

    await in_both_languages(*(partial(story, answer=answer) for answer in ("2", "", "9")))


async def test_a_consultant_who_refuses_the_recording_alone_talks_and_it_costs_no_fee(in_both_languages):
    async def story(call):
        await asked(call)
        await call.client_ear.begins("recording-choice")
        await call.press("1")
        await call.accept("2", "accept-menu-recorded")
        await call.hears("consultant-refused-recording")
        row = await talk(call)
        assert not row.recording_asked
        assert len(receipt(call)) == 1

    await in_both_languages(story)


async def test_where_the_consultant_allows_no_recording_none_is_offered(in_both_languages):
    async def story(call):
        await asked(call)
        await call.hears("connecting")
        assert not call.client_ear.all().began("recording-offer")
        await call.client.hang_up()
        await call.finished()

    await in_both_languages(story, recording_allowed=False)
