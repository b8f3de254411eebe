"""`taxiphone serve`: one process that runs Asterisk, the application, FastAGI, the meter and the recordings.

The order matters. On start, Asterisk comes first, since everything else needs it. On stop, the calls end first; then the
meter reads Asterisk's log to its end, so that every talk is priced before the process ends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.agi.scripts import agi_scripts
from taxiphone.agi.server import AgiServer
from taxiphone.ari_app.ami import AmiRecordingControl
from taxiphone.ari_app.application import Application
from taxiphone.ari_app.client import AriClient
from taxiphone.ari_app.hep import HepListener
from taxiphone.ari_app.recovery import APPLICATION
from taxiphone.ari_app.waiting import first_of
from taxiphone.billing.metering.meter import Meter
from taxiphone.dialplan import credentials
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.dialplan.credentials import ARI_USER
from taxiphone.errors import AsteriskStartError, TaxiphoneError
from taxiphone.recordings.worker import RecordingWorker
from taxiphone.server import activity, state_lock
from taxiphone.server.abandoned import AbandonedCalls
from taxiphone.server.embedded_asterisk import Say, start_asterisk
from taxiphone.settings import Settings
from taxiphone.speech.joined_sounds import JoinedSounds
from taxiphone.store import serving
from taxiphone.store.calls import OPEN
from taxiphone.store.database import Database
from taxiphone.store.models import Call

log = logging.getLogger(__name__)

_READY_SECONDS = 15
_PRICED_SECONDS = 5
# How long stopping waits for a lost connection to Asterisk, in seconds.
_AWAY_SECONDS = 5.0


@dataclass
class _Parts:
    """The tasks and objects that run concurrently.

    Attributes:
        application: handles the calls.
        calls: the application's task.
        meter: prices from Asterisk's log.
        recordings: converts recordings.
        abandoned: prices calls whose end Asterisk did not log.
        lock: watches the lock on the database.
        asterisk: waits for the end of the embedded Asterisk; None if it is the operator's own.
    """

    application: Application
    calls: asyncio.Task[None]
    meter: asyncio.Task[None]
    recordings: asyncio.Task[None]
    abandoned: asyncio.Task[None]
    lock: asyncio.Task[None]
    asterisk: asyncio.Task[None] | None

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """All tasks. If one ends, the process ends."""
        found = [self.calls, self.meter, self.recordings, self.abandoned, self.lock]
        return [*found, self.asterisk] if self.asterisk else found

    @property
    def asterisk_died(self) -> bool:
        """Whether the embedded Asterisk has ended by itself."""
        return self.asterisk is not None and self.asterisk.done()


class Process:
    """Everything that `taxiphone serve` runs.

    Args:
        settings: validated settings.
        database: a database with this program's schema.
        drain: on the first signal, wait for the calls in progress instead of ending them.
        say: prints a line for the person who started it.
    """

    def __init__(self, settings: Settings, database: Database, *, drain: bool, say: Say) -> None:
        self._settings, self._database, self._drain, self._say = settings, database, drain, say
        self._signals = 0
        self._signalled = asyncio.Event()
        self._signalled_again = asyncio.Event()
        self._ended = asyncio.Event()
        self._up_once = False
        self._worker = RecordingWorker(settings, database)
        self._meter = Meter(settings, database, on_rated=self._rated)
        self._abandoned = AbandonedCalls(self._meter)
        self._call_rated: Callable[[str], None] = lambda _: None
        self._ari: AriClient

    async def run(self) -> None:
        """Serve until a signal arrives.

        Raises:
            SetupError: it can't start. Nothing is left running.
            AsteriskStartError: Asterisk ended by itself.
        """
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            stack.callback(state_lock.take(self._settings).close)
            alone = serving.lock_of(self._database)
            await asyncio.to_thread(alone.take)
            stack.callback(alone.close)
            agi = AgiServer(self._settings.asterisk.agi_port, agi_scripts(self._settings, self._database))
            await agi.start()
            stack.push_async_callback(agi.stop)
            asterisk = await start_asterisk(
                self._settings, stack, say=self._say, was_up=lambda: self._up_once
            )
            application = await self._application(stack)
            parts = self._start(application, asterisk, alone)
            handlers = dict.fromkeys((signal.SIGTERM, signal.SIGINT), self._signal)
            for number, handle in {**handlers, signal.SIGUSR1: self._tell_activity}.items():
                loop.add_signal_handler(number, handle)
                stack.callback(loop.remove_signal_handler, number)
            try:
                await self._up(parts)
                await _first(asyncio.create_task(self._signalled.wait()), parts.tasks)
            finally:
                await self._down(parts)

    async def _application(self, stack: AsyncExitStack) -> Application:
        asterisk, secrets = self._settings.asterisk, credentials.load(self._settings)
        hep = HepListener(secrets.hep_secret)
        await hep.listen(asterisk.hep_port)
        stack.callback(hep.close)
        self._ari = AriClient(f"127.0.0.1:{asterisk.http_port}", ARI_USER, secrets.ari_password, APPLICATION)
        joined_sounds = JoinedSounds(self._settings)
        joined_sounds.clear()
        application = Application(
            self._settings,
            self._database,
            ari=self._ari,
            recording_control=AmiRecordingControl(asterisk.ami_port, secrets.ami_secret),
            signalling=hep,
            sentence_sounds=joined_sounds,
            on_end=self._meter.nudge,
            on_gone=self._abandoned.add,
        )
        self._call_rated = application.call_rated
        return application

    def _start(self, application: Application, asterisk: AsteriskServer | None, lock: serving.Lock) -> _Parts:
        start = asyncio.create_task
        return _Parts(
            application,
            calls=start(application.run(), name="application"),
            meter=start(self._meter.run(self._ended), name="meter"),
            recordings=start(self._worker.run(self._ended), name="recordings"),
            abandoned=start(self._abandoned.watch(application.without_legs), name="abandoned calls"),
            lock=start(serving.watch(lock), name="database lock"),
            asterisk=start(asterisk.wait_ended(), name="asterisk") if asterisk else None,
        )

    def _rated(self, call_id: str) -> None:
        self._worker.nudge()
        self._call_rated(call_id)

    def _tell_activity(self) -> None:
        self._say(activity.line(self._database, self._ari))

    # -- up -------------------------------------------------------------------------------------------------------

    async def _up(self, parts: _Parts) -> None:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await _first(asyncio.create_task(parts.application.ready.wait()), parts.tasks)
        except TimeoutError:
            raise AsteriskStartError(
                f"Asterisk's ARI on 127.0.0.1:{self._settings.asterisk.http_port} did not answer within "
                f"{_READY_SECONDS} s. To find the cause, run: taxiphone asterisk check"
            ) from None
        await parts.application.check_ports()
        self._up_once = True
        await self._abandoned.price()
        asterisk, trunk = self._settings.asterisk, self._settings.trunk
        self._say(
            f"SIP:      udp {asterisk.sip_address}:{asterisk.sip_port}, trunk to {trunk.host}:{trunk.port}"
        )
        self._say(f"RTP:      udp {asterisk.rtp_start}-{asterisk.rtp_end}")
        self._say(f"ARI:      127.0.0.1:{asterisk.http_port}, FastAGI 127.0.0.1:{asterisk.agi_port}")
        self._say(f"State:    {self._settings.state}")
        self._say("Ready for calls. Ctrl-C stops.")

    # -- down -----------------------------------------------------------------------------------------------------

    def _signal(self) -> None:
        self._signals += 1
        self._signalled.set()
        if self._signals > 1:
            self._signalled_again.set()

    async def _down(self, parts: _Parts) -> None:
        application = parts.application
        if self._drain and application.calls and self._signals:
            self._say(
                f"Waiting for {application.calls} call(s) to end. Send the signal again to end them now."
            )
            await first_of(application.drain(), self._signalled_again.wait(), _any_ends(parts.tasks))
        if application.calls:
            self._say(f"Ending {application.calls} call(s) and pricing their talks.")
        if parts.asterisk_died:
            application.asterisk_has_gone()
        elif application.calls and not await application.connected(_AWAY_SECONDS):
            log.warning(
                "Asterisk is unreachable: calls that it still has continue, and are priced at the next start"
            )
            application.asterisk_has_gone()
        await application.hang_up_all()
        if parts.asterisk_died:
            self._abandoned.add(await self._database.query(_unfinished))
            await self._abandoned.price()
        await self._priced()
        self._ended.set()
        parts.calls.cancel()
        # The meter and the recordings finish their current work and end by themselves.
        finishing = (parts.calls, parts.meter, parts.recordings)
        results = await asyncio.gather(*finishing, return_exceptions=True)
        for task in parts.tasks:
            task.cancel()
        for result in results:
            if isinstance(result, TaxiphoneError):
                log.error("%s", result)
        self._say("Stopped.")

    async def _priced(self) -> None:
        """Wait until the meter has priced every finished call. Any that remain are priced at the next start."""
        self._meter.nudge()
        try:
            async with asyncio.timeout(_PRICED_SECONDS):
                while await self._database.query(awaited):
                    self._meter.nudge()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            log.warning("Asterisk has not logged the end of some calls yet; the next start prices them")


def awaited(session: Session) -> bool:
    """Tell whether a call still waits to be priced. Calls that can't be priced are reported elsewhere and don't count."""
    open_calls = select(Call.id).where(Call.status.in_(OPEN), Call.unpriced.is_(None))
    return session.scalars(open_calls.limit(1)).first() is not None


def _unfinished(session: Session) -> set[str]:
    return set(session.scalars(select(Call.id).where(Call.status.in_(OPEN))))


async def _first(wanted: asyncio.Task[bool], tasks: list[asyncio.Task[None]]) -> None:
    """Wait for `wanted`. If a task ends before that, raise its error, or an error that names the task."""
    try:
        done, _ = await asyncio.wait({wanted, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        wanted.cancel()
    if wanted in done:
        return
    for task in done:
        if error := task.exception():
            raise error
        raise AsteriskStartError(
            f"{task.get_name()} ended unexpectedly; see the log. No more calls are taken."
        )


async def _any_ends(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
