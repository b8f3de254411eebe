"""What can be done in a call: answer, say, ask, ring, confirm, talk. Each gives an outcome, never a raised surprise.

A verb ends at once when its leg has gone, and says so. What a vanished channel, a lost connection or a late answer of
Asterisk's means is decided here, in `Lines.command`, and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import itertools
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from taxiphone.ari_app.client import AriClient, path
from taxiphone.ari_app.router import Leg, Router
from taxiphone.errors import AriError, ConflictError, NotFoundError

log = logging.getLogger(__name__)

Sounds = tuple[str, ...]

# Q.850 cause numbers that name what happened at the far end.
_BUSY = {17}
_REFUSED = {21}
_NO_ANSWER = {18, 19}


class Rang(enum.Enum):
    """How ringing a phone ended."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no answer"
    REFUSED = "refused"  # the phone's own "decline"
    UNREACHABLE = "unreachable"


class Confirmed(enum.Enum):
    """What the one who answered made of the question."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    SILENT = "silent"  # no key: a voicemail, or nobody
    GONE = "gone"


class Left(enum.Enum):
    """Who left the talk first, as far as the application saw; the price comes from Asterisk's own log."""

    CLIENT = "client"
    CONSULTANT = "consultant"
    NEVER_BRIDGED = "never bridged"


@dataclass(frozen=True)
class Pressed:
    """The keys that answered a question; empty: none came in time, or the leg has gone."""

    keys: str = ""


class CallerGoneError(Exception):
    """Raised by `staying` in place of whatever was being waited for: the leg has gone."""


@contextlib.asynccontextmanager
async def staying(leg: Leg) -> AsyncIterator[None]:
    """Every wait in the block races against the hang-up of `leg`: it wins, the block is left.

    Raises:
        CallerGoneError: it hung up.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("staying() is used outside a task")
    hung_up = False

    def stop(_: asyncio.Task[bool]) -> None:
        nonlocal hung_up
        if leg.gone.is_set():
            hung_up = True
            task.cancel()

    watch = asyncio.ensure_future(leg.gone.wait())
    watch.add_done_callback(stop)
    try:
        yield
    except asyncio.CancelledError:
        if hung_up and task.uncancel() == 0:
            raise CallerGoneError from None
        raise
    finally:
        watch.remove_done_callback(stop)
        watch.cancel()


class Lines:
    """The verbs, over one connection to Asterisk."""

    def __init__(self, ari: AriClient, router: Router) -> None:
        self.ari = ari
        self.router = router
        self._playbacks = itertools.count(1)

    async def command(
        self, leg: Leg, method: str, *parts: str, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> bool:
        """Send a command about a leg: True if it was carried out, False if the leg has gone.

        Raises:
            AriError: it was neither; the call can't go on as planned.
        """
        if leg.gone.is_set():
            return False
        try:
            await self.ari.request(method, path(*parts), query, body)
        except (NotFoundError, ConflictError) as error:
            # 404: hung up a moment ago. 409: hung up and on its way out of the application. The event follows.
            log.debug("%s: %s", leg.id, error)
            return False
        return True

    # -- one leg --------------------------------------------------------------------------------------------------

    async def answer(self, leg: Leg) -> bool:
        """Answer an inbound leg."""
        return await self.command(leg, "POST", "channels", leg.id, "answer")

    async def speak_language(self, leg: Leg, language: str) -> bool:
        """Play the prompts of a language from now on."""
        return await self.set_variable(leg, "CHANNEL(language)", language)

    async def set_variable(self, leg: Leg, name: str, value: str) -> bool:
        """Set a channel variable or function."""
        return await self.command(
            leg, "POST", "channels", leg.id, "variable", query={"variable": name, "value": value}
        )

    async def ringing(self, leg: Leg) -> bool:
        """Let the leg hear ringing until `quiet`."""
        return await self.command(leg, "POST", "channels", leg.id, "ring")

    async def quiet(self, leg: Leg) -> bool:
        """End the ringing."""
        return await self.command(leg, "DELETE", "channels", leg.id, "ring")

    async def say(self, leg: Leg, *sounds: str) -> None:
        """Play sounds one after the other, to their end."""
        async with self._playing(leg, sounds) as finished:
            await finished.wait()

    async def ask(
        self,
        leg: Leg,
        sounds: Sounds,
        *,
        seconds: float,
        end: str = "",
        most: int = 1,
        valid: str = "0123456789",
    ) -> Pressed:
        """Ask for keys: the first one stops the sounds; `seconds` count from their end and anew from each key.

        Args:
            leg: who is asked.
            sounds: the question.
            seconds: how long to wait for the first, and for each next key.
            end: a key that ends the input and is not part of it.
            most: so many keys are enough.
            valid: keys that count; others are ignored.

        Returns:
            What was pressed: nothing where no valid key came in time.
        """
        leg.forget_keys()
        keys = ""
        async with self._playing(leg, sounds) as finished:
            first = asyncio.ensure_future(leg.key())
            ended = asyncio.ensure_future(finished.wait())
            try:
                await asyncio.wait({first, ended}, return_when=asyncio.FIRST_COMPLETED)
                key = await _within(seconds, first)
            finally:
                first.cancel()
                ended.cancel()
        while key is not None and not (end and key in end):
            if key in valid:
                keys += key
                if len(keys) >= most:
                    break
            key = await _within(seconds, leg.key())
        return Pressed(keys)

    async def hang_up(self, leg: Leg) -> None:
        """End a leg; nothing to do where it has gone. A lost connection is waited for: no leg is left behind."""
        for _ in range(3):
            if leg.gone.is_set():
                return
            try:
                await self.ari.wait_connected(10)
                await self.command(leg, "DELETE", "channels", leg.id)
            except AriError as error:
                log.warning("%s could not be hung up yet: %s", leg.id, error)
                continue
            return
        log.error("%s could not be hung up; Asterisk ends it at its time-out", leg.id)

    @contextlib.asynccontextmanager
    async def _playing(self, leg: Leg, sounds: Sounds) -> AsyncIterator[asyncio.Event]:
        """Play sounds during the block; what is still playing at its end is stopped."""
        name = f"{leg.id}.say{next(self._playbacks)}"
        finished = leg.expect_playback(name)
        media = ",".join(f"sound:{sound}" for sound in sounds)
        try:
            started = bool(sounds) and await self.command(
                leg, "POST", "channels", leg.id, "play", name, query={"media": media}
            )
            if not started:
                finished.set()
            yield finished
        finally:
            leg.forget_playback(name)
            if not finished.is_set():
                with contextlib.suppress(AriError):
                    await self.command(leg, "DELETE", "playbacks", name)

    # -- two legs -------------------------------------------------------------------------------------------------

    async def ring(self, leg: Leg, endpoint: str, *, seconds: float, originate: Mapping[str, Any]) -> Rang:
        """Call a phone, and wait until it is answered and in the application.

        Args:
            leg: opened already, so that no event of it is missed.
            endpoint: what to dial, such as `PJSIP/+33612345678@trunk`.
            seconds: how long it may ring.
            originate: further parameters of ARI's originate (context, variables, callerId ...).
        """
        body = {**originate, "endpoint": endpoint, "channelId": leg.id, "timeout": int(seconds) + 5}
        variables = {"variables": body.pop("variables", {})}
        try:
            await self.ari.request("POST", path("channels"), body, variables)
        except AriError as error:
            log.warning("%s could not be rung: %s", endpoint, error)
            leg.lost()
            return Rang.UNREACHABLE
        entered = asyncio.ensure_future(leg.entered.wait())
        gone = asyncio.ensure_future(leg.gone.wait())
        try:
            await asyncio.wait({entered, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            entered.cancel()
            gone.cancel()
        if leg.gone.is_set():
            return _why_not(leg)
        return Rang.ANSWERED if leg.entered.is_set() else Rang.NO_ANSWER

    async def confirm(self, leg: Leg, sounds: Sounds, *, seconds: float, repeat: int = 2) -> Confirmed:
        """Say what it is about until 1 (accept) or 3 (refuse) is pressed; anything else is asked again."""
        for _ in range(repeat):
            pressed = await self.ask(leg, sounds, seconds=seconds, valid="13")
            if leg.gone.is_set():
                return Confirmed.GONE
            if pressed.keys:
                return Confirmed.ACCEPTED if pressed.keys == "1" else Confirmed.REFUSED
        return Confirmed.SILENT

    async def talk(self, bridge: str, client: Leg, consultant: Leg) -> Left:
        """Bridge two legs and wait until the first of them has gone.

        A lost connection does not end a talk: Asterisk holds it, and tells who is left when the connection is back.
        """
        if not (
            await self.command(client, "POST", "bridges", bridge, query={"type": "mixing", "name": bridge})
            and await self.command(
                client,
                "POST",
                "bridges",
                bridge,
                "addChannel",
                query={"channel": f"{client.id},{consultant.id}"},
            )
        ):
            return Left.NEVER_BRIDGED
        return await self.until_one_leaves(client, consultant)

    async def until_one_leaves(self, client: Leg, consultant: Leg) -> Left:
        """Wait until the first of two legs has gone."""
        waits = {asyncio.ensure_future(leg.gone.wait()) for leg in (client, consultant)}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return Left.CLIENT if client.gone.is_set() else Left.CONSULTANT

    async def end_bridge(self, bridge: str) -> None:
        """Remove a bridge; nothing to do where there is none."""
        with contextlib.suppress(NotFoundError):
            await self.ari.request("DELETE", path("bridges", bridge))


async def _within(seconds: float, key: Any) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            found: str = await key
            return found
    except TimeoutError:
        return None


def _why_not(leg: Leg) -> Rang:
    """What a leg that was never answered died of: the dial's own word first, then the Q.850 cause."""
    if leg.dialled == "BUSY" or leg.cause in _BUSY:
        return Rang.BUSY
    if leg.cause in _REFUSED:
        return Rang.REFUSED
    if leg.dialled == "NOANSWER" or leg.cause in _NO_ANSWER:
        return Rang.NO_ANSWER
    return Rang.UNREACHABLE
