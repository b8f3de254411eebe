"""`taxiphone serve` is killed for good: Asterisk releases the caller, with an apology if there was no talk."""

from __future__ import annotations

import re
import signal
import time

import pytest
import talks

from taxiphone.demo.platform import Timing
from taxiphone.dialplan.asterisk import locate
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Call

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def timing():
    """Time-outs with the shortest possible time between two questions."""
    return Timing(ring_seconds=30, accept_seconds=5, key_seconds=1)


class Held:
    """A caller's channel in the platform's Asterisk, which outlives the program."""

    def __init__(self, call):
        settings = call.platform.settings
        self._asterisk = AsteriskServer(locate.find(settings), settings.asterisk_home)
        self._unique = call.platform.database.read(
            lambda session: session.get_one(Call, call.call_id).client_channel
        )

    async def _name(self):
        for line in (await self._asterisk.rx("core show channels concise")).splitlines():
            name, *_, unique = line.split("!")
            if unique == self._unique:
                return name
        raise AssertionError(f"there is no channel {self._unique}")

    async def seconds_left(self):
        """Return the seconds until Asterisk's time-out."""
        shown = await self._asterisk.rx(f"core show channel {await self._name()}")
        return int(re.search(r"Time to Hangup: (\d+)", shown)[1]) - time.time()

    async def hurry(self, seconds=1):
        """Shorten the time-out, as if most of it had passed."""
        await self._asterisk.rx(f"dialplan set chanvar {await self._name()} TIMEOUT(absolute) {seconds}")


async def kill(platform):
    platform.signal(signal.SIGKILL)
    assert await platform.ended() == -signal.SIGKILL


async def failed_and_free(call):
    """Restart the program, and check that the call is `failed` and nothing was charged."""
    await call.platform.start()
    row = await call.platform.finished(call.call_id)
    assert (row.outcome, row.talk_from) == (Outcome.FAILED, None)
    assert call.them.wallet() == call.them.credit
    await call.them.nothing_left()


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_a_caller_in_the_menu_hears_the_apology_in_their_language_and_is_freed(scene, language):
    call = scene(language)
    await call.dial()
    await call.client_ear.begins("press-hash-to-skip")
    held = Held(call)
    await kill(call.platform)
    assert 0 < await held.seconds_left() <= call.settings.call.menu_seconds
    await held.hurry()
    await call.hears("unavailable")
    await call.client.ended(5)
    await failed_and_free(call)


async def test_a_caller_who_hears_ringing_is_released_too(scene):
    call = scene(recording_allowed=False)
    await call.dial()
    await call.client_ear.begins("press-hash-to-skip")
    await call.press("#")
    await call.consultant.ringing(30)
    held = Held(call)
    await kill(call.platform)
    assert 0 < await held.seconds_left() <= call.settings.call.phone_seconds + 60
    await held.hurry()
    await call.hears("unavailable")
    await call.client.ended(5)
    await call.consultant.decline()
    await failed_and_free(call)


async def test_a_client_who_has_talked_never_hears_nothing_charged(scene):
    call = scene(recording_allowed=False)
    await talks.begin(call)
    held = Held(call)
    await kill(call.platform)
    await held.hurry()
    await call.client.ended(10)
    assert not call.client_ear.all().began("unavailable")
    await call.consultant.hang_up()
    await call.platform.start()
    row = await call.platform.finished(call.call_id)
    assert row.outcome == Outcome.TALKED
    assert row.billed_seconds > 0
    await call.them.nothing_left()


@pytest.mark.slow
async def test_no_caller_waits_longer_than_the_menu_can_take(scene):
    call = scene()
    await call.dial()
    await call.client_ear.begins("press-hash-to-skip")
    asked = time.monotonic()
    await kill(call.platform)
    bound = call.settings.call.menu_seconds
    await call.hears("unavailable", seconds=bound + 15)
    await call.client.ended(5)
    assert time.monotonic() - asked < bound + 15
    await failed_and_free(call)
