"""A simulated call from its arrival to its receipt: the program's own consultation and meter on a simulated Asterisk."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

from taxiphone.ari_app.consultation import Consultation
from taxiphone.ari_app.conversation import Services
from taxiphone.ari_app.rated_calls import RatedCalls
from taxiphone.ari_app.router import Leg, Router
from taxiphone.ari_app.verbs import Lines
from taxiphone.billing.metering.meter import Meter
from taxiphone.directory import callers
from taxiphone.settings import Settings
from taxiphone.simulate.asterisk import SimulatedAsterisk
from taxiphone.store.calls import Outcome
from taxiphone.store.database import Database

_TELLING = {"BRIDGE_EXIT", "LINKEDID_END"}  # rows after which the meter may have something to do
_AGAIN_SECONDS = 2.0  # between two looks at a talk whose program has not said how it ended


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that is over, its price made."""

    call_id: str
    outcome: Outcome


class SimulatedRecordingControl:
    """Implements `ari_app.ports.RecordingControl`: recordings are paused and resumed at once.

    Attributes:
        paused: the channels of which silence would be recorded.
    """

    def __init__(self) -> None:
        self.paused: set[str] = set()

    async def mute(self, channel: str, muted: bool) -> bool:
        """Pause or resume."""
        (self.paused.add if muted else self.paused.discard)(channel)
        return True

    async def unavailable(self) -> str | None:
        """It is always there."""
        return None


class SimulatedSignalling:
    """Implements `ari_app.ports.MediaSignalling`: no phone agrees to send nothing, and none sends RTCP."""

    def sends_nothing(self, _call_id: str | None) -> bool:
        """No."""
        return False

    def reports(self, _call_id: str | None, _ours: int | None) -> int:
        """None."""
        return 0


class World:
    """A house, its Asterisk, and its meter, which looks whenever Asterisk has written that a talk, or a call, is over.

    Made by `world`.
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
        """The program starts, perhaps anew: it knows of no leg, and Asterisk's channels are as they are."""
        self.router = Router(lambda *_: None)
        self.asterisk.on_event = self.router.route
        rated_calls = RatedCalls()
        self.on_rated = rated_calls.rated
        self.services = Services(
            settings=self.settings,
            database=self.database,
            ari=self.asterisk,
            router=self.router,
            lines=Lines(self.asterisk, self.router),
            recording_control=self.recording_control,
            signalling=SimulatedSignalling(),
            rated_calls=rated_calls,
            on_over=self._over,
        )

    def _row(self, event: str) -> None:
        if event in _TELLING:
            self._written.set()

    def _over(self, _call_id: str) -> None:
        self._written.set()

    def _rated(self, call_id: str) -> None:
        # From the meter's thread: whoever waits is told before time goes on.
        self._loop.call_soon_threadsafe(self.on_rated, call_id)

    def arrive(self, *, dialled: str, caller: str, channel: str | None = None) -> Consultation:
        """A call comes in; the consultation that will live it, once it is run."""
        channel = channel or f"client-{next(self._numbers)}"
        leg: Leg = self.router.open(channel)
        self.asterisk.arrives(channel, dialled=dialled, caller=caller)
        leg.entered.set()
        leg.told = True
        return Consultation(self.services, leg, dialled=dialled, caller=callers.read(self.settings, caller))

    async def live(self, consultation: Consultation) -> Ended:
        """Live a call to its end, and price it."""
        outcome = await consultation.run()
        await self.price()
        return Ended(consultation.id, outcome)

    async def price(self) -> None:
        """Let the meter read all that Asterisk has written."""
        self._written.clear()
        await asyncio.to_thread(self.meter.read_once)

    async def measure(self) -> None:
        """Price what is over as soon as Asterisk has written it, until cancelled. Time stands still meanwhile."""
        while True:
            with contextlib.suppress(TimeoutError):
                # The real meter looks all the time. Here it looks again only where it waits for something.
                async with asyncio.timeout(_AGAIN_SECONDS if self.meter.awaits_program else None):
                    await self._written.wait()
            await self.price()


@contextlib.asynccontextmanager
async def world(settings: Settings, database: Database) -> AsyncIterator[World]:
    """A world in which calls can be lived, one after the other or at the same time."""
    made = World(settings, database)
    measuring = asyncio.create_task(made.measure(), name="meter")
    try:
        yield made
    finally:
        measuring.cancel()
        await asyncio.gather(measuring, return_exceptions=True)
