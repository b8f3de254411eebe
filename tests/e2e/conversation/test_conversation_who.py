"""Identifying callers and consultants, by real calls in French and English: numbers, codes and PINs."""

from __future__ import annotations

import pytest
from hearing import Library

from taxiphone.directory import clients, dids
from taxiphone.store.calls import Outcome
from taxiphone.store.types import now

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

PIN, WRONG_PIN = "826401", "593718"
REFUSED = ("nothing-charged", "goodbye")


def elsewhere(call):
    """A number that belongs to no client."""
    return call.client.number.replace("+33639981", "+33639986")


async def sign_in(call, pin):
    """Enter the client's code and a PIN when each is asked for."""
    await call.client_ear.begins("enter-client-code")
    await call.press(f"{call.client_code}#")
    await call.client_ear.begins("enter-pin")
    await call.press(f"{pin}#")


async def gone(call, outcome=Outcome.CALLER_GONE):
    """Hang up as the client, and check that nothing was charged."""
    await call.client.hang_up()
    row = await call.finished()
    assert row.outcome == outcome
    assert call.them.wallet() == call.them.credit
    return row


async def test_a_client_is_known_by_each_of_several_numbers(in_both_languages):
    async def story(call):
        second = elsewhere(call)
        call.platform.database.do(
            lambda session: clients.set_client(session, call.settings, call.client_code, add_phones=[second])
        )
        for number in (call.client.number, second):
            await call.dial(caller_id=number)
            await call.hears("welcome")
            await call.client_ear.begins("consultant-is")
            await gone(call)

    await in_both_languages(story)


async def test_a_hidden_number_signs_in_and_is_spoken_to_in_the_clients_own_language(scene):
    # The number dialled speaks English, the client French.
    call = scene("en")
    call.set_pin()
    call.set_client(language="fr")
    await call.dial(caller_id="")
    await call.hears("welcome", "number-not-known")
    await sign_in(call, PIN)
    call.client_ear.library = Library(call.settings, "fr")
    await call.client_ear.begins("consultant-is")
    assert not call.client_ear.all().began("add-number-offer"), "there is no number to add"
    await call.client.hang_up()
    assert (await call.them.finished(call.call_id)).language == "fr"


async def test_an_unknown_number_signs_in_and_is_known_from_then_on(in_both_languages):
    async def story(call):
        call.set_pin()
        await call.dial(caller_id=elsewhere(call))
        await call.hears("welcome", "number-not-known")
        await sign_in(call, PIN)
        await call.client_ear.begins("add-number-offer")
        await call.press("1")
        await call.hears("number-added")
        await gone(call)
        await call.dial(caller_id=elsewhere(call))
        await call.hears("welcome")
        await call.client_ear.begins("consultant-is")
        await gone(call)

    await in_both_languages(story)


async def test_three_wrong_pins_end_the_call_and_the_next_one_has_to_wait(in_both_languages):
    async def story(call):
        call.set_pin()
        await call.dial(caller_id=elsewhere(call))
        tries = call.settings.call.code_tries
        for number in range(tries):
            await sign_in(call, WRONG_PIN)
            if number < tries - 1:
                await call.hears("wrong-pin")
        ended = await call.finished()
        assert ended.outcome in {Outcome.WRONG_PIN, Outcome.PIN_PAUSED}
        await call.dial(caller_id=elsewhere(call))
        await call.hears("pin-paused")
        assert (await call.finished()).outcome == Outcome.PIN_PAUSED

    await in_both_languages(story)


async def test_a_caller_who_enters_nothing_stays_unknown(in_both_languages):
    async def story(call):
        await call.dial(caller_id=elsewhere(call))
        await call.hears("number-not-known", "enter-client-code")
        await call.hears("unknown-caller")
        assert (await call.finished()).outcome == Outcome.UNKNOWN_CALLER

    await in_both_languages(story)


@pytest.mark.parametrize(
    ("columns", "outcome", "told"),
    [
        ({"blocked": True}, Outcome.BLOCKED, "blocked"),
        ({"closed_at": now()}, Outcome.ACCOUNT_CLOSED, "account-closed"),
    ],
    ids=["blocked", "closed"],
)
async def test_a_blocked_client_and_a_closed_account_hear_the_reason(
    in_both_languages, columns, outcome, told
):
    async def story(call):
        call.set_client(**columns)
        await call.dial()
        await call.hears(told)
        await gone(call, outcome)

    await in_both_languages(story)


async def test_too_little_credit_for_the_first_minute_is_announced_with_the_balance(in_both_languages):
    async def story(call):
        await call.dial()
        await call.hears("no-credit", call.speech.credit_is(154, "EUR"), "goodbye")
        await gone(call, Outcome.NO_CREDIT)

    await in_both_languages(story, credit=154)


async def test_a_number_that_is_not_in_service_is_announced_as_such(in_both_languages):
    async def story(call):
        await call.dial(call.them.did.replace("+33639983", "+33639987"))
        await call.hears("unknown-number")
        assert (await call.finished()).outcome == Outcome.UNKNOWN_NUMBER

    await in_both_languages(story)


def everybodys(call):
    """A number of the platform shared by all consultants."""
    number = call.them.did.replace("+33639983", "+33639988")
    call.platform.database.do(
        lambda session: dids.add_number(session, call.settings, number=number, language=call.speech.language)
    )
    return number


async def test_the_code_is_entered_the_name_is_said_and_star_selects_the_last_consultant(
    in_both_languages,
):
    async def story(call):
        shared = everybodys(call)
        await call.dial(shared)
        await call.client_ear.begins("enter-code")
        await call.press("*")
        await call.hears("no-last-consultant")
        await call.client_ear.begins("enter-code")
        await call.press(f"{call.them.consultant_code}#")
        await call.client_ear.begins("press-hash-to-skip")
        assert call.client_ear.all().said(*call.speech.consultant_is(call.consultants_name))
        await call.press("#")
        await call.accept()
        await call.platform.marked(call.call_id, "bridging")
        await call.client.hang_up()
        assert (await call.finished()).outcome == Outcome.TALKED
        await call.dial(shared)
        await call.hears("enter-code", "star-for-last")
        await call.press("*")
        await call.hears(call.speech.consultant_is(call.consultants_name))
        await call.client.hang_up()
        assert (await call.finished()).outcome == Outcome.CALLER_GONE

    await in_both_languages(story, recording_allowed=False)


async def test_an_unknown_code_is_asked_for_three_times(in_both_languages):
    async def story(call):
        await call.dial(everybodys(call))
        tries = call.settings.call.code_tries
        for _ in range(tries):
            await call.client_ear.begins("enter-code")
            await call.press("99999999")
            await call.hears("unknown-code")
        await gone(call, Outcome.UNKNOWN_CODE)
        assert call.consultant.leg is None

    await in_both_languages(story)
