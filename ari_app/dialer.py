"""Rings a phone and reports the result."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Mapping

from taxiphone.ari_app.channels import BUSY, CALL_REJECTED, Channels
from taxiphone.ari_app.client import path
from taxiphone.ari_app.ports import Ari
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.waiting import first_of
from taxiphone.errors import AriError, AriRequestError

log = logging.getLogger(__name__)

# Asterisk's own time-out for a ringing phone is this much longer than the program's. It is for when the program has died.
_LATER_SECONDS = 5

# Hang-up causes (ITU-T Q.850).
_NO_ANSWER = {18, 19}


class Rang(enum.Enum):
    """How ringing a phone ended."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no answer"
    REFUSED = "refused"  # the phone's own "decline"
    UNREACHABLE = "unreachable"


class Dialer:
    """Rings phones.

    Args:
        ari: the connection to Asterisk.
        channels: the commands about channels.
    """

    def __init__(self, ari: Ari, channels: Channels) -> None:
        self._ari, self._channels = ari, channels

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
        """Ring a phone, and wait until it is answered.

        The channel is created in the application and dialled from there. Asterisk's `originate` is not used, because it
        follows a redirect (3xx, RFC 3261 21.3) to any technology and host that the phone names.

        Args:
            leg: the phone's leg, already open, so that none of its events is missed.
            endpoint: what to dial, such as `PJSIP/+33612345678@trunk`.
            seconds: how long it may ring.
            arguments: the arguments of its StasisStart, separated by commas.
            originator: the leg on whose behalf it is rung.
            variables: channel variables and functions to set before dialling.
        """
        query = {
            "endpoint": endpoint,
            "app": self._ari.application,
            "appArgs": arguments,
            "channelId": leg.id,
            "originator": originator.id,
        }
        try:
            await self._ari.request("POST", path("channels", "create"), query, {"variables": dict(variables)})
        except AriRequestError as error:
            log.warning("%s could not be rung: %s", leg.id, error)
            leg.mark_gone()
            return Rang.UNREACHABLE
        except AriError as error:
            # The channel may exist nevertheless, so it is hung up.
            log.warning("it is not known whether %s rings: %s", leg.id, error)
            await self._channels.hang_up(leg)
            return Rang.UNREACHABLE
        leg.confirm()
        if not await self._dial(leg, int(seconds) + _LATER_SECONDS):
            return _why_not(leg)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await first_of(leg.answered.wait(), leg.gone.wait())
        if leg.gone.is_set():
            return _why_not(leg)
        return Rang.ANSWERED if leg.answered.is_set() else Rang.NO_ANSWER

    async def _dial(self, leg: Leg, seconds: int) -> bool:
        """Dial a newly created channel once it is in the application; False if that fails."""
        await self._channels.until_entered(leg)
        try:
            dialled = await self._channels.command(
                leg, "POST", "channels", leg.id, "dial", query={"timeout": seconds}
            )
        except AriError as error:
            log.warning("it is not known whether %s rings: %s", leg.id, error)
            dialled = False
        if not dialled:
            await self._channels.hang_up(leg)
        return dialled


def _why_not(leg: Leg) -> Rang:
    """Why a leg wasn't answered, according to the dial status and the Q.850 cause."""
    if leg.dialled == "BUSY" or leg.cause == BUSY:
        return Rang.BUSY
    if leg.cause == CALL_REJECTED:
        return Rang.REFUSED
    if leg.dialled == "NOANSWER" or leg.cause in _NO_ANSWER:
        return Rang.NO_ANSWER
    return Rang.UNREACHABLE
