"""After the talk, whoever is still on the line hears duration and amount, and the client can rate."""

from __future__ import annotations

import pytest
import talks

from taxiphone.store.models import Call

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


def stars(call):
    """The client's rating."""
    return call.platform.database.do(lambda session: session.get_one(Call, call.call_id).stars)


async def consultant_leaves(call):
    """Let them talk until the consultant hangs up, and return the bill."""
    await talks.begin(call)
    await call.consultant.hang_up()
    return await talks.priced(call)


async def test_after_the_consultant_hung_up_the_client_hears_what_is_due_and_rates_by_key(in_both_languages):
    async def story(call):
        bill = await consultant_leaves(call)
        assert bill.receipt.total == talks.cents("1.55", bill.call.billed_seconds)
        await call.hears("consultant-hung-up")
        await call.hears(talks.clients_bill(call, bill))
        await call.client_ear.begins("rate-offer")
        await call.press("4")
        await call.hears("thank-you")
        await call.hears("goodbye")
        await call.client.ended()
        await talks.let_go(call)
        assert stars(call) == 4

    await in_both_languages(story, recording_allowed=False)


async def test_after_the_client_hung_up_the_consultant_hears_duration_and_share(in_both_languages):
    async def story(call):
        await talks.begin(call)
        await call.client.hang_up()
        bill = await talks.priced(call)
        assert 0 < bill.receipt.consultant_share < bill.receipt.total
        await call.consultant_hears("client-hung-up")
        await call.consultant_hears(talks.consultants_bill(call, bill))
        await call.consultant.ended()
        await talks.let_go(call)

    await in_both_languages(story, recording_allowed=False, price="15.50")


async def test_the_client_of_a_recorded_talk_hears_that_its_fee_follows(in_both_languages):
    async def story(call):
        await talks.begin(call, record=True)
        await call.press("#*")  # the consultant is still there, and so the recording is not ready yet
        bill = await talks.priced(call)
        speech, left = call.speech, call.them.credit - bill.receipt.total - 500
        await call.hears(
            speech.talk_lasted(bill.call.billed_seconds),
            speech.it_costs(bill.receipt.total, "EUR"),
            speech.recording_follows(500, "EUR"),
            speech.credit_left(left, "EUR"),
        )
        await talks.let_go(call)
        await call.them.recorded(call.call_id)
        assert call.them.wallet() == left

    await in_both_languages(story)


async def test_keys_outside_the_rating_have_no_effect(in_both_languages):
    async def story(call):
        await consultant_leaves(call)
        await call.client_ear.begins("rate-offer")
        for keys in ("0", "6789", "*#"):
            await call.press(keys)
        await call.press("3")
        await call.hears("thank-you")
        await call.hears("goodbye")
        await talks.let_go(call)
        assert stars(call) == 3

    await in_both_languages(story, recording_allowed=False)


async def test_no_key_gives_no_rating_and_ends_with_goodbye(in_both_languages):
    async def story(call):
        await consultant_leaves(call)
        await call.hears("rate-offer")
        await call.hears("goodbye")
        await call.client.ended()
        await talks.let_go(call)
        assert stars(call) is None
        assert not call.client_ear.all().spans("thank-you")

    await in_both_languages(story, recording_allowed=False)


async def test_who_hangs_up_at_any_of_these_prompts_leaves_nothing_behind_and_is_charged_the_talk_alone(
    scene,
):
    async def client_leaves_at(prompt, keys, call):
        bill = await consultant_leaves(call)
        if keys:
            await call.client_ear.begins("rate-offer")
            await call.press(keys)
        await call.client_ear.begins(prompt)
        await settled(call, bill, call.client)
        assert stars(call) == (int(keys) if keys else None)

    async def consultant_leaves_at(prompt, call):
        await talks.begin(call)
        await call.client.hang_up()
        bill = await talks.priced(call)
        await call.consultant_ear.begins(prompt)
        await settled(call, bill, call.consultant)

    async def settled(call, bill, phone):
        await phone.hang_up()
        await talks.let_go(call)
        assert bill.receipt.total == talks.cents("1.55", bill.call.billed_seconds)
        assert call.them.wallet() == call.them.credit - bill.receipt.total

    def one():
        return scene("fr", recording_allowed=False)

    await talks.at_once(
        client_leaves_at("consultant-hung-up", "", one()),
        client_leaves_at("talk-lasted", "", one()),
        client_leaves_at("rate-offer", "", one()),
    )
    await talks.at_once(
        client_leaves_at("goodbye", "5", one()),
        consultant_leaves_at("client-hung-up", one()),
        consultant_leaves_at("talk-lasted", one()),
    )
    await one().them.nothing_left()
