"""Runs simulated calls from arrival to receipt, with the program's own steps and meter on a simulated Asterisk."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

from taxiphone.ari_app import consultation
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.router import Leg, Router
from taxiphone.ari_app.services import services
from taxiphone.billing.metering.meter import Meter
from taxiphone.directory import callers
from taxiphone.directory.callers import Caller
from taxiphone.settings import Settings
from taxiphone.simulate.asterisk import SimulatedAsterisk
from taxiphone.store.calls import Outcome
from taxiphone.store.database import Database

# Rows after which the meter may have something to do.
_TELLING = {"BRIDGE_EXIT", "LINKEDID_END"}
# Seconds between two polls for a talk whose end the program has not recorded.
_AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that is over and priced."""

    call_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ArrivedCall:
    """An incoming call.

    Attributes:
        call: its legs.
        dialled: the dialled number.
        caller: the caller.
    """

    call: LiveCall
    dialled: str
    caller: Caller

    @property
    def id(self) -> str:
        """The call's id."""
        return self.call.id

    async def run(self) -> Outcome:
        """Run the call to its end."""
        return await consultation.run(self.call, self.dialled, self.caller)


class SimulatedRecordingControl:
    """Implements `ari_app.ports.RecordingControl`. Recordings are paused and resumed at once.

    Attributes:
        muted: the channels whose recordings are muted.
    """

    def __init__(self) -> None:
        self.muted: set[str] = set()

    async def mute(self, channel: str, muted: bool) -> bool:
        """Pause or resume a recording."""
        (self.muted.add if muted else self.muted.discard)(channel)
        return True

    async def unavailable(self) -> str | None:
        """Return None, no reason: it is always available."""
        return None


class SimulatedSignalling:
    """Implements `ari_app.ports.MediaSignalling` for phones that always send audio and never RTCP."""

    def sends_nothing(self, _call_id: str | None) -> bool:
        """Return False: no phone has agreed to send nothing."""
        return False

    def reports(self, _call_id: str | None, _ours: int | None) -> int:
        """Return 0: no phone sends RTCP reports."""
        return 0


class World:
    """A platform with its Asterisk and its meter, which reads the log whenever a talk or a call has ended.

    Create one with `world`.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self._written = asyncio.Event()
        self.asterisk = SimulatedAsterisk(settings, self._row)
        self.meter = Meter(settings, database, self._rated)
        self.recording_control = SimulatedRecordingControl()
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self.start()

    def start(self) -> None:
        """Start or restart the program, which then knows no legs; Asterisk's channels don't change."""
        self.router = Router(lambda *_: None)
        self.asterisk.on_event = self.router.route
        self.services = services(
            self.settings,
            self.database,
            self.router,
            ari=self.asterisk,
            recording_control=self.recording_control,
            signalling=SimulatedSignalling(),
            sentence_sounds=self.asterisk.sounds,
            on_over=self._over,
        )
        self.on_rated = self.services.rated_calls.rated

    def _row(self, event: str) -> None:
        if event in _TELLING:
            self._written.set()

    def _over(self, _call_id: str) -> None:
        self._written.set()

    def _rated(self, call_id: str) -> None:
        # Called from the meter's thread. Waiting tasks are notified before time continues.
        self._loop.call_soon_threadsafe(self.on_rated, call_id)

    def arrive(self, *, dialled: str, caller: str, channel: str | None = None) -> ArrivedCall:
        """Create an incoming call. Nothing happens in it until it is run."""
        channel = channel or f"client-{next(self._numbers)}"
        leg: Leg = self.router.open(channel)
        self.asterisk.arrives(channel, dialled=dialled, caller=caller)
        leg.confirm(entered=True)
        return ArrivedCall(LiveCall(self.services, leg), dialled, callers.identify(self.settings, caller))

    async def live(self, arrived: ArrivedCall) -> Ended:
        """Run a call to its end and price it."""
        outcome = await arrived.run()
        await self.price()
        return Ended(arrived.id, outcome)

    async def price(self) -> None:
        """Let the meter read everything that Asterisk has written."""
        self._written.clear()
        await asyncio.to_thread(self.meter.read_once)

    async def measure(self) -> None:
        """Price talks as soon as Asterisk has logged their end, until cancelled. Time stands still meanwhile."""
        while True:
            with contextlib.suppress(TimeoutError):
                # The real meter polls continuously. This one polls only while it waits for something.
                async with asyncio.timeout(_AGAIN_SECONDS if self.meter.awaits_program else None):
                    await self._written.wait()
            await self.price()


@contextlib.asynccontextmanager
async def world(settings: Settings, database: Database) -> AsyncIterator[World]:
    """Create a world in which calls can be run, one after the other or at the same time."""
    made = World(settings, database)
    measuring = asyncio.create_task(made.measure(), name="meter")
    try:
        yield made
    finally:
        measuring.cancel()
        await asyncio.gather(measuring, return_exceptions=True)
