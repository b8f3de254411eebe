"""Handles channels that enter the application: each becomes a call, is refused, or is hung up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from taxiphone.ari_app import consultation
from taxiphone.ari_app.call_rate import CallRate
from taxiphone.ari_app.channels import BUSY, CALL_REJECTED
from taxiphone.ari_app.invites import NAMED, Invites
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.ports import Event
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.services import Services
from taxiphone.ari_app.waiting import to_the_end
from taxiphone.billing.metering import arrivals
from taxiphone.directory import callers
from taxiphone.directory.callers import Caller, CallerHeaders

log = logging.getLogger(__name__)

Start = Callable[[str, Coroutine[Any, Any, Any]], None]


class IncomingCalls:
    """Takes or refuses each call that arrives over the trunk.

    Args:
        services: the services that each call uses.
        start: starts a task with the given name.

    Attributes:
        draining: the server is stopping; no more calls are taken.
    """

    def __init__(self, services: Services, start: Start) -> None:
        self.draining = False
        self._services, self._start = services, start
        self._rate = CallRate(services.settings.call.most_calls_per_minute)
        self._invites = Invites()

    def arrived(self, leg: Leg, event: Event) -> None:
        """Handle a channel that has entered the application (StasisStart)."""
        match event.get("args", []):
            case _ if "replace_channel" in event:
                log.warning("%s claims to replace a line of a call; both are hung up", leg.id)
                self._start(leg.id, self._end_both(leg, str(event["replace_channel"]["id"])))
            case ["inbound", dialled, *headers]:
                self._take_call(leg, event, dialled, headers)
            case _:
                log.warning("%s belongs to no call and is hung up", leg.id)
                self._start(leg.id, self._hang_up(leg))

    def _take_call(self, leg: Leg, event: Event, dialled: str, headers: list[str]) -> None:
        """Take a call that has arrived over the trunk, or refuse it, or say that the service is unavailable."""
        caller = callers.identify(
            self._services.settings,
            event["channel"]["caller"]["number"],
            CallerHeaders.from_arguments(headers),
        )
        if self._invites.is_copy(event):
            log.warning("%s is a copy of an INVITE that has already made a call; it is refused", leg.id)
            self._start(leg.id, self._refuse(leg, "copy", CALL_REJECTED))
        elif not self._rate.allows(caller.number or "", monotonic()):
            self._start(leg.id, self._refuse(leg, "often", BUSY))
        elif self.draining:
            self._start(leg.id, self._turn_away(leg, dialled, caller))
        else:
            call = LiveCall(self._services, leg)
            self._start(call.id, consultation.run(call, dialled or _account_name(headers), caller))

    async def _turn_away(self, leg: Leg, dialled: str, caller: Caller) -> None:
        """Say that the service is unavailable. Nothing is charged; the meter records the call (billing/metering/arrivals.py)."""
        channels, language = self._services.channels, self._services.settings.platform.language
        try:
            note = arrivals.note_of("away", dialled, caller.number or "")
            await channels.set_variables(leg, {"CHANNEL(userfield)": note})
            await channels.answer(leg)
            await channels.set_language(leg, language)
            await self._services.prompter.say(leg, *self._services.speech(language).prompt("unavailable"))
        finally:
            await to_the_end(self._hang_up(leg))

    async def _refuse(self, leg: Leg, why: str, cause: int) -> None:
        """Refuse a call before it is answered. It gets no row in the database.

        Args:
            leg: the caller's leg.
            why: for the meter: "often" (the number calls too often; such calls are counted) or "copy" (a copy of another
                call's INVITE).
            cause: the cause sent to the caller's network (ITU-T Q.850).
        """
        try:
            await self._services.channels.set_variables(leg, {"CHANNEL(userfield)": why})
        finally:
            await self._services.channels.hang_up(leg, cause)
            self._services.router.close(leg)

    async def _end_both(self, leg: Leg, replaced: str) -> None:
        """Hang up a channel that has replaced another, and the one replaced (INVITE with Replaces, RFC 3891).

        Such an INVITE can end a call, but not take it over.
        """
        router = self._services.router
        known = router.has(replaced)
        replaced_leg = router.open(replaced)
        await asyncio.gather(self._hang_up(leg), self._services.channels.hang_up(replaced_leg))
        if not known:
            router.close(replaced_leg)

    async def _hang_up(self, leg: Leg) -> None:
        await self._services.channels.hang_up(leg)
        self._services.router.close(leg)


def _account_name(headers: list[str]) -> str:
    """What the carrier sent in place of a dialled number, such as an account's name; "?" if nothing. Logs a warning."""
    name = "".join(headers[NAMED : NAMED + 1]) or "?"
    log.warning("a call names no number but %r. See [trunk] did_from.", name)
    return name
