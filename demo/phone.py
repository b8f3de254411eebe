"""A simulated phone: it dials, rings, answers, presses keys, plays a tone and records what it hears."""

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

# Asterisk writes files in blocks of 32 KiB: two seconds of audio at 8 kHz, but a third of a second at this rate. So the
# recording can be analyzed with little delay.
RECORDED_AS = "sln48"
# The rate of the recording as a multiple of 8 kHz.
_RECORDED_TIMES = 6
# The Q.850 cause of a line that broke.
TEMPORARY_FAILURE = 41


@dataclass
class Phone:
    """A phone.

    Attributes:
        name: used in messages.
        number: its number in E.164.
        hertz: the frequency of its tone.
        leg: the leg of its current or last call.
        caller: the number shown on its display when it rang.
        caller_name: the name shown with the number.
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
    # The id of the playback of its tone, which starts with the id of the leg, and the event of its end.
    _voice: str = ""
    _spoken: asyncio.Event = field(default_factory=asyncio.Event)
    _voices: int = 0

    # -- calling --------------------------------------------------------------------------------------------------

    async def dial(self, number: str, *, caller_id: str | None = None) -> None:
        """Call a number over the trunk and return immediately.

        Args:
            number: the dialled number.
            caller_id: the caller ID to send instead of this phone's number; empty: withheld.
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
        # The call may already have ended.
        with contextlib.suppress(NotFoundError, ConflictError):
            found = await self.ari.request(
                "GET",
                path("channels", self.leg.id, "variable"),
                {"variable": "CHANNEL(pjsip,call-id)"},
            )
            self.dialogs.add(str(found["value"]))

    # -- being called ---------------------------------------------------------------------------------------------

    def ring(self, leg: Leg, caller: str, caller_name: str, dialog: str) -> None:
        """Receive a call; called by the network."""
        self.leg, self.caller, self.caller_name = leg, caller, caller_name
        self.dialogs.add(dialog)
        self._rings.set()

    async def ringing(self, seconds: float = 20) -> None:
        """Wait until the phone rings, and signal ringing to the caller."""
        async with asyncio.timeout(seconds):
            await self._rings.wait()
        self._rings.clear()
        await self.channels.start_ringing(self._active)

    async def answer(self) -> None:
        """Answer the call."""
        await self.channels.answer(self._active)

    async def decline(self, reason: str = "busy") -> None:
        """Reject the call with a reason: `busy`, `congestion`, `no_answer`, `normal`."""
        await self.channels.command(
            self._active, "DELETE", "channels", self._active.id, query={"reason": reason}
        )

    # -- in a call ------------------------------------------------------------------------------------------------

    @property
    def _active(self) -> Leg:
        if self.leg is None:
            raise RuntimeError(f"{self.name} is not in a call")
        return self.leg

    async def connected(self, seconds: float = 20) -> None:
        """Wait until the call is answered."""
        await self._fact(self._active.entered, seconds)

    async def press(self, keys: str, *, length: int = 100, pause: int = 200) -> None:
        """Press keys one after the other (RFC 4733), each for `length` milliseconds with `pause` milliseconds between.

        On a busy machine a pause arrives shorter than it was sent. With less than about 100 ms left, two presses of the
        same key may be taken for copies of one press (`ari_app.keypad`).

        The tone is paused meanwhile, because Asterisk sends no keys while it plays a sound.
        """
        speaks = await self._be_silent()
        await self.channels.command(
            self._active,
            *("POST", "channels", self._active.id, "dtmf"),
            query={"dtmf": keys, "duration": length, "between": pause},
        )
        if speaks:
            await asyncio.sleep(len(keys) * (length + pause) / 1000)
            await self.speak()

    async def speak(self) -> None:
        """Play the tone until the call ends. Before this, the phone sends no audio packet."""
        self._voices += 1
        self._voice = f"{self._active.id}.voice{self._voices}"
        self._spoken = self._active.expect_playback(self._voice)
        await self.channels.command(
            self._active,
            *("POST", "channels", self._active.id, "play", self._voice),
            query={"media": f"sound:{self.tones / str(self.hertz)}"},
        )

    async def die(self) -> None:
        """Stop sending audio without ending the call, like a phone with a dead battery."""
        await self._be_silent()

    async def _be_silent(self) -> bool:
        """Stop the tone; return whether it was playing."""
        voice, self._voice = self._voice, ""
        speaks = voice.startswith(f"{self._active.id}.")
        if speaks:
            await self.channels.command(self._active, "DELETE", "playbacks", voice)
            await self._fact(self._spoken, 5)
        return speaks

    async def drop(self, cause: int = TEMPORARY_FAILURE) -> None:
        """End the call because the line broke: BYE with this Q.850 cause as its Reason (RFC 3326)."""
        await self.channels.command(
            self._active,
            *("DELETE", "channels", self._active.id),
            query={"reason_code": cause},
        )

    async def hang_up(self) -> None:
        """Hang up, unless the call has ended."""
        if self.leg is not None:
            await self.channels.hang_up(self.leg)

    async def ended(self, seconds: float = 20) -> None:
        """Wait until the call has ended."""
        await self._fact(self._active.gone, seconds)

    async def _fact(self, fact: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await fact.wait()
        except TimeoutError:
            raise AriError(f"{self.name} timed out after {seconds:g} s ({self.leg}).") from None

    # -- what it heard --------------------------------------------------------------------------------------------

    @property
    def recording(self) -> Path:
        """The recording of what it hears, as raw samples. It is a third of a second late and complete after the call."""
        return self.spool / f"{self._active.id}.heard.{RECORDED_AS}"

    def samples(self) -> array.array[int]:
        """Return what it has heard so far: 8 kHz, 16 bit, mono."""
        written = self.recording.read_bytes() if self.recording.exists() else b""
        heard = array.array("h", written[: len(written) // 2 * 2])
        if sys.byteorder == "big":
            heard.byteswap()
        return heard[::_RECORDED_TIMES]

    def heard(self, hertz: int) -> Heard:
        """Find a tone in what it has heard."""
        return find_tone(self.samples(), hertz)
