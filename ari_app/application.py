"""The Stasis application: connects to Asterisk, gives each arriving call a task of its own, and waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app import recovery
from taxiphone.ari_app.ami import AmiRecordingControl
from taxiphone.ari_app.call_rate import CallRate
from taxiphone.ari_app.client import AriClient, Event, path
from taxiphone.ari_app.consultation import Consultation
from taxiphone.ari_app.conversation import Services
from taxiphone.ari_app.hep import HepListener
from taxiphone.ari_app.invites import NAMED, Invites
from taxiphone.ari_app.port_check import check_ports
from taxiphone.ari_app.rated_calls import RatedCalls
from taxiphone.ari_app.router import Leg, Router
from taxiphone.ari_app.verbs import BUSY, CALL_REJECTED, Lines
from taxiphone.ari_app.waiting import to_the_end
from taxiphone.billing.metering import arrivals
from taxiphone.dialplan.credentials import ARI_USER, Secrets
from taxiphone.directory import callers
from taxiphone.directory.callers import Caller, Said
from taxiphone.errors import AriConnectionError, AriError, TaxiphoneError
from taxiphone.settings import Settings
from taxiphone.store.database import Database

log = logging.getLogger(__name__)

# Asterisk sends no others: an event that nobody reads costs two processes their time. The filter applies to the
# answers of REST over WebSocket too: without RESTResponse in it, every request is carried out and none answered.
_EVENTS = (
    "RESTResponse",
    "StasisStart",
    "ChannelDtmfReceived",
    "PlaybackStarted",
    "PlaybackContinuing",
    "PlaybackFinished",
    "Dial",
    "ChannelHangupRequest",
    "ChannelEnteredBridge",  # these two say how long a talk was, by a clock that nobody can set
    "ChannelLeftBridge",
    "ChannelHold",
    "ChannelUnhold",
    "ChannelDestroyed",
)

_AGAIN_SECONDS = 1.0
_TAKING_OVER_SECONDS = 5.0  # of a recovery under way when the program is ended


class Application:
    """All calls of one Asterisk.

    Args:
        settings: checked.
        database: at this program's schema.
        secrets: the passwords of ARI and AMI.
        on_end: called with a call's id when its talk is over, and when its legs have gone; the meter then looks at its
            log at once.
        on_gone: called with unpriced calls of which Asterisk has no leg any more, and its log perhaps no end: those of
            earlier processes, and whenever Asterisk was started anew.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        secrets: Secrets,
        *,
        on_end: Callable[[str], None],
        on_gone: Callable[[set[str]], None],
    ) -> None:
        self._router = Router(self._arrived)
        self._ari = AriClient(
            f"127.0.0.1:{settings.asterisk.http_port}",
            ARI_USER,
            secrets.ari_password,
            recovery.APPLICATION,
            self._router.route,
        )
        self.rated_calls = RatedCalls()
        self._hep_port, self._hep = settings.asterisk.hep_port, HepListener(secrets.hep_secret)
        self._services = Services(
            settings,
            database,
            Lines(self._ari, self._router),
            AmiRecordingControl(settings.asterisk.ami_port, secrets.ami_secret),
            self._hep,
            self.rated_calls,
            on_end,
        )
        self._on_end, self._on_gone = on_end, on_gone
        self._rate = CallRate(settings.call.most_calls_per_minute)
        self._calls: set[asyncio.Task[None]] = set()
        self._invites = Invites()
        self._setting_up: asyncio.Task[None] | None = None
        self._recovered = False
        self._born: str | None = None  # when Asterisk was started
        self.ready = asyncio.Event()
        self.draining = False

    async def run(self) -> None:
        """Take calls until cancelled.

        Raises:
            AriRequestError: Asterisk refuses the password.
            SetupError: the port of HEP is taken.
        """
        await self._hep.listen(self._hep_port)
        try:
            await self._ari.run(self._on_connect)
        finally:
            self._hep.close()

    @property
    def calls(self) -> int:
        """How many calls are in progress."""
        return len(self._calls)

    async def check_ports(self) -> None:
        """Ask Asterisk whether SIP and AMI are up; to be called once `ready` is set.

        Raises:
            AsteriskStartError: one is not; names the port and its setting.
            AriError: Asterisk did not say.
        """
        await check_ports(self._ari, self._services.recording_control, self._services.settings.asterisk)

    async def without_legs(self) -> set[str]:
        """The calls that are not priced, and that neither this program nor Asterisk has any more.

        Raises:
            AriError: Asterisk did not say.
        """
        return await recovery.forgotten(self._services) if self._recovered else set()

    async def drain(self) -> None:
        """Take no new call, and wait for those in progress."""
        self.draining = True
        while self._calls:
            await asyncio.wait(set(self._calls))

    async def hang_up_all(self) -> None:
        """Take no new call, and end those in progress: both legs are hung up, what was talked is priced."""
        self.draining = True
        if self._setting_up is not None:
            # It may be taking over a talk just now, which would be left to itself: that one is ended too.
            await asyncio.wait({self._setting_up}, timeout=_TAKING_OVER_SECONDS)
            self._setting_up.cancel()
            await asyncio.gather(self._setting_up, return_exceptions=True)
        await asyncio.sleep(0)  # a call that has just come begins, so that it can also end
        for call in self._calls:
            call.cancel()
        await self.drain()

    async def connected(self, seconds: float) -> bool:
        """Whether there is a connection to Asterisk, now or within `seconds`."""
        try:
            await self._ari.wait_connected(seconds)
        except AriConnectionError:
            return False
        return True

    def asterisk_has_gone(self) -> None:
        """There is no leg any more: nothing is waited for, and nobody is hung up."""
        self._ari.asterisk_has_gone()
        for leg in self._router.known():
            leg.lost()

    # -- what Asterisk brings ---------------------------------------------------------------------------------------

    def _on_connect(self) -> None:
        if self._setting_up is not None:
            self._setting_up.cancel()
        self._setting_up = asyncio.create_task(self._set_up(), name="after the connection")

    async def _set_up(self) -> None:
        """What has to be done on each (re)connection; tried until it is done or the connection is lost again."""
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
                        log.warning(
                            "Asterisk was started anew; calls that it had are closed, and talks priced"
                        )
                        self._on_gone(await recovery.without_legs(self._services))
                else:
                    self._on_gone(await recovery.recover(self._services, self._resume))
                    self._recovered = True
            except AriConnectionError:
                return  # the next connection does it
            except (AriError, SQLAlchemyError) as error:
                log.warning("after the connection to Asterisk: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self.ready.set()
                return

    async def _restarted(self) -> bool:
        """Whether this is another life of Asterisk's than at the last connection: none of its channels is left then."""
        info = await self._ari.request("GET", path("asterisk", "info"), {"only": "status"})
        before, self._born = self._born, str(info["status"]["startup_time"])
        return before not in {None, self._born}

    def _arrived(self, leg: Leg, event: Event) -> None:
        match event.get("args", []):
            case _ if "replace_channel" in event:
                log.warning("%s claims to replace a line of a call; both are hung up", leg.id)
                self._start(leg.id, self._end_both(leg, str(event["replace_channel"]["id"])))
            case ["inbound", dialled, *said]:
                self._called(leg, event, dialled, said)
            case _:
                log.warning("%s came without a call of ours and is hung up", leg.id)
                self._start(leg.id, self._hang_up(leg))

    def _called(self, leg: Leg, event: Event, dialled: str, said: list[str]) -> None:
        """A call has come over the trunk: take it, refuse it, or turn it away."""
        caller = callers.read(self._services.settings, event["channel"]["caller"]["number"], Said.of(said))
        if self._invites.is_copy(event):
            log.warning("%s is a copy of an INVITE that has made a call already; it is refused", leg.id)
            self._start(leg.id, self._refuse(leg, "copy", CALL_REJECTED))
        elif not self._rate.takes(caller.number or "", monotonic()):
            self._start(leg.id, self._refuse(leg, "often", BUSY))
        elif self.draining:
            self._start(leg.id, self._turn_away(leg, dialled, caller))
        else:
            consultation = Consultation(self._services, leg, dialled=dialled or _named(said), caller=caller)
            self._start(consultation.id, consultation.run())

    async def _turn_away(self, leg: Leg, dialled: str, caller: Caller) -> None:
        """The server is being stopped: say so, charge nothing; the meter notes the call (billing/metering/arrivals.py)."""
        lines = self._services.lines
        language = self._services.settings.platform.language
        try:
            note = arrivals.note_of("away", dialled, caller.number or "")
            await lines.set_variable(leg, "CHANNEL(userfield)", note)
            await lines.answer(leg)
            await lines.speak_language(leg, language)
            await lines.say(leg, *self._services.speech(language).prompt("unavailable"))
        finally:
            await to_the_end(self._hang_up(leg))

    async def _refuse(self, leg: Leg, why: str, cause: int) -> None:
        """End a call before it is answered, without a row.

        Args:
            leg: the caller's.
            why: for the meter: "often", this number calls too often, which it counts; "copy", of another call's INVITE.
            cause: what the caller's network is told (ITU-T Q.850).
        """
        try:
            await self._services.lines.set_variable(leg, "CHANNEL(userfield)", why)
        finally:
            await self._services.lines.hang_up(leg, cause)
            self._router.close(leg)

    async def _end_both(self, leg: Leg, replaced: str) -> None:
        """An INVITE with Replaces (RFC 3891) has put a line into another's place: a call can be ended so, not taken over."""
        known = self._router.has(replaced)
        before = self._router.open(replaced)
        await asyncio.gather(self._hang_up(leg), self._services.lines.hang_up(before))
        if not known:
            self._router.close(before)

    async def _hang_up(self, leg: Leg) -> None:
        await self._services.lines.hang_up(leg)
        self._router.close(leg)

    def _resume(self, talk: Consultation) -> None:
        self._start(talk.id, talk.resume())

    def _start(self, name: str, life: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(self._live(name, life), name=name)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _live(self, name: str, life: Coroutine[Any, Any, Any]) -> None:
        """One call's life; whatever goes wrong in it is this call's own misfortune."""
        try:
            await life
        except (TaxiphoneError, SQLAlchemyError) as error:
            log.error("call %s: %s What was talked is priced from Asterisk's log.", name, error)
        except Exception:
            log.exception(
                "call %s ended by a fault of ours; what was talked is priced from Asterisk's log", name
            )
        finally:
            self._on_end(name)


def _named(said: list[str]) -> str:
    """What stands where the number dialled should: the account's name, or "?"; the operator is told."""
    name = "".join(said[NAMED : NAMED + 1]) or "?"
    log.warning("a call names no number that was dialled, but %r. See [trunk] did_from.", name)
    return name
