"""`taxiphone serve`: one process that brings up Asterisk, the application, the lines, the meter and the recordings.

Order matters twice. Up: Asterisk first, since all others talk to it. Down: calls first, then the meter reads
Asterisk's log to its end, so that what was talked until the last moment is priced before the process ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import IO

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from taxiphone.agi.apology import Apology
from taxiphone.agi.server import AgiServer
from taxiphone.ari_app.ami import AmiRecordingControl
from taxiphone.ari_app.application import Application
from taxiphone.ari_app.client import AriClient
from taxiphone.ari_app.hep import HepListener
from taxiphone.ari_app.recovery import APPLICATION
from taxiphone.ari_app.waiting import first_of
from taxiphone.billing.metering.meter import Meter
from taxiphone.dialplan import config, credentials
from taxiphone.dialplan.asterisk import locate, sharing
from taxiphone.dialplan.asterisk.home import outdated
from taxiphone.dialplan.asterisk.log_keeper import Bounds
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.dialplan.credentials import ARI_USER
from taxiphone.errors import AsteriskStartError, SetupError, TaxiphoneError
from taxiphone.recordings.worker import RecordingWorker
from taxiphone.server import forgotten
from taxiphone.server.checks import check_asterisk
from taxiphone.server.refused_summary import RefusedSummary
from taxiphone.settings import Settings
from taxiphone.speech.prompts_folder import link_prompts
from taxiphone.store import serving
from taxiphone.store.calls import OPEN
from taxiphone.store.database import Database
from taxiphone.store.models import Call

log = logging.getLogger(__name__)

_READY_SECONDS = 15
_PRICED_SECONDS = 5
_AGAIN_SECONDS = 1.0
_NO_CHANNEL = re.compile(r"^0 active channels$", re.MULTILINE)
_AWAY_SECONDS = 5.0  # so long a stop waits for a connection to Asterisk that was lost

Say = Callable[[str], None]


class Process:
    """Everything that `taxiphone serve` runs.

    Args:
        settings: checked.
        database: at this program's schema.
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
        self._abandoned: set[str] = set()  # calls of which Asterisk has no leg, and its log perhaps no end
        self._pricing: set[asyncio.Task[None]] = set()
        self._worker = RecordingWorker(settings, database)
        self._meter = Meter(settings, database, on_rated=self._rated)
        self._call_rated: Callable[[str], None] = lambda _: None

    async def run(self) -> None:
        """Serve until a signal.

        Raises:
            SetupError: it can't start; nothing is left running.
            AsteriskStartError: Asterisk ended by itself.
        """
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            stack.callback(_lock(self._settings).close)
            alone = serving.lock_of(self._database)
            await asyncio.to_thread(alone.take)
            stack.callback(alone.close)
            agi = AgiServer(
                self._settings.asterisk.agi_port, {"apology": Apology(self._settings, self._database)}
            )
            await agi.start()
            stack.push_async_callback(agi.stop)
            asterisk = await self._start_asterisk(stack)
            application = await self._application(stack)
            tasks = [
                asyncio.create_task(application.run(), name="application"),
                asyncio.create_task(self._meter.run(self._ended), name="meter"),
                asyncio.create_task(self._worker.run(self._ended), name="recordings"),
            ]
            tasks.append(
                asyncio.create_task(
                    forgotten.watch(application.without_legs, self._meter), name="forgotten calls"
                )
            )
            if asterisk is not None:
                tasks.append(asyncio.create_task(asterisk.wait_ended(), name="asterisk"))
            tasks.append(asyncio.create_task(serving.watch(alone), name="database lock"))
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._signal)
                stack.callback(loop.remove_signal_handler, number)
            try:
                await self._up(application, tasks)
                await _first(asyncio.create_task(self._signalled.wait()), tasks)
            finally:
                await self._down(application, tasks)

    async def _application(self, stack: AsyncExitStack) -> Application:
        asterisk, secrets = self._settings.asterisk, credentials.load(self._settings)
        hep = HepListener(secrets.hep_secret)
        await hep.listen(asterisk.hep_port)
        stack.callback(hep.close)
        application = Application(
            self._settings,
            self._database,
            ari=AriClient(f"127.0.0.1:{asterisk.http_port}", ARI_USER, secrets.ari_password, APPLICATION),
            recording_control=AmiRecordingControl(asterisk.ami_port, secrets.ami_secret),
            signalling=hep,
            on_end=lambda _: self._meter.nudge(),
            on_gone=self._gone,
        )
        self._call_rated = application.call_rated
        return application

    def _rated(self, call_id: str) -> None:
        self._worker.nudge()
        self._call_rated(call_id)

    # -- up -------------------------------------------------------------------------------------------------------

    async def _start_asterisk(self, stack: AsyncExitStack) -> AsteriskServer | None:
        if not self._settings.asterisk.embedded:
            # What was recorded since `asterisk config` is heard from this start on, as with an embedded one.
            link_prompts(self._settings)
            sharing.share(self._settings)
            self._say("Asterisk: yours; its files come from `taxiphone asterisk config`")
            return None
        found = locate.find(self._settings)
        bounds = Bounds(self._settings.asterisk.log_megabytes * 1_000_000)
        server = AsteriskServer(found, self._settings.asterisk_home, bounds)
        link_prompts(self._settings)
        files = config.render(self._settings, credentials.load(self._settings), found)
        if await self._take_over(server, files):
            self._say(f"Asterisk {found.version_text}: already running, with its calls; taken over")
        else:
            for port in check_asterisk.asterisk_ports(self._settings.asterisk):
                if port.ok is False:
                    raise SetupError(f"{port.what}. {port.advice}")
            server.write(files)
            await server.start()
            self._say(f"Asterisk {found.version_text}: started")

        async def leave() -> None:
            # One that was there before, with its calls, is not taken down by a start that failed.
            if server.adopted and not self._up_once:
                server.release()
            else:
                await server.stop()

        stack.push_async_callback(leave)
        summary = asyncio.create_task(RefusedSummary(server.folders.log).run(), name="refused requests")
        stack.callback(summary.cancel)
        return server

    async def _take_over(self, server: AsteriskServer, files: dict[str, str]) -> bool:
        """Adopt an Asterisk that runs already. One without calls that was started with other files is stopped instead."""
        if not await server.adopt():
            return False
        other, closed = outdated(server.folders.etc, files)
        others = sorted([*other, *closed])
        if not others:
            return True
        if _NO_CHANNEL.search(await server.rx("core show channels count")):
            log.info("Asterisk is started anew, since its files have changed: %s", ", ".join(others))
            await server.stop()
            return False
        self._say(
            f"Asterisk: has calls, and runs with files of earlier settings or an earlier version: {', '.join(others)}. "
            "New calls may fail until it has been started anew. When no call is on, restart `taxiphone serve`."
        )
        return True

    async def _up(self, application: Application, tasks: list[asyncio.Task[None]]) -> None:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await _first(asyncio.create_task(application.ready.wait()), tasks)
        except TimeoutError:
            raise AsteriskStartError(
                f"Asterisk's ARI on 127.0.0.1:{self._settings.asterisk.http_port} did not answer within "
                f"{_READY_SECONDS} s. `taxiphone asterisk check` tells more."
            ) from None
        await application.check_ports()
        self._up_once = True
        await self._price_abandoned()
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

    async def _down(self, application: Application, tasks: list[asyncio.Task[None]]) -> None:
        if self._drain and application.calls and self._signals:
            self._say(f"Waiting for {application.calls} call(s) to end; once more to end them.")
            await first_of(application.drain(), self._signalled_again.wait(), _any_ends(tasks))
        if application.calls:
            self._say(f"Ending {application.calls} call(s); what was talked is priced.")
        asterisk_died = any(task.done() for task in tasks if task.get_name() == "asterisk")
        if asterisk_died:
            application.asterisk_has_gone()
        elif application.calls and not await application.connected(_AWAY_SECONDS):
            log.warning(
                "Asterisk is away: calls that it still has are left to it, and priced at the next start"
            )
            application.asterisk_has_gone()
        await application.hang_up_all()
        if asterisk_died:
            self._abandoned.update(await self._database.query(_unfinished))
            await self._price_abandoned()
        await self._priced()
        self._ended.set()
        tasks[0].cancel()
        results = await asyncio.gather(*tasks[:3], return_exceptions=True)
        for task in (*tasks[3:], *self._pricing):
            task.cancel()
        for result in results:
            if isinstance(result, TaxiphoneError):
                log.error("%s", result)
        self._say("Stopped.")

    def _gone(self, call_ids: set[str]) -> None:
        """Calls have lost their legs without an end in the log: at the start they are priced before it goes on."""
        self._abandoned.update(call_ids)
        if self._up_once and self._abandoned:
            pricing = asyncio.create_task(
                self._price_abandoned_later(), name="calls that Asterisk's death cut off"
            )
            self._pricing.add(pricing)
            pricing.add_done_callback(self._pricing.discard)

    async def _price_abandoned_later(self) -> None:
        while self._abandoned and not self._ended.is_set():
            try:
                await self._price_abandoned()
            except (SQLAlchemyError, OSError) as error:
                log.warning("calls that Asterisk's death cut off can't be priced yet: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _price_abandoned(self) -> None:
        """Price the calls whose end nobody will log any more, to the last proof of life."""
        if call_ids := sorted(self._abandoned):
            await asyncio.to_thread(self._meter.abandoned, call_ids)
            self._abandoned.difference_update(call_ids)
            self._meter.nudge()

    async def _priced(self) -> None:
        """Wait until the meter has dealt with every ended call; what it does not get to now, it does at the next start."""
        self._meter.nudge()
        try:
            async with asyncio.timeout(_PRICED_SECONDS):
                while await self._database.query(awaited):
                    self._meter.nudge()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            log.warning("calls have ended whose end Asterisk has not logged yet; the next start prices them")


def awaited(session: Session) -> bool:
    """Whether a call still waits for its price; one that can't be priced is told of elsewhere, and holds up no stop."""
    open_calls = select(Call.id).where(Call.status.in_(OPEN), Call.unpriced.is_(None))
    return session.scalars(open_calls.limit(1)).first() is not None


def _unfinished(session: Session) -> set[str]:
    return set(session.scalars(select(Call.id).where(Call.status.in_(OPEN))))


def _lock(settings: Settings) -> IO[str]:
    """One process for each state folder: two would both answer the calls."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = open(  # noqa: SIM115 - held open as long as the process lives
        settings.state / "serve.lock",
        "w",
        encoding="utf-8",
        opener=lambda path, flags: os.open(path, flags, 0o600),
    )
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise SetupError(
            f"another `taxiphone serve` is running on {settings.state}. Stop it first."
        ) from None
    return file


async def _first(wanted: asyncio.Task[bool], tasks: list[asyncio.Task[None]]) -> None:
    """Wait for `wanted`; a task that ends before it takes the process with it, with its own error or ours."""
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
            f"{task.get_name()} has ended by itself; see the log. Calls can't be taken any more."
        )


async def _any_ends(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
