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
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from taxiphone.ari_app.client import path
from taxiphone.ari_app.ports import Ari
from taxiphone.ari_app.router import Leg, Router
from taxiphone.ari_app.waiting import first_of
from taxiphone.errors import (
    AriConnectionError,
    AriError,
    AriRequestError,
    ConflictError,
    NotFoundError,
    PromptError,
)

log = logging.getLogger(__name__)

_GAP_SECONDS = 5.0  # a command waits so long for a lost connection to come back
_END_KEY_SECONDS = 1.0
_GONE_SECONDS = 1.0
_LATER_SECONDS = (
    5  # Asterisk's own time-out of a ringing phone, after ours: it counts if we are not there any more
)

Sounds = tuple[str, ...]

# Q.850 cause numbers that name what happened at the far end.
NORMAL, BUSY, CALL_REJECTED, TEMPORARY_FAILURE = 16, 17, 21, 41
_BUSY = {BUSY}
_REFUSED = {21}
_NO_ANSWER = {18, 19}
_LEG_HAS_GONE = {400, 422}  # ARI's answers to addChannel, where other requests say 404 and 409


class Rang(enum.Enum):
    """How ringing a phone ended."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no answer"
    REFUSED = "refused"  # the phone's own "decline"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Pressed:
    """The keys that answered a question.

    Attributes:
        keys: empty: none came in time, or the leg has gone.
        end: the key that ended them; empty: none did.
    """

    keys: str = ""
    end: str = ""


@dataclass(frozen=True)
class Counted:
    """What has come of a leg's sound.

    Attributes:
        packets: of RTP.
        source: the SSRC of what we send, where it is known.
    """

    packets: int
    source: int | None = None


class Lines:
    """The verbs, over one connection to Asterisk."""

    def __init__(self, ari: Ari, router: Router) -> None:
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
        tries = 2  # once more after a gap in the connection: the first may have been carried out or not, ids are ours
        while not leg.gone.is_set():
            tries -= 1
            try:
                await self.ari.request(method, path(*parts), query, body)
            except (NotFoundError, ConflictError) as error:
                # 404: hung up a moment ago. 409: hung up and on its way out of the application, or the first try was
                # carried out. Where it has gone, the event follows.
                log.debug("%s: %s", leg.id, error)
                return False
            except AriConnectionError:
                if not tries:
                    raise
                await self.ari.wait_connected(_GAP_SECONDS)
            else:
                return True
        return False

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

    async def say(self, leg: Leg, *sounds: str, must_be_heard: bool = False) -> None:
        """Play sounds one after the other, to their end.

        Raises:
            PromptError: they must be heard, and one of them could not be played.
        """
        async with self._playing(leg, sounds) as playing:
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
        """Ask for keys: the first that counts stops the sounds; `seconds` count from their end and anew from each key.

        Args:
            leg: who is asked.
            sounds: the question.
            seconds: how long to wait for the first, and for each next key.
            end: keys of which each ends the input and is not part of it.
            most: so many keys are enough.
            valid: keys that count; others change nothing.
            must_be_heard: the question tells a price, or asks for consent.

        Returns:
            What was pressed: nothing where no key that counts came in time.

        Raises:
            PromptError: it must be heard, and a sound of it could not be played.
        """
        leg.forget_keys()
        async with self._playing(leg, sounds) as playing:
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
                # Who has been told to end with a key may press it all the same: it belongs to this answer.
                key = await _within(min(seconds, _END_KEY_SECONDS), _next_of(leg, end)) if end else ""
                return Pressed(keys, key or "")
            key = await _within(seconds, _next_of(leg, valid + end))
        return Pressed(keys, key or "")

    async def hang_up(self, leg: Leg, cause: int = NORMAL) -> None:
        """End a leg; nothing to do where it has gone. A lost connection is waited for: no leg is left behind.

        Args:
            leg: which.
            cause: what its phone and Asterisk's log are told (ITU-T Q.850).
        """
        for _ in range(3):
            if leg.gone.is_set():
                return
            try:
                await self.ari.wait_connected(10)
                await self.command(leg, "DELETE", "channels", leg.id, query={"reason_code": cause})
            except AriError as error:
                log.warning("%s could not be hung up yet: %s", leg.id, error)
                continue
            return
        log.error("%s could not be hung up; Asterisk ends it at its time-out", leg.id)

    @contextlib.asynccontextmanager
    async def _playing(self, leg: Leg, sounds: Sounds) -> AsyncIterator[_Playing]:
        """Play sounds during the block; what is still playing at its end is stopped."""
        name = f"{leg.id}.say{next(self._playbacks)}"
        finished = leg.expect_playback(name)
        playing = _Playing(finished)
        media = ",".join(f"sound:{sound}" for sound in sounds)
        try:
            started = bool(sounds) and await self.command(
                leg, "POST", "channels", leg.id, "play", name, query={"media": media}
            )
            if not started:
                finished.set()
                playing.failed = bool(sounds)
            yield playing
        finally:
            playing.failed = playing.failed or leg.unheard(name)
            leg.forget_playback(name)
            if not finished.is_set():
                with contextlib.suppress(AriError):
                    await self.command(leg, "DELETE", "playbacks", name)

    # -- two legs -------------------------------------------------------------------------------------------------

    async def ring(
        self,
        leg: Leg,
        endpoint: str,
        *,
        seconds: float,
        arguments: str,
        originator: Leg,
        variables: Mapping[str, str],
    ) -> Rang:
        """Call a phone, and wait until it is answered.

        The channel is created in the application and dialled there. Asterisk's `originate` is not used: it follows a phone
        that answers with a redirect (3xx, RFC 3261 21.3) to whatever technology and host the phone names.

        Args:
            leg: opened already, so that no event of it is missed.
            endpoint: what to dial, such as `PJSIP/+33612345678@trunk`.
            seconds: how long it may ring.
            arguments: of its StasisStart, separated by commas.
            originator: the leg that it is rung for.
            variables: channel variables and functions, set before it is dialled.
        """
        query = {
            "endpoint": endpoint,
            "app": self.ari.application,
            "appArgs": arguments,
            "channelId": leg.id,
            "originator": originator.id,
        }
        try:
            await self.ari.request("POST", path("channels", "create"), query, {"variables": dict(variables)})
        except AriRequestError as error:
            log.warning("%s could not be rung: %s", leg.id, error)
            leg.lost()
            return Rang.UNREACHABLE
        except AriError as error:
            # It may be there all the same: the leg is hung up, not forgotten.
            log.warning("it is not known whether %s rings: %s", leg.id, error)
            await self.hang_up(leg)
            return Rang.UNREACHABLE
        leg.told = True
        if not await self._dial(leg, int(seconds) + _LATER_SECONDS):
            return _why_not(leg)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await first_of(leg.answered.wait(), leg.gone.wait())
        if leg.gone.is_set():
            return _why_not(leg)
        return Rang.ANSWERED if leg.answered.is_set() else Rang.NO_ANSWER

    async def _dial(self, leg: Leg, seconds: int) -> bool:
        """Dial a channel that has been created, as soon as it is in the application; False where it can't be."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GAP_SECONDS):
                await first_of(leg.entered.wait(), leg.gone.wait())
        try:
            dialled = await self.command(leg, "POST", "channels", leg.id, "dial", query={"timeout": seconds})
        except AriError as error:
            log.warning("it is not known whether %s rings: %s", leg.id, error)
            dialled = False
        if not dialled:
            await self.hang_up(leg)
        return dialled

    async def through_dialplan(self, leg: Leg, context: str) -> bool:
        """Let a leg go through a context of the dialplan, which gives it back; False where it did not come back.

        Raises:
            AriError: Asterisk did not do it for another reason than that the leg has gone.
        """
        leg.entered.clear()
        if not await self.command(
            leg,
            *("POST", "channels", leg.id, "continue"),
            query={"context": context, "extension": "s", "priority": 1},
        ):
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GAP_SECONDS):
                await first_of(leg.entered.wait(), leg.gone.wait())
        return leg.entered.is_set() and not leg.gone.is_set()

    async def bridge(self, bridge: str, client: Leg, consultant: Leg) -> bool:
        """Bridge two legs; False where one of them has gone.

        Raises:
            AriError: Asterisk did not do it for another reason.
        """
        both = f"{client.id},{consultant.id}"
        try:
            # False also where it is there already: a first try whose answer was lost has made it (409).
            await self.command(client, "POST", "bridges", bridge, query={"type": "mixing", "name": bridge})
            if client.gone.is_set() or consultant.gone.is_set():
                return False
            return await self.command(
                client, "POST", "bridges", bridge, "addChannel", query={"channel": both}
            )
        except AriRequestError as error:
            # 400: no such channel; 422: it has left the application. The event of its hang-up follows.
            if error.status not in _LEG_HAS_GONE:
                raise
            return False

    async def bridged(self, bridge: str, *legs: Leg) -> bool:
        """Whether these legs are in a bridge now."""
        try:
            found = await self.ari.request("GET", path("bridges", bridge))
        except NotFoundError:
            return False
        return {leg.id for leg in legs} <= set(found["channels"])

    async def part(self, bridge: str, *legs: Leg) -> None:
        """Take legs out of a bridge; they stay up, and nobody hears the other any more."""
        for leg in legs:
            with contextlib.suppress(AriRequestError):  # 400, 409, 422: it has left by itself
                await self.command(leg, "POST", "bridges", bridge, "removeChannel", query={"channel": leg.id})

    async def packets(self, leg: Leg) -> Counted | None:
        """How many RTP packets have come from a leg's phone (RFC 3550); None where nobody can say."""
        try:
            if leg.sip_call_id is None:
                found = await self.ari.request("GET", path("channels", leg.id))
                leg.sip_call_id = str(found.get("protocol_id", ""))
            found = await self.ari.request("GET", path("channels", leg.id, "rtp_statistics"))
        except AriError:
            return None
        return Counted(int(found["rxcount"]), found.get("local_ssrc"))

    async def look_whether_held(self, leg: Leg) -> None:
        """Ask Asterisk whether a leg's phone has the call on hold: nobody was there to be told."""
        with contextlib.suppress(AriError):
            found = await self.ari.request(
                "GET", path("channels", leg.id, "variable"), {"variable": "CHANNEL(rtp,hold)"}
            )
            leg.holds(str(found["value"]) == "1")

    async def refresh(self, leg: Leg) -> None:
        """Let a leg's phone answer a re-INVITE, and so say again which way its sound flows."""
        with contextlib.suppress(AriError):
            await self.set_variable(leg, "PJSIP_SEND_SESSION_REFRESH()", "invite")

    async def end_bridge(self, bridge: str) -> None:
        """Remove a bridge; nothing to do where there is none."""
        with contextlib.suppress(NotFoundError):
            await self.ari.request("DELETE", path("bridges", bridge))


@dataclass
class _Playing:
    """A playback.

    Attributes:
        finished: set at its end.
        failed: it did not begin, or a sound of it could not be played; known when it is over.
    """

    finished: asyncio.Event
    failed: bool = False


async def _check_heard(leg: Leg, playing: _Playing) -> None:
    if not playing.failed:
        return
    with contextlib.suppress(TimeoutError):  # of a leg that hangs up, the playback fails a moment before
        async with asyncio.timeout(_GONE_SECONDS):
            await leg.gone.wait()
    if not leg.gone.is_set():
        raise PromptError(
            f"a prompt that tells a price or asks for consent could not be played to {leg.id}: a sound is missing, or "
            "Asterisk refused it. `taxiphone doctor` tells more."
        )


async def _next_of(leg: Leg, counting: str) -> str | None:
    """The next key that counts; None when the leg has gone."""
    while (key := await leg.key()) is not None:
        if key in counting:
            return key
    return None


async def _within(seconds: float, key: Awaitable[str | None]) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            return await key
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
