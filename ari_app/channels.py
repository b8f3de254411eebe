"""Commands to Asterisk about channels and bridges. If the channel has gone, they do nothing and return False.

`Channels.command` is the only place that handles a vanished channel, a lost connection or a late answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiphone.ari_app.client import path
from taxiphone.ari_app.ports import Ari
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.waiting import first_of
from taxiphone.errors import AriConnectionError, AriError, AriRequestError, ConflictError, NotFoundError

log = logging.getLogger(__name__)

# Hang-up causes (ITU-T Q.850).
NORMAL, BUSY, CALL_REJECTED, TEMPORARY_FAILURE = 16, 17, 21, 41

GAP_SECONDS = 5.0
"""How long a command waits for a lost connection to be restored, and for a channel to enter the application."""

# ARI's answers to addChannel for a channel that has gone; other requests answer 404 and 409.
_LEG_HAS_GONE = {400, 422}


@dataclass(frozen=True)
class RtpCount:
    """RTP received from a leg's phone.

    Attributes:
        packets: number of packets.
        ssrc: the source (SSRC) of the RTP that Asterisk sends to the phone, if known.
    """

    packets: int
    ssrc: int | None = None


class Channels:
    """Channels and bridges, over one connection to Asterisk.

    Args:
        ari: the connection.
    """

    def __init__(self, ari: Ari) -> None:
        self._ari = ari

    async def command(
        self, leg: Leg, method: str, *parts: str, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> bool:
        """Send a command about a leg. Returns True if it was carried out, False if the leg has gone.

        Raises:
            AriError: neither is the case; the call can't continue as planned.
        """
        # Retried once if the connection was lost. The first try may have been carried out, but since the ids are chosen
        # here, a repeated command is harmless.
        tries = 2
        while not leg.gone.is_set():
            tries -= 1
            try:
                await self._ari.request(method, path(*parts), query, body)
            except (NotFoundError, ConflictError) as error:
                # 404: just hung up. 409: hung up and leaving the application, or the first try was carried out. If the
                # leg has gone, the event follows.
                log.debug("%s: %s", leg.id, error)
                return False
            except AriConnectionError:
                if not tries:
                    raise
                await self._ari.wait_connected(GAP_SECONDS)
            else:
                return True
        return False

    # -- one leg --------------------------------------------------------------------------------------------------

    async def answer(self, leg: Leg) -> bool:
        """Answer an inbound leg."""
        return await self.command(leg, "POST", "channels", leg.id, "answer")

    async def set_language(self, leg: Leg, language: str) -> bool:
        """Use the prompts of this language from now on."""
        if leg.language == language:
            return True
        done = await self.set_variables(leg, {"CHANNEL(language)": language})
        if done:
            leg.language = language
        return done

    async def set_variables(self, leg: Leg, values: Mapping[str, str]) -> bool:
        """Set channel variables or functions in one request, after what is playing to the leg (`Leg.speaking`).

        Args:
            leg: the leg.
            values: the values by name. Where there are several, none may have a comma, a quote or a backslash.
        """
        # ARI sets one variable with each request; the dialplan's function ARRAY sets several.
        name, value = ",".join(values), ",".join(values.values())
        if len(values) > 1:
            name = f"ARRAY({name})"
        async with leg.speaking:
            return await self.command(
                leg, "POST", "channels", leg.id, "variable", query={"variable": name, "value": value}
            )

    async def start_ringing(self, leg: Leg) -> bool:
        """Play the ringing tone until `stop_ringing` is called."""
        return await self.command(leg, "POST", "channels", leg.id, "ring")

    async def stop_ringing(self, leg: Leg) -> bool:
        """Stop the ringing tone."""
        return await self.command(leg, "DELETE", "channels", leg.id, "ring")

    async def hang_up(self, leg: Leg, cause: int = NORMAL) -> None:
        """Hang up a leg, unless that is done already. Waits for a lost connection, so that no leg is left behind.

        Args:
            leg: the leg.
            cause: the cause sent to the phone and written to Asterisk's log (ITU-T Q.850).
        """
        for _ in range(3):
            if leg.gone.is_set() or leg.hung_up:
                return
            try:
                await self._ari.wait_connected(10)
                await self.command(leg, "DELETE", "channels", leg.id, query={"reason_code": cause})
                leg.hung_up = True
            except AriError as error:
                log.warning("%s could not be hung up yet: %s", leg.id, error)
                continue
            return
        log.error("%s could not be hung up; Asterisk ends it at its time-out", leg.id)

    async def through_dialplan(self, leg: Leg, context: str) -> bool:
        """Send a leg through a context of the dialplan and back; False if it did not come back.

        Raises:
            AriError: Asterisk refused, and not because the leg has gone.
        """
        leg.expect_return()
        if not await self.command(
            leg,
            *("POST", "channels", leg.id, "continue"),
            query={"context": context, "extension": "s", "priority": 1},
        ):
            return False
        await self.until_entered(leg)
        return leg.entered.is_set() and not leg.gone.is_set()

    async def until_entered(self, leg: Leg) -> None:
        """Wait until a leg is in the application or has gone, for at most `GAP_SECONDS`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GAP_SECONDS):
                await first_of(leg.entered.wait(), leg.gone.wait())

    # -- media ----------------------------------------------------------------------------------------------------

    async def rtp_count(self, leg: Leg) -> RtpCount | None:
        """The number of RTP packets (RFC 3550) received from a leg's phone; None if Asterisk does not answer."""
        try:
            if leg.sip_call_id is None:
                channel = await self._ari.request("GET", path("channels", leg.id))
                leg.set_sip_call_id(str(channel.get("protocol_id", "")))
            statistics = await self._ari.request("GET", path("channels", leg.id, "rtp_statistics"))
        except AriError:
            return None
        return RtpCount(int(statistics["rxcount"]), statistics.get("local_ssrc"))

    async def poll_hold(self, leg: Leg) -> None:
        """Ask Asterisk whether a leg's phone has the call on hold, since the event may have been missed."""
        with contextlib.suppress(AriError):
            variable = await self._ari.request(
                "GET", path("channels", leg.id, "variable"), {"variable": "CHANNEL(rtp,hold)"}
            )
            leg.set_on_hold(str(variable["value"]) == "1")

    async def refresh_session(self, leg: Leg) -> None:
        """Send a re-INVITE, so that the phone states the direction of its audio again."""
        with contextlib.suppress(AriError):
            await self.set_variables(leg, {"PJSIP_SEND_SESSION_REFRESH()": "invite"})

    # -- bridges --------------------------------------------------------------------------------------------------

    async def bridge(self, bridge: str, client: Leg, consultant: Leg) -> bool:
        """Bridge two legs; False if one of them has gone.

        Raises:
            AriError: Asterisk refused for another reason.
        """
        both = f"{client.id},{consultant.id}"
        try:
            # The result is ignored: False also means that the bridge exists already (409), made by a lost first try.
            await self.command(client, "POST", "bridges", bridge, query={"type": "mixing", "name": bridge})
            if client.gone.is_set() or consultant.gone.is_set():
                return False
            return await self.command(
                client, "POST", "bridges", bridge, "addChannel", query={"channel": both}
            )
        except AriRequestError as error:
            # 400: no such channel; 422: it has left the application. The hang-up event follows.
            if error.status not in _LEG_HAS_GONE:
                raise
            return False

    async def are_bridged(self, bridge: str, *legs: Leg) -> bool:
        """Whether these legs are in a bridge now."""
        try:
            details = await self._ari.request("GET", path("bridges", bridge))
        except NotFoundError:
            return False
        return {leg.id for leg in legs} <= set(details["channels"])

    async def bridged(self) -> dict[str, frozenset[str]]:
        """The channels in each bridge, by the bridge's id.

        Raises:
            AriError: Asterisk did not answer.
        """
        bridges = await self._ari.request("GET", path("bridges"))
        return {str(bridge["id"]): frozenset(map(str, bridge["channels"])) for bridge in bridges}

    async def unbridge(self, bridge: str, *legs: Leg) -> None:
        """Take legs out of a bridge, in this order. They stay connected but no longer hear each other."""
        for leg in legs:
            with contextlib.suppress(AriRequestError):  # 400, 409, 422: it has already left
                await self.command(leg, "POST", "bridges", bridge, "removeChannel", query={"channel": leg.id})

    async def destroy_bridge(self, bridge: str) -> None:
        """Remove a bridge, if it exists."""
        with contextlib.suppress(NotFoundError):
            await self._ari.request("DELETE", path("bridges", bridge))
