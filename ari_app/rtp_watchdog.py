"""Watches whether RTP packets (RFC 3550) still come from both sides of a talk.

Packets are counted, not sound: a silent room sends packets too. A side counts as heard once a packet has come since it
answered: sound, comfort noise, or a key (RFC 4733), even in the menu. A side that was heard may send nothing for good
reason: its phone holds the call, has agreed only to listen, or still sends RTCP reports. Each of these restarts the
time-out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from taxiphone.ari_app.channels import Channels
from taxiphone.ari_app.ports import MediaSignalling
from taxiphone.ari_app.router import Leg
from taxiphone.settings_sections import Call as CallSettings
from taxiphone.store.types import steady

_POLL_SECONDS = 2.0
# Before the first poll: if nothing follows, the last packet came before the talk.
_BEFORE_SECONDS = 1.0
# The usual length of a packet's sound (RFC 3551).
_PACKET_SECONDS = 0.02


@dataclass(frozen=True)
class Silence:
    """One side is not heard.

    Attributes:
        leg: whose phone sends nothing.
        from_the_start: nothing has come since it answered.
        heard_until: when its last packet came, or it was last silent for good reason; None if neither happened.
    """

    leg: Leg
    from_the_start: bool
    heard_until: datetime | None


@dataclass(frozen=True)
class Noted:
    """How many packets had come from a leg at a given time, as an earlier process noted it."""

    at: datetime
    packets: int


Earlier = tuple[tuple[Noted, ...], tuple[Noted, ...]]
"""What was noted of the client's packets, and of the consultant's; the latest first."""


@dataclass
class _Side:
    """What is known of one leg's packets.

    Attributes:
        earlier: what an earlier process noted, the latest first; empty if this process has begun the talk.
        asked: its phone was asked for the direction of its audio.
    """

    leg: Leg
    heard_until: datetime | None = None
    earlier: tuple[Noted, ...] = ()
    asked: bool = False
    known: bool = False  # its packets were counted
    # At the last poll.
    packets: int = 0
    reports: int = 0
    # By the loop's clock: the last poll that found more packets than before, or good reason.
    grew_at: float = 0.0

    @property
    def ever(self) -> bool:
        return self.heard_until is not None

    def heard(self, clock: float, ago: float) -> None:
        """A packet came so many seconds ago, or it was silent for good reason until now."""
        self.grew_at, self.heard_until = clock, steady() - timedelta(seconds=ago)


class RtpWatchdog:
    """Looks at both sides of a talk from time to time.

    Args:
        channels: counts the packets of a leg.
        signalling: tells which phone sends nothing for good reason.
        client: a leg of the talk.
        consultant: the other.
        settings: [call], with its two time-outs.
        heard: both were heard before: the talk was taken over.
        earlier: what was noted of the client's packets, and of the consultant's, before it was taken over.
    """

    def __init__(
        self,
        channels: Channels,
        signalling: MediaSignalling,
        client: Leg,
        consultant: Leg,
        settings: CallSettings,
        *,
        heard: bool = False,
        earlier: Earlier = ((), ()),
    ) -> None:
        self._channels, self._signalling, self._taken_over = channels, signalling, heard
        since = steady() if heard else None
        self._sides = (_Side(client, since, earlier[0]), _Side(consultant, since, earlier[1]))
        self._one_way, self._lost = settings.one_way_seconds, settings.rtp_timeout_seconds
        self._pause = min(_POLL_SECONDS, self._one_way / 4, self._lost / 4)

    async def until_silence(self) -> Silence:
        """Return when one side is silent for longer than the settings allow; of two, the one that fell silent first."""
        loop = asyncio.get_running_loop()
        began = before = loop.time()
        while True:
            clock = loop.time()
            for side in self._sides:
                await self._poll(side, clock, clock - before)
            found = self._silent(clock, began)
            if found is not None:
                return found
            before = clock
            await asyncio.sleep(self._pause)

    def silent_for(self, leg: Leg) -> float:
        """Seconds since a leg's last packet, by the last poll; 0.0 if nothing is known."""
        side = next(side for side in self._sides if side.leg is leg)
        if not side.known or leg.held or self._signalling.sends_nothing(leg.sip_call_id):
            return 0.0
        return asyncio.get_running_loop().time() - side.grew_at

    def heard_until(self, leg: Leg) -> datetime | None:
        """When a leg's last packet came."""
        return next(side for side in self._sides if side.leg is leg).heard_until

    def counts(self) -> tuple[int, int]:
        """How many packets had come from the client, and from the consultant, at the last poll."""
        return self._sides[0].packets, self._sides[1].packets

    async def _poll(self, side: _Side, clock: float, passed: float) -> None:
        counted = await self._channels.rtp_count(side.leg)
        if counted is None:
            return
        packets, reports = counted.packets, self._signalling.reports(side.leg.sip_call_id, counted.ssrc)
        if not side.known:
            side.known, side.grew_at = True, clock
            if self._taken_over:
                side.heard_until = _last_packet(side.earlier, packets)
                await self._channels.poll_hold(side.leg)
            elif packets > side.leg.packets_before_answer:
                side.heard(clock, _BEFORE_SECONDS)
        elif packets > side.packets:
            # It may have stopped at any moment since the last poll; the number of packets tells when.
            came = min((packets - side.packets) * _PACKET_SECONDS, passed)
            side.heard(clock, passed - came)
        elif side.ever and self._has_reason(side, reports):
            side.heard(clock, 0.0)
        elif self._taken_over and not side.asked and clock - side.grew_at >= self._lost / 2:
            # Its answer states again what it agreed to while no program was there (RFC 3261, section 14).
            side.asked = True
            await self._channels.refresh_session(side.leg)
        side.packets, side.reports = packets, reports

    def _has_reason(self, side: _Side, reports: int) -> bool:
        leg = side.leg
        return leg.held or reports > side.reports or self._signalling.sends_nothing(leg.sip_call_id)

    def _silent(self, clock: float, began: float) -> Silence | None:
        if clock - began >= self._one_way:
            for side in self._sides:
                if side.known and not side.ever:
                    return Silence(side.leg, True, None)
        lost = [side for side in self._sides if side.ever and clock - side.grew_at >= self._lost]
        if not lost:
            return None
        first = min(lost, key=lambda side: side.grew_at)
        return Silence(first.leg, False, first.heard_until)


def _last_packet(earlier: tuple[Noted, ...], packets: int) -> datetime:
    """When the last of `packets` came, extrapolated from what was noted; now at the latest."""
    if not earlier:
        return steady()
    last, pace = earlier[0], timedelta(seconds=_PACKET_SECONDS)
    if len(earlier) > 1 and last.packets > earlier[1].packets:
        pace = (last.at - earlier[1].at) / (last.packets - earlier[1].packets)
    return min(steady(), last.at + (packets - last.packets) * pace)
