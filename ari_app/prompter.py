"""Plays prompts to a leg and asks questions that are answered by keys."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

from taxiphone.ari_app.channels import Channels
from taxiphone.ari_app.ports import SentenceSounds
from taxiphone.ari_app.router import Leg
from taxiphone.errors import AriError, PromptError
from taxiphone.speech.joined_sounds import Playable
from taxiphone.speech.sentences import Sounds

END_KEY_SECONDS = 1.0
"""How long after the last digit the key that ends a number still counts as part of the answer."""

# When a leg hangs up, its playback fails a moment before the hang-up event.
_GONE_SECONDS = 1.0


@dataclass(frozen=True)
class Pressed:
    """The keys that answered a question.

    Attributes:
        keys: the keys; empty if none was pressed in time, or the leg has gone.
        end: the key that ended the input; empty if none did.
    """

    keys: str = ""
    end: str = ""


class Prompter:
    """Plays prompts and asks questions.

    Args:
        channels: the commands about channels.
        sentence_sounds: joins the sounds of a sentence.
    """

    def __init__(self, channels: Channels, sentence_sounds: SentenceSounds) -> None:
        self._channels = channels
        self._sentence_sounds = sentence_sounds
        self._playbacks = itertools.count(1)

    async def say(self, leg: Leg, *sounds: str, must_be_heard: bool = False) -> None:
        """Play sounds one after the other, and wait until they have ended.

        Raises:
            PromptError: they must be heard, and one of them is missing or could not be played.
        """
        async with self._playing(leg, sounds, must_be_heard=must_be_heard) as playing:
            await playing.finished.wait()
        if must_be_heard:
            await _check_heard(leg, playing)

    async def ask(
        self,
        leg: Leg,
        sounds: Sounds,
        *,
        seconds: float,
        end: str = "",
        most: int = 1,
        valid: str = "0123456789",
        must_be_heard: bool = False,
    ) -> Pressed:
        """Ask a question. The first valid key stops the sounds.

        Args:
            leg: the leg to ask.
            sounds: the question.
            seconds: how long to wait for a key, from the end of the sounds and again from each key.
            end: keys that end the input and are not part of it.
            most: maximum number of keys.
            valid: the valid keys; others are ignored.
            must_be_heard: whether the question states a price or asks for consent.

        Returns:
            The keys pressed; empty if no valid key was pressed in time.

        Raises:
            PromptError: the question must be heard, and one of its sounds is missing or could not be played.
        """
        leg.forget_keys()
        async with self._playing(leg, sounds, must_be_heard=must_be_heard) as playing:
            finished = playing.finished
            first = asyncio.ensure_future(_next_of(leg, valid + end))
            ended = asyncio.ensure_future(finished.wait())
            try:
                await asyncio.wait({first, ended}, return_when=asyncio.FIRST_COMPLETED)
                key = await _within(seconds, first)
            finally:
                first.cancel()
                ended.cancel()
        if must_be_heard:
            await _check_heard(leg, playing)
        keys = ""
        while key is not None and key not in end:
            keys += key
            if len(keys) >= most:
                # The end key isn't needed any more, but callers were told to press it. Don't take it for the next answer.
                key = await _within(min(seconds, END_KEY_SECONDS), _next_of(leg, end)) if end else ""
                return Pressed(keys, key or "")
            key = await _within(seconds, _next_of(leg, valid + end))
        return Pressed(keys, key or "")

    @contextlib.asynccontextmanager
    async def _playing(self, leg: Leg, sounds: Sounds, *, must_be_heard: bool) -> AsyncIterator[_Playing]:
        """Play sounds during the block, after what is playing to the leg; stop them when the block is left."""
        name = f"{leg.id}.say{next(self._playbacks)}"
        async with leg.speaking:
            playable = await self._playable(leg, sounds)
            if must_be_heard and playable.missing:
                raise PromptError(
                    "a prompt that states a price or asks for consent was not played, because these sounds are missing: "
                    f"{', '.join(playable.missing)}. Run `taxiphone doctor` for details."
                )
            finished = leg.expect_playback(name)
            playing = _Playing(finished)
            try:
                media = ",".join(f"sound:{sound}" for sound in playable.sounds)
                started = bool(media) and await self._channels.command(
                    leg, "POST", "channels", leg.id, "play", name, query={"media": media}
                )
                if not started:
                    finished.set()
                    playing.failed = bool(media)
                yield playing
            finally:
                playing.failed = playing.failed or leg.unheard(name)
                leg.forget_playback(name)
                if not finished.is_set():
                    with contextlib.suppress(AriError):
                        await self._channels.command(leg, "DELETE", "playbacks", name)

    async def _playable(self, leg: Leg, sounds: Sounds) -> Playable:
        # A leg whose language isn't known is one of an earlier process that Asterisk can't describe.
        if leg.language is None:
            return Playable(sounds)
        return await self._sentence_sounds.join(leg.language, sounds)


@dataclass
class _Playing:
    """A playback.

    Attributes:
        finished: set when it has ended.
        failed: whether it did not begin, or its last sound could not be played; valid once it is over.
    """

    finished: asyncio.Event
    failed: bool = False


async def _check_heard(leg: Leg, playing: _Playing) -> None:
    if not playing.failed:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GONE_SECONDS):
            await leg.gone.wait()
    if not leg.gone.is_set():
        raise PromptError(
            f"a prompt that states a price or asks for consent could not be played to {leg.id}: Asterisk refused it, or can't "
            "read its sound. Run `taxiphone doctor` for details."
        )


async def _next_of(leg: Leg, valid: str) -> str | None:
    """The next valid key; None if the leg has gone."""
    while (key := await leg.key()) is not None:
        if key in valid:
            return key
    return None


async def _within(seconds: float, key: Awaitable[str | None]) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            return await key
    except TimeoutError:
        return None
