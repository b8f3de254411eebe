"""Counts the RTP packets of all talks at both ends, and compares them with those that there must be (RFC 3550, RFC 3551)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from taxiphone.ari_app.client import AriClient, path
from taxiphone.errors import AriError

A_SECOND = 50
"""Packets a second of a stream: each has 20 ms of sound."""

# A count and its time are not taken at exactly the same moment, so a stream may seem to miss this many packets.
_TOLERANCE = 3
_AT_ONCE = 8


@dataclass(frozen=True)
class Count:
    """The packets of a leg since it began.

    Attributes:
        at: when they were counted, by the monotonic clock.
        sent: packets sent.
        received: packets received.
        lost: packets that did not arrive, according to the gaps in the sequence numbers.
    """

    at: float
    sent: int
    received: int
    lost: int


@dataclass(frozen=True)
class Streams:
    """The streams of an Asterisk's legs between two counts.

    Attributes:
        legs: the number of legs that were there at both counts.
        expected: packets that each direction of all legs must have had, at 50 a second.
        sent: packets sent.
        received: packets received.
        missing: packets by which single streams are short of what was expected, in either direction.
        lost: packets lost according to the gaps in the sequence numbers.
    """

    legs: int
    expected: int
    sent: int
    received: int
    missing: int
    lost: int


async def count(ari: AriClient) -> dict[str, Count]:
    """Count the packets of all legs of an Asterisk, by unique id."""
    channels = await ari.request("GET", path("channels"))
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(leg: str) -> tuple[str, Count] | None:
        async with turn:
            try:
                begin = time.monotonic()
                found: dict[str, Any] = await ari.request("GET", path("channels", leg, "rtp_statistics"))
            except AriError:
                return None  # it has just ended, or has no sound yet
            at = (begin + time.monotonic()) / 2
        return leg, Count(at, int(found["txcount"]), int(found["rxcount"]), int(found["rxploss"]))

    return dict(filter(None, await asyncio.gather(*(one(channel["id"]) for channel in channels))))


def between(before: Mapping[str, Count], after: Mapping[str, Count]) -> Streams:
    """Compare two counts of the same Asterisk."""
    both = [(before[leg], after[leg]) for leg in before.keys() & after.keys()]
    expected = [round((later.at - early.at) * A_SECOND) for early, later in both]
    sent = [later.sent - early.sent for early, later in both]
    received = [later.received - early.received for early, later in both]
    return Streams(
        legs=len(both),
        expected=sum(expected),
        sent=sum(sent),
        received=sum(received),
        missing=_missing(expected, sent) + _missing(expected, received),
        lost=sum(max(later.lost - early.lost, 0) for early, later in both),
    )


def _missing(expected: Iterable[int], found: Iterable[int]) -> int:
    gaps = (wanted - number for wanted, number in zip(expected, found, strict=True))
    return sum(gap for gap in gaps if gap > _TOLERANCE)
