"""Reaching the consultant, by real calls: what each phone shows and hears, and what the client hears."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from taxiphone.demo.platform import CLI
from taxiphone.directory import consultants
from taxiphone.store.calls import Outcome

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

REFUSED = ("nothing-charged", "goodbye")


async def until_ringing(call):
    """Let the client skip the price and the consultant's phone ring."""
    await call.dial()
    await call.client_ear.begins("press-hash-to-skip")
    await call.press("#")
    await call.hears("connecting")
    await call.consultant.ringing()


async def nothing_was_charged(call, outcome, *told):
    await call.hears(*told, *REFUSED, seconds=60)  # a voicemail is asked twice, to the end
    assert (await call.finished()).outcome == outcome
    assert call.them.wallet() == call.them.credit


def second_phone(call, hertz=1100):
    """Add another phone of the consultant."""
    number = call.consultant.number.replace("+33639982", "+33639985")
    call.platform.database.do(
        lambda session: consultants.set_consultant(
            session, call.settings, call.them.consultant_code, more_phones=[number]
        )
    )
    return call.them.everyone.network.phone(f"second {call.consultant.name}", number, hertz)


def tells_of(message, number, name):
    """Tell whether a SIP message contains a person's number in any format, or their name."""
    return number[-9:] in message.text or name.lower() in message.text.lower()


async def neither_sees_the_other(call, *phones):
    """Assert that no message received by one side contains the other's number or name."""
    number = int(call.client.number[-3:])
    to_client = await call.sip(call.client)
    assert any(message.text.startswith("SIP/2.0 200") for message in to_client)
    assert any(tells_of(m, call.client.number, "nobody") for m in to_client), "its own is found in them"
    for phone in phones:
        assert not [m.text for m in to_client if tells_of(m, phone.number, f"consultant {number}")]
        to_phone = await call.sip(phone)
        assert not [m.text for m in to_phone if tells_of(m, call.client.number, f"client {number}")]
        invites = [message for message in to_phone if message.is_invite]
        assert invites
        for invite in invites:
            assert CLI in invite.header("From")
            assert CLI in invite.header("P-Asserted-Identity")
            for name in ("Remote-Party-ID", "Diversion", "History-Info", "Referred-By"):
                assert invite.header(name) == ""


async def test_the_consultant_hears_whose_call_it_is_and_accepts_with_1_and_neither_sees_the_others_number(
    in_both_languages,
):
    async def story(call):
        await until_ringing(call)
        assert (call.consultant.caller, call.consultant.caller_name) == (CLI, "Taxiphone")
        await call.consultant.answer()
        speech = call.consultants_speech
        await call.consultant_hears(
            "consultant-call", "mode-per-minute", speech.call_from(call.clients_name), "accept-menu"
        )
        await call.consultant.press("1")
        await asyncio.gather(call.hears("tone-start"), call.consultant_hears("tone-start"))
        await asyncio.gather(call.client.speak(), call.consultant.speak())
        await call.platform.marked(call.call_id, "bridging")
        await asyncio.sleep(1.5)
        await call.client.hang_up()
        assert (await call.finished()).outcome == Outcome.TALKED
        await neither_sees_the_other(call, call.consultant)

    await in_both_languages(story, recording_allowed=False)


NOT_REACHED = [
    ("busy", Outcome.BUSY, "busy"),
    ("rings", Outcome.NO_ANSWER, "no-answer"),
    ("declines", Outcome.REFUSED, "refused"),
    ("3", Outcome.REFUSED, "refused"),
    ("voicemail", Outcome.NOT_ACCEPTED, "not-accepted"),
]


async def test_each_way_of_not_reaching_the_consultant_is_announced_and_costs_nothing(in_both_languages):
    async def story(call, how, outcome, told):
        await until_ringing(call)
        match how:
            case "busy":
                await call.consultant.decline("busy")
            case "declines":
                await call.consultant.decline("normal")
            case "3":
                await call.consultant.answer()
                await call.consultant_ear.begins("accept-menu")
                await call.consultant.press("3")
            case "voicemail":
                await call.consultant.answer()
                await call.consultant.speak()
        await nothing_was_charged(call, outcome, told)
        await neither_sees_the_other(call, call.consultant)

    stories = [partial(story, how=how, outcome=outcome, told=told) for how, outcome, told in NOT_REACHED]
    await in_both_languages(*stories, recording_allowed=False)


async def test_star_pauses_the_consultant_who_is_not_called_again(in_both_languages):
    async def story(call):
        await until_ringing(call)
        await call.consultant.answer()
        await call.consultant_ear.begins("accept-menu")
        await call.consultant.press("*")
        await call.consultant_hears(call.consultants_speech.paused_for(call.settings.call.pause_minutes))
        await nothing_was_charged(call, Outcome.UNAVAILABLE, "consultant-unavailable")
        leg = call.consultant.leg
        await call.dial()
        await nothing_was_charged(call, Outcome.UNAVAILABLE, "consultant-unavailable")
        assert call.consultant.leg is leg

    await in_both_languages(story, recording_allowed=False)


async def test_an_unavailable_consultant_is_announced_and_not_rung(in_both_languages):
    async def story(call):
        await call.dial()
        await nothing_was_charged(call, Outcome.UNAVAILABLE, "consultant-unavailable")
        assert call.consultant.leg is None

    await in_both_languages(story, available=False)


async def test_the_next_phone_is_rung_when_the_first_does_not_answer(in_both_languages):
    async def story(call):
        second = second_phone(call)
        ear = call.ear(second)
        await until_ringing(call)
        await call.consultant.decline("busy")
        await second.ringing()
        await second.answer()
        await ear.begins("accept-menu")
        await second.press("1")
        await call.hears("tone-start")
        await call.platform.marked(call.call_id, "bridging")
        await asyncio.gather(call.client.speak(), second.speak())
        await asyncio.sleep(1)
        await second.hang_up()
        assert (await call.finished()).outcome == Outcome.TALKED
        assert call.client.heard(second.hertz).present
        await neither_sees_the_other(call, call.consultant, second)

    await in_both_languages(story, recording_allowed=False)


async def test_of_phones_that_ring_at_once_the_first_to_accept_wins_and_the_others_hear_so(
    in_both_languages,
):
    async def story(call):
        second = second_phone(call)
        ear = call.ear(second)
        call.set_consultant(ring_at_once=True)
        await until_ringing(call)
        await second.ringing()
        await asyncio.gather(call.consultant.answer(), second.answer())
        await asyncio.gather(call.consultant_ear.begins("accept-menu"), ear.begins("accept-menu"))
        await second.press("1")
        await call.consultant_hears("taken-elsewhere")
        await call.consultant.ended(5)
        await call.hears("tone-start")
        await call.platform.marked(call.call_id, "bridging")
        await call.client.hang_up()
        await second.hang_up()
        assert (await call.finished()).consultant_channel.endswith(".2")
        await neither_sees_the_other(call, call.consultant, second)

    await in_both_languages(story, recording_allowed=False)


async def test_ringing_is_recorded_when_the_invite_is_sent(scene):
    call = scene(recording_allowed=False)
    await until_ringing(call)
    mark = await call.platform.marked(call.call_id, "ringing")
    await call.client.hang_up()
    await call.finished()
    [invite] = [message for message in await call.sip(call.consultant) if message.is_invite]
    assert 0 <= (invite.at - mark.at).total_seconds() < 1
