"""Real calls on a real Asterisk: two phones with keys and voices, checked by what they heard and by the ledger."""

from __future__ import annotations

import asyncio
import math

import pytest
from sqlalchemy import select

from taxiphone.billing.evidence import cel
from taxiphone.demo import report
from taxiphone.demo.platform import CLI
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call, Receipt

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

TALK_SECONDS = 2.4


async def test_a_recorded_talk_is_priced_and_heard_on_both_phones_and_in_the_mp3(cast):
    them = cast()
    call_id = await them.connect(record=True)
    await asyncio.sleep(TALK_SECONDS)
    await them.client.hang_up()
    await them.platform.marked(call_id, "left", 1)
    call = await them.finished(call_id, 1)
    assert (call.status, call.outcome) == (Status.RATED, Outcome.TALKED)
    talked = (call.talk_to - call.talk_from).total_seconds()
    assert TALK_SECONDS - 0.2 < talked < TALK_SECONDS + 0.5
    assert call.billed_seconds == math.ceil(talked)
    for phone, other in ((them.client, them.consultant), (them.consultant, them.client)):
        heard = phone.heard(other.hertz)
        assert heard.present
        assert abs(heard.seconds - talked) < 0.5
    assert them.consultant.caller == CLI
    recording = await them.recorded(call_id)
    assert recording.status == "ready"
    assert abs(recording.milliseconds / 1000 - talked) <= 0.2
    receipt = them.platform.database.do(
        lambda session: session.query(Receipt).filter_by(call_id=call_id).one()
    )
    talk_cents = (155 * call.billed_seconds * 2 + 60) // 120
    assert receipt.total == talk_cents + 500
    assert them.wallet() == them.credit - talk_cents - 500
    await them.nothing_left()


async def test_both_voices_are_in_every_one_of_several_recordings_at_once(cast, tmp_path):
    several = [cast() for _ in range(6)]

    async def recorded_talk(them):
        call_id = await them.connect(record=True)
        await asyncio.sleep(1.5)
        await them.client.hang_up()
        await them.finished(call_id)
        return await them.recorded(call_id)

    for recording in await asyncio.gather(*(recorded_talk(them) for them in several)):
        mp3 = several[0].platform.settings.recordings / recording.mp3
        voices = report.voices(mp3, tmp_path / "decoded.wav")
        assert {name: heard.present for name, heard in voices.items()} == {"client": True, "consultant": True}
    await several[0].nothing_left()


async def test_the_consultant_may_hang_up_first_and_a_talk_that_nobody_wanted_recorded_is_not(cast):
    them = cast()
    call_id = await them.connect()
    await asyncio.sleep(1)
    await them.consultant.hang_up()
    await them.platform.marked(call_id, "left", 1)
    call = await them.finished(call_id, 1)
    assert call.status == Status.RATED
    assert not list(them.platform.settings.captured.glob(f"{call_id}*"))
    assert not list(them.platform.settings.recordings.glob(f"{call_id}*"))
    assert them.credit - them.wallet() == (155 * call.billed_seconds * 2 + 60) // 120
    await them.nothing_left()


async def test_both_may_hang_up_at_once(cast):
    them = cast(recording_allowed=False)
    call_id = await them.connect(record=None)
    await asyncio.sleep(0.5)
    await asyncio.gather(them.client.hang_up(), them.consultant.hang_up())
    call = await them.finished(call_id, 2)
    assert call.status == Status.RATED
    assert call.billed_seconds in {1, 2}
    await them.nothing_left()


async def test_two_calls_at_once_do_not_mix(cast):
    first, second = cast(recording_allowed=False), cast(recording_allowed=False)
    second.client.hertz, second.consultant.hertz = 1500, 1900
    for them in (first, second):
        them.everyone.network.phone(them.client.name, them.client.number, them.client.hertz)
    second.client = second.everyone.network.phone(second.client.name, second.client.number, 1500)
    second.consultant = second.everyone.network.phone(second.consultant.name, second.consultant.number, 1900)
    one = await first.connect(record=None)
    two = await second.connect(record=None)
    await asyncio.sleep(1)
    await asyncio.gather(first.client.hang_up(), second.consultant.hang_up())
    for them, call_id in ((first, one), (second, two)):
        assert (await them.finished(call_id)).status == Status.RATED
    assert first.client.heard(1100).present
    assert not first.client.heard(1900).present
    assert second.client.heard(1900).present
    assert not second.client.heard(1100).present
    await first.nothing_left()


async def test_a_caller_who_hangs_up_while_it_rings_stops_the_ringing(cast):
    them = cast(recording_allowed=False)
    call_id = await them.ring()
    await them.client.hang_up()
    await them.consultant.ended(1)
    call = await them.finished(call_id)
    assert (call.status, call.outcome) == (Status.CLOSED, Outcome.CALLER_GONE)
    assert them.wallet() == them.credit
    await them.nothing_left()


async def test_a_dialled_number_with_a_line_break_is_invalid_and_appears_in_no_log(cast):
    them = cast()
    port = them.platform.settings.asterisk.sip_port
    await dial_uri(them, f"sip:{them.did}%0ax@127.0.0.1:{port}", them.client.number)
    await them.client.ended(10)
    assert not them.client.leg.entered.is_set()
    assert calls_to(them) == []
    every_line_parses(them)
    await them.nothing_left()


async def test_a_line_break_in_the_callers_number_changes_neither_the_log_nor_the_price(cast):
    them = cast()
    port = them.platform.settings.asterisk.sip_port
    await dial_uri(them, f"sip:{them.did}@127.0.0.1:{port}", f'{them.client.number}\n"CHAN_END",x')
    [call_id] = await them.platform.until(lambda _: calls_to(them), "a call arrives")
    await them.client.connected()
    await them.client.hang_up()
    call = await them.finished(call_id)
    assert call.status == Status.CLOSED
    every_line_parses(them)


async def dial_uri(them, uri, shown):
    phone = them.client
    phone.leg = phone.router.open(f"{phone.name}-{them.did.lstrip('+')}")
    await phone.ari.request(
        "POST",
        "channels",
        {
            "endpoint": f"PJSIP/platform/{uri}",
            "channelId": phone.leg.id,
            "context": "phone",
            "extension": "s",
            "priority": 1,
            "callerId": f"<{shown}>",
            "timeout": 10,
        },
    )


def calls_to(them):
    return them.platform.database.do(
        lambda session: session.scalars(select(Call.id).where(Call.dialled == them.did)).all()
    )


def every_line_parses(them):
    for line in them.platform.settings.cel_file.read_text().splitlines():
        cel.parse(line)
