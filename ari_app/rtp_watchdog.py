"""Watches whether RTP packets (RFC 3550) still arrive from both sides of a talk.

Packets are counted by Asterisk, and the counts are polled: seldom while packets arrive from both sides, because their number
tells when they stopped, and often otherwise. Whatever packets contain counts: a quiet room sends packets too. A side counts as heard once a packet has arrived
since it answered: sound, comfort noise, or a key (RFC 4733), even in the menu. After that, a side may have a valid reason to
send nothing: its phone holds the call, has agreed to only listen, or still sends RTCP reports. Each of these restarts the
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
_FLOWING_POLL_SECONDS = 5.0
# How long before the first poll the last packet is assumed to have arrived, if none follows.
_BEFORE_SECONDS = 1.0
# The usual duration of the audio in a packet (RFC 3551), and the range of those in use.
_PACKET_SECONDS = 0.02
_SHORTEST_PACKET_SECONDS, _LONGEST_PACKET_SECONDS = 0.009, 0.065


@dataclass(frozen=True)
class Silence:
    """One side is not heard.

    Attributes:
        leg: the leg whose phone sends nothing.
        from_the_start: whether nothing has arrived since it answered.
        heard_until: when its last packet arrived, or it last had a valid reason to be silent; None if neither happened.
    """

    leg: Leg
    from_the_start: bool
    heard_until: datetime | None


@dataclass(frozen=True)
class Noted:
    """How many packets had arrived from a leg at a given time, as recorded by an earlier process."""

    at: datetime
    packets: int


Earlier = tuple[tuple[Noted, ...], tuple[Noted, ...]]
"""The recorded counts of the client's packets, and of the consultant's, newest first."""


@dataclass
class _Side:
    """The packets of one leg.

    Attributes:
        heard_until: when the last packet arrived, or the phone last had a valid reason to be silent.
        earlier: counts recorded by an earlier process, newest first; empty if this process began the talk.
        asked: whether the phone was asked to state the direction of its audio again.
        known: whether the packets have been counted.
        packets: number of RTP packets at the last poll.
        flows: whether packets were still arriving at the last poll.
        packet_seconds: the duration of the audio in a packet, as measured while packets arrived without a gap.
        reports: number of RTCP reports at the last poll.
        polled_at: when the packets were last counted, by the loop's clock.
        grew_at: when the last packet arrived, or the phone last had a valid reason to be silent, by the loop's clock.
    """

    leg: Leg
    heard_until: datetime | None = None
    earlier: tuple[Noted, ...] = ()
    asked: bool = False
    known: bool = False
    packets: int = 0
    flows: bool = False
    packet_seconds: float = _PACKET_SECONDS
    reports: int = 0
    polled_at: float = 0.0
    grew_at: float = 0.0

    @property
    def ever(self) -> bool:
        return self.heard_until is not None

    def packets_until(self, clock: float) -> int:
        """The number of packets until now, estimated from their rate while they flow."""
        return self.packets + (int((clock - self.polled_at) / self.packet_seconds) if self.flows else 0)

    def heard(self, clock: float, ago: float) -> None:
        """Note that a packet arrived `ago` seconds before now, or that silence was justified until then."""
        self.grew_at, self.heard_until = clock - ago, steady() - timedelta(seconds=ago)

    def more(self, packets: int, clock: float) -> None:
        """Note that more packets have arrived since the last poll. They may have stopped at any moment since."""
        passed, new = clock - self.polled_at, packets - self.packets
        silent = passed - min(new * self.packet_seconds, passed)
        self.heard(clock, silent)
        self.flows = silent < _BEFORE_SECONDS
        if _SHORTEST_PACKET_SECONDS < passed / new < _LONGEST_PACKET_SECONDS:
            self.packet_seconds = passed / new


class RtpWatchdog:
    """Polls both sides of a talk.

    Args:
        channels: counts the packets of a leg.
        signalling: tells which phones have a valid reason to send nothing.
        client: the client's leg.
        consultant: the consultant's leg.
        settings: the section [call], which has the two time-outs.
        heard: whether both were heard before, because the talk was taken over.
        earlier: the packet counts recorded before it was taken over.
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
        self._long_pause = max(self._pause, min(_FLOWING_POLL_SECONDS, self._lost / 6))

    async def until_silence(self) -> Silence:
        """Wait until a side has been silent for longer than the settings allow; if both have, return the first."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            for side in self._sides:
                await self._poll(side)
            silence = self._silent(loop.time(), began)
            if silence is not None:
                return silence
            flow = all(side.flows for side in self._sides)
            await asyncio.sleep(self._long_pause if flow else self._pause)

    async def silent_for(self, leg: Leg) -> float:
        """Count a leg's packets now, and return the seconds since the last one; 0.0 if that is not known."""
        side = next(side for side in self._sides if side.leg is leg)
        if not side.known or not await self._poll(side):
            return 0.0
        if leg.held or self._signalling.sends_nothing(leg.sip_call_id):
            return 0.0
        return asyncio.get_running_loop().time() - side.grew_at

    def heard_until(self, leg: Leg) -> datetime | None:
        """When a leg's last packet arrived, by the last poll."""
        return next(side for side in self._sides if side.leg is leg).heard_until

    def counts(self) -> tuple[int, int]:
        """The number of packets from the client and from the consultant until now.

        While packets arrive, those since the last poll are estimated from their rate. If a line has died since, the estimate
        is too high by what would have arrived; an earlier time of the last packet follows from that (`_last_packet`).
        """
        clock = asyncio.get_running_loop().time()
        return self._sides[0].packets_until(clock), self._sides[1].packets_until(clock)

    async def _poll(self, side: _Side) -> bool:
        """Count a side's packets; False if Asterisk did not answer."""
        clock = asyncio.get_running_loop().time()
        counted = await self._channels.rtp_count(side.leg)
        if counted is None:
            return False
        side.flows = False
        packets, reports = counted.packets, self._signalling.reports(side.leg.sip_call_id, counted.ssrc)
        if not side.known:
            side.known, side.grew_at = True, clock
            if self._taken_over:
                side.heard_until = _last_packet(side.earlier, packets)
                await self._channels.poll_hold(side.leg)
            elif packets > side.leg.packets_before_answer:
                side.heard(clock, _BEFORE_SECONDS)
        elif packets > side.packets and clock > side.polled_at:
            side.more(packets, clock)
        elif side.ever and self._has_reason(side, reports):
            side.heard(clock, 0.0)
        elif self._taken_over and not side.asked and clock - side.grew_at >= self._lost / 2:
            # The phone may have agreed to be silent while the program wasn't running; its answer to a re-INVITE says so
            # (RFC 3261, section 14).
            side.asked = True
            await self._channels.refresh_session(side.leg)
        side.packets, side.reports, side.polled_at = packets, reports, clock
        return True

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
    """When the last of `packets` arrived, extrapolated from the recorded counts; now at the latest."""
    if not earlier:
        return steady()
    last, pace = earlier[0], timedelta(seconds=_PACKET_SECONDS)
    if len(earlier) > 1 and last.packets > earlier[1].packets:
        pace = (last.at - earlier[1].at) / (last.packets - earlier[1].packets)
    return min(steady(), last.at + (packets - last.packets) * pace)
