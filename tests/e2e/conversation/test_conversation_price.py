"""The price and the mode, by real calls in French and English: what is announced, and what each key or no key does."""

from __future__ import annotations

from decimal import Decimal

import pytest

from taxiphone.dialplan.asterisk.home import Folders
from taxiphone.store.calls import Outcome

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


async def test_the_price_is_announced_with_tax_and_how_long_the_credit_lasts(in_both_languages):
    async def story(call):
        await call.dial()
        await call.hears("welcome")
        await call.hears(call.price(), call.speech.credit_lasts(5000 // 155))
        await call.hears("connecting")
        await call.client.hang_up()
        assert (await call.finished()).outcome == Outcome.CALLER_GONE
        assert call.them.wallet() == call.them.credit

    await in_both_languages(story, recording_allowed=False)


async def test_hash_skips_the_price(in_both_languages):
    async def story(call):
        await call.dial()
        await call.client_ear.begins("price-is")
        await call.press("#")
        await call.hears("connecting")
        assert not call.client_ear.all().said(*call.price())
        await call.client.hang_up()
        await call.finished()

    await in_both_languages(story, recording_allowed=False)


async def test_free_minutes_are_announced_to_clients_who_still_have_them(in_both_languages):
    async def story(call):
        await call.dial()
        await call.hears(call.price(), call.speech.free_minutes(10))
        await call.client.hang_up()
        await call.finished()

    await in_both_languages(story, recording_allowed=False, free_minutes=10)


async def test_a_package_is_announced_and_chosen_with_2_and_the_consultant_hears_it(in_both_languages):
    async def story(call):
        await call.dial()
        package = call.speech.package(2000, 20, Decimal("1.55"), "EUR")
        await call.hears(call.price(), package)
        await call.client_ear.begins("mode-choice")
        await call.press("2")
        await call.hears("chosen-package", "connecting")
        await call.consultant.ringing()
        await call.consultant.answer()
        await call.consultant_hears("consultant-call", "mode-package")
        await call.client.hang_up()
        assert (await call.finished()).mode == "package"

    await in_both_languages(
        story, recording_allowed=False, package_price=Decimal("20.00"), package_minutes=20
    )


async def test_silence_and_wrong_keys_choose_neither_price(in_both_languages):
    async def story(call):
        await call.dial()
        await call.client_ear.begins("price-is")
        await call.press("#")
        await call.client_ear.begins("mode-choice")
        await call.press("7")
        for _ in range(call.settings.call.code_tries - 1):
            await call.hears("mode-choice")
        await call.hears("no-choice", "nothing-charged", "goodbye")
        finished = await call.finished()
        assert finished.outcome == Outcome.NO_CHOICE
        assert call.consultant.leg is None
        assert call.them.wallet() == call.them.credit

    await in_both_languages(
        story, recording_allowed=False, package_price=Decimal("20.00"), package_minutes=20
    )


async def test_the_clients_daily_limit_is_announced_and_respected(in_both_languages):
    async def story(call):
        call.set_client(daily_limit=310)
        await call.dial()
        await call.hears(call.price(), call.speech.limit_left(310, "EUR"), call.speech.credit_lasts(2))
        await call.client.hang_up()
        await call.finished()
        call.set_client(daily_limit=100)
        await call.dial()
        await call.hears("limit-reached")
        finished = await call.finished()
        assert finished.outcome == Outcome.LIMIT_REACHED

    await in_both_languages(story, recording_allowed=False)


async def test_a_package_that_the_credit_can_not_pay_is_announced_but_not_offered(in_both_languages):
    async def story(call):
        await call.dial()
        package = call.speech.package(6000, 20, Decimal("1.55"), "EUR")
        await call.hears(call.price(), package, "package-too-dear")
        await call.hears("connecting")
        assert not call.client_ear.all().began("mode-choice")
        await call.client.hang_up()
        assert (await call.finished()).mode == "per_minute"

    await in_both_languages(
        story, recording_allowed=False, package_price=Decimal("60.00"), package_minutes=20
    )


async def test_a_prompt_that_was_skipped_is_no_line_of_asterisks_log(scene):
    call = scene(recording_allowed=False)
    await call.dial()
    await call.client_ear.begins("price-is")
    await call.press("#")
    await call.hears("connecting")
    await call.client.hang_up()
    await call.finished()
    log = Folders(call.settings.asterisk_home).log / "messages.log"
    assert "Playback stopped" not in log.read_text(encoding="utf-8")
