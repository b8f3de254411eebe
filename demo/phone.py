"""A telephone on the public network: it dials, rings, answers, presses keys, speaks a tone, and records what it hears."""

from __future__ import annotations

import array
import asyncio
import contextlib
import sys
from dataclasses import dataclass, field
from pathlib import Path

from taxiphone.ari_app.channels import Channels
from taxiphone.ari_app.client import AriClient, path
from taxiphone.ari_app.router import Leg, Router
from taxiphone.demo.sound import Heard, find_tone
from taxiphone.errors import AriError, ConflictError, NotFoundError

# Asterisk writes a file in blocks of 32 KiB: two seconds of telephone sound, but a third of one at this rate. So what
# a phone hears can be listened to while it hears it.
RECORDED_AS = "sln48"
_RECORDED_TIMES = 6  # ... the telephone's 8 kHz
TEMPORARY_FAILURE = 41  # Q.850: how a network says that a line broke


@dataclass
class Phone:
    """One telephone with its number.

    Attributes:
        name: for people.
        number: its own, E.164.
        hertz: the tone that it speaks.
        leg: of the call that it is in or was in last.
        caller: the number that its display showed when it rang.
        caller_name: the name beside it.
        dialogs: the SIP Call-IDs of all its calls (RFC 3261, section 12).
    """

    name: str
    number: str
    hertz: int
    ari: AriClient
    router: Router
    channels: Channels
    spool: Path
    tones: Path
    leg: Leg | None = None
    caller: str | None = None
    caller_name: str | None = None
    dialogs: set[str] = field(default_factory=set)
    _rings: asyncio.Event = field(default_factory=asyncio.Event)
    _calls: int = 0
    _voice: str = ""  # the playback of its tone, named after the leg that it is spoken into
    _spoken: asyncio.Event = field(default_factory=asyncio.Event)  # it has ended
    _voices: int = 0

    # -- calling --------------------------------------------------------------------------------------------------

    async def dial(self, number: str, *, caller_id: str | None = None) -> None:
        """Call a number over the trunk; returns at once.

        Args:
            number: as it is dialled.
            caller_id: what the carrier shows instead of this phone's number; empty: withheld.
        """
        self._calls += 1
        self.leg = self.router.open(f"{self.name}-{self._calls}-{self.number.lstrip('+')}")
        shown = self.number if caller_id is None else caller_id
        await self.ari.request(
            "POST",
            path("channels"),
            {
                "endpoint": f"PJSIP/{number}@platform",
                "channelId": self.leg.id,
                "context": "phone",
                "extension": "s",
                "priority": 1,
                "callerId": f"<{shown}>" if shown else "Anonymous <anonymous>",
                "timeout": 30,
            },
            {"variables": {} if shown else {"CALLERID(pres)": "prohib"}},
        )
        with contextlib.suppress(NotFoundError, ConflictError):  # it is over already
            found = await self.ari.request(
                "GET",
                path("channels", self.leg.id, "variable"),
                {"variable": "CHANNEL(pjsip,call-id)"},
            )
            self.dialogs.add(str(found["value"]))

    # -- being called ---------------------------------------------------------------------------------------------

    def ring(self, leg: Leg, caller: str, caller_name: str, dialog: str) -> None:
        """The network says that this phone is called."""
        self.leg, self.caller, self.caller_name = leg, caller, caller_name
        self.dialogs.add(dialog)
        self._rings.set()

    async def ringing(self, seconds: float = 20) -> None:
        """Wait until it rings, and let the caller's network know."""
        async with asyncio.timeout(seconds):
            await self._rings.wait()
        self._rings.clear()
        await self.channels.start_ringing(self._active)

    async def answer(self) -> None:
        """Pick it up."""
        await self.channels.answer(self._active)

    async def decline(self, reason: str = "busy") -> None:
        """Not pick it up: `busy`, `congestion`, `no_answer`, `normal`."""
        await self.channels.command(
            self._active, "DELETE", "channels", self._active.id, query={"reason": reason}
        )

    # -- in a call ------------------------------------------------------------------------------------------------

    @property
    def _active(self) -> Leg:
        if self.leg is None:
            raise RuntimeError(f"{self.name} is in no call")
        return self.leg

    async def connected(self, seconds: float = 20) -> None:
        """Wait until the call is answered."""
        await self._fact(self._active.entered, seconds)

    async def press(self, keys: str, *, length: int = 100, pause: int = 100) -> None:
        """Press keys one after the other (RFC 4733), each for `length` milliseconds, with a `pause` between.

        Who speaks is silent meanwhile: Asterisk sends no keys from a leg before the sound that it plays has ended.
        """
        speaks = await self._be_silent()
        await self.channels.command(
            self._active,
            *("POST", "channels", self._active.id, "dtmf"),
            query={"dtmf": keys, "duration": length, "between": pause},
        )
        if speaks:
            await asyncio.sleep(len(keys) * (length + pause) / 1000)  # a person, too, is silent for so long
            await self.speak()

    async def speak(self) -> None:
        """Speak its tone from now on, until the call ends. Until then not a packet of sound leaves this phone."""
        self._voices += 1
        self._voice = f"{self._active.id}.voice{self._voices}"
        self._spoken = self._active.expect_playback(self._voice)
        await self.channels.command(
            self._active,
            *("POST", "channels", self._active.id, "play", self._voice),
            query={"media": f"sound:{self.tones / str(self.hertz)}"},
        )

    async def die(self) -> None:
        """Send no sound any more, though the call stands: a dead battery, a network that forwards nothing."""
        await self._be_silent()

    async def _be_silent(self) -> bool:
        """Speak no more; whether it did."""
        voice, self._voice = self._voice, ""
        speaks = voice.startswith(f"{self._active.id}.")
        if speaks:
            await self.channels.command(self._active, "DELETE", "playbacks", voice)
            await self._fact(self._spoken, 5)
        return speaks

    async def drop(self, cause: int = TEMPORARY_FAILURE) -> None:
        """The network ends the call because the line broke: BYE with this Q.850 cause as its Reason (RFC 3326)."""
        await self.channels.command(
            self._active,
            *("DELETE", "channels", self._active.id),
            query={"reason_code": cause},
        )

    async def hang_up(self) -> None:
        """Put it down; nothing to do where the call is over."""
        if self.leg is not None:
            await self.channels.hang_up(self.leg)

    async def ended(self, seconds: float = 20) -> None:
        """Wait until the call is over."""
        await self._fact(self._active.gone, seconds)

    async def _fact(self, fact: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await fact.wait()
        except TimeoutError:
            raise AriError(f"{self.name} waited {seconds:g} s in vain ({self.leg}).") from None

    # -- what it heard --------------------------------------------------------------------------------------------

    @property
    def recording(self) -> Path:
        """What it hears, as bare samples; it lags a third of a second behind, and is whole when the call is over."""
        return self.spool / f"{self._active.id}.heard.{RECORDED_AS}"

    def samples(self) -> array.array[int]:
        """What it has heard so far: 8 kHz, 16 bit, mono."""
        written = self.recording.read_bytes() if self.recording.exists() else b""
        heard = array.array("h", written[: len(written) // 2 * 2])
        if sys.byteorder == "big":
            heard.byteswap()
        return heard[::_RECORDED_TIMES]

    def heard(self, hertz: int) -> Heard:
        """A tone in what it heard."""
        return find_tone(self.samples(), hertz)
