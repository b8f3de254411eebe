"""Whether both sides of a talk are heard: RTP packets counted (RFC 3550), not sound, for a silent room sends packets too."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.verbs import Lines
from taxiphone.settings import Call as CallSettings
from taxiphone.store.types import now

_LOOK_SECONDS = 2.0
_PACKET_SECONDS = 0.02  # the usual length of a packet's sound (RFC 3551)


@dataclass(frozen=True)
class Silence:
    """One side is not heard.

    Attributes:
        leg: whose phone sends nothing.
        from_the_start: nothing has come since the talk began.
        heard_until: when its last packet came; None where none did.
    """

    leg: Leg
    from_the_start: bool
    heard_until: datetime | None


@dataclass
class _Side:
    """One leg, as far as it was heard."""

    leg: Leg
    first: int | None = None  # packets at the first look
    last: int = 0
    grew_at: float = 0.0  # of the loop's clock: the look at which there were more than before
    heard_until: datetime | None = field(default=None)

    def look(self, packets: int, clock: float, passed: float) -> None:
        if self.first is None:
            self.first = self.last = packets
            self.grew_at = clock
        elif packets > self.last:
            # It may have stopped at any moment since the look before: by the number of packets, when.
            came = min((packets - self.last) * _PACKET_SECONDS, passed)
            self.heard_until = now() - timedelta(seconds=passed - came)
            self.last, self.grew_at = packets, clock
        if self.leg.held:
            self.grew_at = clock  # a phone on hold sends nothing, and says so

    @property
    def ever(self) -> bool:
        return self.heard_until is not None


class Listening:
    """Looks at both sides of a talk from time to time.

    Args:
        lines: the verbs.
        client: a leg of the talk.
        consultant: the other.
        settings: [call], with its two time-outs.
        heard: both were heard before: the talk was taken over.
    """

    def __init__(
        self, lines: Lines, client: Leg, consultant: Leg, settings: CallSettings, *, heard: bool = False
    ) -> None:
        self._lines = lines
        since = now() if heard else None
        self._sides = (_Side(client, heard_until=since), _Side(consultant, heard_until=since))
        self._one_way, self._lost = settings.one_way_seconds, settings.rtp_timeout_seconds
        self._pause = min(_LOOK_SECONDS, self._one_way / 4, self._lost / 4)

    async def until_silence(self) -> Silence:
        """Return when one side is not heard, for longer than the settings allow, while the other is.

        Where neither is heard, nothing is known: Asterisk's own time-out ends such a talk.
        """
        loop = asyncio.get_running_loop()
        began = before = loop.time()
        while True:
            clock = loop.time()
            for side in self._sides:
                packets = await self._lines.packets(side.leg)
                if packets is not None:
                    side.look(packets, clock, clock - before)
            found = self._silent(clock, began)
            if found is not None:
                return found
            before = clock
            await asyncio.sleep(self._pause)

    def silent_for(self, leg: Leg) -> float:
        """Seconds since a leg's last packet, as far as one has looked; 0.0 where nothing is known."""
        side = next(side for side in self._sides if side.leg is leg)
        if side.first is None or leg.held:
            return 0.0
        return asyncio.get_running_loop().time() - side.grew_at

    def heard_until(self, leg: Leg) -> datetime | None:
        """When a leg's last packet came."""
        return next(side for side in self._sides if side.leg is leg).heard_until

    def _silent(self, clock: float, began: float) -> Silence | None:
        for side, other in (self._sides, self._sides[::-1]):
            if (
                side.first is None
                or side.leg.held
                or not other.ever
                or clock - other.grew_at > self._pause * 2
            ):
                continue
            if not side.ever and clock - began >= self._one_way:
                return Silence(side.leg, True, None)
            # A little before Asterisk's own time-out, so that there is a word.
            if side.ever and clock - side.grew_at >= self._lost - self._pause:
                return Silence(side.leg, False, side.heard_until)
        return None
