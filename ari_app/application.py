"""The Stasis application: connects to Asterisk and runs each call in its own task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app import consultation, recovery
from taxiphone.ari_app.client import path
from taxiphone.ari_app.incoming import IncomingCalls
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.port_check import check_ports
from taxiphone.ari_app.ports import Ari, Event, MediaSignalling, RecordingControl, SentenceSounds
from taxiphone.ari_app.router import Leg, Router
from taxiphone.ari_app.services import services
from taxiphone.errors import AriConnectionError, AriError, TaxiphoneError
from taxiphone.settings import Settings
from taxiphone.store.database import Database

log = logging.getLogger(__name__)

# Asterisk sends only these events; unused ones would cost time in both processes. The filter also applies to the
# answers of REST over WebSocket: without RESTResponse, requests would be carried out but never answered.
_EVENTS = (
    "RESTResponse",
    "StasisStart",
    "ChannelDtmfReceived",
    "PlaybackFinished",
    "Dial",
    "ChannelHangupRequest",
    # The time between these two is the duration of a talk by the monotonic clock.
    "ChannelEnteredBridge",
    "ChannelLeftBridge",
    "ChannelHold",
    "ChannelUnhold",
    "ChannelDestroyed",
)

_RETRY_SECONDS = 1.0
# How long a stop waits for a recovery that is in progress.
_RECOVERY_SECONDS = 5.0


class Application:
    """All calls of one Asterisk.

    Args:
        settings: the settings.
        database: the database, with this version's schema.
        ari: the connection to Asterisk.
        recording_control: pauses recordings.
        signalling: tells which phones have a valid reason to send no audio.
        sentence_sounds: joins the sounds of a sentence.
        on_end: called with a call's id when its talk is over, and when its legs have gone, so that the meter reads
            Asterisk's log at once.
        on_gone: called with the ids of unpriced calls that have no leg left in Asterisk and may have no end in its log:
            those of earlier processes, and those that a restart of Asterisk has ended.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        ari: Ari,
        recording_control: RecordingControl,
        signalling: MediaSignalling,
        sentence_sounds: SentenceSounds,
        on_end: Callable[[str], None],
        on_gone: Callable[[set[str]], None],
    ) -> None:
        self._ari = ari
        self.router = Router(self._arrived)
        self._services = services(
            settings,
            database,
            self.router,
            ari=ari,
            recording_control=recording_control,
            signalling=signalling,
            sentence_sounds=sentence_sounds,
            on_over=on_end,
        )
        self._incoming = IncomingCalls(self._services, self._start)
        self._on_end, self._on_gone = on_end, on_gone
        self._calls: set[asyncio.Task[None]] = set()
        self._setting_up: asyncio.Task[None] | None = None
        self._recovered = False
        self._started_at: str | None = None  # of Asterisk
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Take calls until cancelled.

        Raises:
            AriRequestError: Asterisk refuses the password.
        """
        await self._ari.run(self.router.route, self._on_connect)

    @property
    def calls(self) -> int:
        """The number of calls in progress."""
        return len(self._calls)

    def call_rated(self, call_id: str) -> None:
        """Handle that the meter has priced a call: tell anybody still on the line. Call this on the event loop."""
        self._services.rated_calls.rated(call_id)

    async def check_ports(self) -> None:
        """Ask Asterisk whether SIP and AMI are up. Call it once `ready` is set.

        Raises:
            AsteriskStartError: one is not; the message names the port and its setting.
            AriError: Asterisk did not answer.
        """
        await check_ports(self._ari, self._services.recording_control, self._services.settings.asterisk)

    async def without_legs(self) -> set[str]:
        """The ids of unpriced calls that have no leg left, either here or in Asterisk.

        Raises:
            AriError: Asterisk did not answer.
        """
        return await recovery.lost_calls(self._services) if self._recovered else set()

    async def drain(self) -> None:
        """Take no new calls, and wait for those in progress."""
        self._incoming.draining = True
        while self._calls:
            await asyncio.wait(set(self._calls))

    async def hang_up_all(self) -> None:
        """Take no new calls, and end those in progress: all legs are hung up, and talks are priced."""
        self._incoming.draining = True
        if self._setting_up is not None:
            # It may be taking over a talk, which must be ended too.
            await asyncio.wait({self._setting_up}, timeout=_RECOVERY_SECONDS)
            self._setting_up.cancel()
            await asyncio.gather(self._setting_up, return_exceptions=True)
        await asyncio.sleep(0)  # lets a call that has just arrived begin, so that it can end
        for call in self._calls:
            call.cancel()
        await self.drain()

    async def connected(self, seconds: float) -> bool:
        """Whether Asterisk is connected, waiting up to `seconds` for the connection."""
        try:
            await self._ari.wait_connected(seconds)
        except AriConnectionError:
            return False
        return True

    def asterisk_has_gone(self) -> None:
        """Handle that Asterisk has ended, and all legs with it: stop waiting for events, and hang up nothing."""
        self._ari.asterisk_has_gone()
        for leg in self.router.known():
            leg.mark_gone()

    # -- events ---------------------------------------------------------------------------------------

    def _on_connect(self) -> None:
        if self._setting_up is not None:
            self._setting_up.cancel()
        self._setting_up = asyncio.create_task(self._set_up(), name="after the connection")

    async def _set_up(self) -> None:
        """Do what each (re)connection needs; retried until it is done or the connection is lost again."""
        while True:
            try:
                await self._ari.request(
                    "PUT",
                    path("applications", recovery.APPLICATION, "eventFilter"),
                    body={"allowed": [{"type": name} for name in _EVENTS]},
                )
                restarted = await self._restarted()
                if self._recovered:
                    await recovery.reconcile(self._services)
                    if restarted:
                        log.warning("Asterisk was restarted; calls that it had are closed, and talks priced")
                        self._on_gone(await recovery.without_legs(self._services))
                else:
                    self._on_gone(await recovery.recover(self._services, self._resume))
                    self._recovered = True
            except AriConnectionError:
                return  # the next connection starts this again
            except (AriError, SQLAlchemyError) as error:
                log.warning("setting up the connection to Asterisk failed and is retried: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self.ready.set()
                return

    async def _restarted(self) -> bool:
        """Whether Asterisk has been restarted since the last connection, so that none of its channels is left."""
        info = await self._ari.request("GET", path("asterisk", "info"), {"only": "status"})
        before, self._started_at = self._started_at, str(info["status"]["startup_time"])
        return before not in {None, self._started_at}

    def _arrived(self, leg: Leg, event: Event) -> None:
        self._incoming.arrived(leg, event)

    def _resume(self, call: LiveCall, consultant_leg: Leg) -> None:
        self._start(call.id, consultation.resume(call, consultant_leg))

    def _start(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(self._run_one(name, work), name=name)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _run_one(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        """Run one call. An error in it affects no other call."""
        try:
            await work
        except (TaxiphoneError, SQLAlchemyError) as error:
            log.error("call %s: %s A talk is priced from Asterisk's log.", name, error)
        except Exception:
            log.exception(
                "call %s was ended by an internal error; a talk is priced from Asterisk's log", name
            )
        finally:
            self._on_end(name)
