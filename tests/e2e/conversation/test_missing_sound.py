"""Sounds that can't be played: no price is left out, and no consultant is rung for a price that was not heard."""

from __future__ import annotations

import shutil
import subprocess

import imageio_ffmpeg
import pytest

from taxiphone.dialplan.asterisk.home import Folders
from taxiphone.store.calls import Outcome

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


def sound(call, name):
    """Return the file of a prompt that Asterisk plays to the client."""
    root = Folders(call.settings.asterisk_home).data / "sounds"
    return root / call.speech.language / f"taxiphone/{name}.alaw"


def as_wav(prompt):
    """Write a prompt beside itself as a WAV file, and return that file."""
    wav = prompt.with_suffix(".wav")
    subprocess.run(
        [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "alaw", "-ar", "8000"),
            *("-i", str(prompt.resolve()), "-c:a", "pcm_s16le", str(wav)),
        ],
        check=True,
    )
    return wav


async def test_a_call_whose_price_has_a_missing_sound_fails_and_costs_nothing(scene):
    call = scene("fr", recording_allowed=False)
    missing = sound(call, "tax-included")
    kept = missing.rename(missing.with_suffix(".kept"))
    try:
        await call.dial()
        await call.hears("welcome", "failed", "nothing-charged", "goodbye")
        row = await call.finished()
    finally:
        kept.rename(missing)
    assert row.outcome == Outcome.FAILED
    assert not call.client_ear.all().said(*call.speech.prompt("price-is"))
    assert call.them.wallet() == call.them.credit
    await call.them.nothing_left()


async def test_a_sentence_whose_sound_asterisk_can_not_read_is_not_taken_for_heard(scene):
    call = scene("en", recording_allowed=False)
    await call.dial()
    await call.hears(call.price())
    await call.client.hang_up()
    await call.finished()
    joined = Folders(call.settings.asterisk_home).data / "sounds/en/joined"
    # Asterisk finds nothing to open, although the program knows the file.
    spoilt = [path for path in joined.iterdir() if path.stat().st_size]
    for path in spoilt:
        path.unlink()
        path.mkdir()
    try:
        await call.dial()
        await call.hears("welcome", "failed", "nothing-charged", "goodbye")
        assert (await call.finished()).outcome == Outcome.FAILED
    finally:
        shutil.rmtree(joined)
    await call.them.nothing_left()


async def test_an_operators_recording_in_another_format_is_heard_within_the_price(scene):
    call = scene("fr", recording_allowed=False)
    prompt = sound(call, "tax-included")
    wav = as_wav(prompt)
    kept = prompt.rename(prompt.with_suffix(".kept"))
    try:
        await call.dial()
        await call.hears("welcome")
        await call.hears(call.price())
        await call.client.hang_up()
        await call.finished()
    finally:
        kept.rename(prompt)
        wav.unlink()
    await call.them.nothing_left()
