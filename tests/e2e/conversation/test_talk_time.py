"""The end of the credit and of the package is announced during the talk. All talks run concurrently for a minute."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
import talks
from sqlalchemy import select

from taxiphone.demo.platform import Timing
from taxiphone.store.models import CallEvent

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WARNED = 48  # seconds before the end
PACKAGE = {"package_price": Decimal("20.00"), "package_minutes": 1}
BEYOND = 4
SENTENCE_MORE = 0.8  # seconds that a voice may be away longer than the sentence that was said meanwhile


@pytest.fixture(scope="module")
def timing():
    """Time-outs with the warnings early in the talk."""
    return Timing(ring_seconds=20, accept_seconds=5, key_seconds=4, warning_seconds=WARNED)


def why(call):
    """Return the end reason that the program recorded."""
    return call.platform.database.do(
        lambda session: session.scalar(
            select(CallEvent.detail).where(CallEvent.call_id == call.call_id, CallEvent.what == "left")
        )
    )


def interrupted_only_by(call, *, client, consultant):
    """Assert that each heard the other's voice throughout the talk, except during these sentences."""
    for phone, other, own, others in (
        (call.client, call.consultant, client, consultant),
        (call.consultant, call.client, consultant, client),
    ):
        away = [gap for gap in talks.gaps(talks.tone(phone, other.hertz)) if gap[1] - gap[0] > 1]
        assert len(away) == len(own), f"{phone.name}: {away}"
        for gap, mine, theirs in zip(away, own, others, strict=True):
            longest = max(spans[-1].end - spans[0].begin for spans in (mine, theirs))
            assert gap[1] - gap[0] < longest + SENTENCE_MORE


async def both(call, client, consultant):
    """Wait until each has heard their own sentence, and return where."""
    return await asyncio.gather(call.hears(client), call.consultant_hears(consultant))


async def credit_is_used_up(call):
    """At 60.00 a minute, a second costs one euro, and the credit is 62 euros."""
    await talks.begin(call)
    await call.platform.marked(call.call_id, "warned", 30)
    client, consultant = await both(
        call, call.speech.time_left(WARNED), call.consultants_speech.time_left(WARNED)
    )
    await call.platform.marked(call.call_id, "left", 150)
    assert why(call) == "credit used up"
    bill = await talks.priced(call)
    assert bill.call.billed_seconds == bill.call.max_seconds == call.them.credit // 100
    assert bill.talked <= bill.call.max_seconds
    assert bill.receipt.total == call.them.credit
    assert call.them.wallet() == 0
    await both(
        call, call.speech.prompt("credit-used-up"), call.consultants_speech.prompt("client-credit-used-up")
    )
    await both(call, talks.clients_bill(call, bill), talks.consultants_bill(call, bill))
    await talks.let_go(call)
    interrupted_only_by(call, client=[client], consultant=[consultant])


async def package_goes_on(call):
    """Without the key in the package's last minute, billing continues per minute. At other times, the key has no effect."""
    await talks.begin(call, package=True)
    await call.press("9")
    await call.platform.marked(call.call_id, "package warned", 30)
    client, consultant = await both(
        call,
        call.speech.package_ends(WARNED, Decimal("1.55"), "EUR", "9"),
        call.consultants_speech.client_package_ends(WARNED),
    )
    began = (await call.platform.marked(call.call_id, "bridging")).monotonic_us / 1e6
    loop = asyncio.get_running_loop()  # its clock is the marks': the machine's monotonic one
    await asyncio.sleep(began + 60.5 - loop.time())
    await call.press("9")
    await asyncio.sleep(began + 60 + BEYOND - loop.time())
    await call.client.hang_up()
    await call.platform.marked(call.call_id, "left")
    assert why(call) == "client"
    bill = await talks.priced(call)
    beyond = bill.call.billed_seconds - 60
    assert beyond >= BEYOND - 1
    assert bill.receipt.total == 2000 + talks.cents("1.55", beyond)
    await call.consultant_hears("client-hung-up")
    await call.consultant_hears(talks.consultants_bill(call, bill))
    await talks.let_go(call)
    interrupted_only_by(call, client=[client], consultant=[consultant])


async def package_is_enough(call):
    """The key in the package's last minute, pressed during the sentence, ends the talk with the package."""
    await talks.begin(call, package=True)
    await call.platform.marked(call.call_id, "package warned", 30)
    first, *_ = call.speech.package_ends(WARNED, Decimal("1.55"), "EUR", "9")
    await call.client_ear.begins(first)
    await call.press("9")
    await call.platform.marked(call.call_id, "ends with the package")
    await both(
        call, *(speech.prompt("ends-with-package") for speech in (call.speech, call.consultants_speech))
    )
    await call.platform.marked(call.call_id, "left", 150)
    assert why(call) == "package over"
    bill = await talks.priced(call)
    assert 58.5 < bill.talked < 60
    assert bill.receipt.total == 2000
    assert call.them.wallet() == call.them.credit - 2000
    await both(call, *(speech.prompt("package-over") for speech in (call.speech, call.consultants_speech)))
    await both(call, talks.clients_bill(call, bill), talks.consultants_bill(call, bill))
    await talks.let_go(call)


async def test_both_hear_the_end_of_credit_and_package_and_the_talk_pauses_only_for_the_sentence(scene):
    french_client = {"language": "fr", "consultant_language": "en", "recording_allowed": False}
    english_client = {"language": "en", "consultant_language": "fr", "recording_allowed": False}
    second_by_second = {"price": "60.00", "credit": 6200}
    stories = (
        credit_is_used_up(scene(**french_client, **second_by_second)),
        credit_is_used_up(scene(**english_client, **second_by_second)),
        package_goes_on(scene(**french_client, **PACKAGE)),
        package_goes_on(scene(**english_client, **PACKAGE)),
        package_is_enough(scene(**french_client, **PACKAGE)),
        package_is_enough(scene(**english_client, **PACKAGE)),
    )
    await talks.at_once(*stories)
    await scene().them.nothing_left()
