"""The first call through each side: it warms both up, shows that they work, and tells how long Taxiphone speaks."""

from __future__ import annotations

import asyncio

from taxiphone.ari_app.ports import Event
from taxiphone.ari_app.steps.price import SKIP_SECONDS
from taxiphone.bench import traffic
from taxiphone.bench.figures import NOTHING, Run
from taxiphone.bench.rig import BenchSet
from taxiphone.dialplan.asterisk.home import Folders
from taxiphone.errors import SetupError
from taxiphone.speech import sound_files

_LEGS = 2
_CONNECTED_SECONDS = 10


async def warm_up(both: BenchSet) -> tuple[dict[str, float], list[Run]]:
    """Make one call through each side at the same time, and listen to Taxiphone's.

    Returns:
        seconds of each side's ring delay in which it speaks or waits for a key; and the measurements of the two calls. A prompt
        that is added to the call is found here and does not count as delay.

    Raises:
        SetupError: a call did not lead to a talk.
    """
    heard: list[Event] = []
    ari = both.ari("bench")
    listening = asyncio.create_task(ari.run(heard.append), name="warm-up")
    sides = (both.plain, both.taxiphone)
    try:
        await ari.wait_connected(_CONNECTED_SECONDS)
        runs = await asyncio.gather(
            *(
                traffic.run(
                    both, side, f"warm-up-{side.trunk}", rate=1, calls=1, without_calls=NOTHING, lines=[line]
                )
                for line, side in zip(both.lines, sides, strict=False)
            )
        )
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    for run in runs:
        if run.talked != run.calls:
            raise SetupError(
                f"the first call of {run.side} did not lead to a talk: {both.platform.last_words()}"
            )
    legs = [place for place, event in enumerate(heard) if event["type"] == "ChannelCreated"]
    if len(legs) != _LEGS:
        raise SetupError(f"Taxiphone's first call had {len(legs)} leg(s): {both.platform.last_words()}")
    sounds = [event["playback"] for event in heard[: legs[1]] if event["type"] == "PlaybackStarted"]
    speaks = sum(_seconds(both, sound["media_uri"], sound["language"]) for sound in sounds)
    return {both.plain.name: 0.0, both.taxiphone.name: speaks + SKIP_SECONDS}, runs


def _seconds(both: BenchSet, media: str, language: str) -> float:
    """How long Asterisk plays a sound, according to its file's size."""
    name = media.removeprefix("sound:")
    sounds = Folders(both.platform.settings.asterisk_home).data / "sounds"
    file = sounds / language / f"{name}{sound_files.ENDING}"
    try:
        return file.stat().st_size / sound_files.RATE
    except OSError as error:
        raise SetupError(
            f"it is not known how long Taxiphone speaks: {file.name} can't be read ({error.strerror})."
        ) from None
