"""Why a talk is over, and what each side is told."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from taxiphone.billing.evidence import proof
from taxiphone.billing.holds import EndsBy
from taxiphone.store.types import Moment


class EndReason(enum.Enum):
    """Why a talk is over. The price doesn't depend on it: that comes from Asterisk's own log."""

    CLIENT_LEFT = "client"
    CONSULTANT_LEFT = "consultant"
    CLIENT_ENDED = "client's keys"
    PACKAGE_OVER = "package over"
    CREDIT_USED_UP = "credit used up"
    FREE_MINUTES_OVER = "free minutes over"  # and there is no credit
    LIMIT_REACHED = "limit reached"  # the client's own
    LONGEST = "longest talk"
    CLIENT_NOT_HEARD = "client not heard"  # from the beginning: not billed
    CONSULTANT_NOT_HEARD = "consultant not heard"  # from the beginning: not billed
    CLIENT_LINE_LOST = "client's line lost"
    CONSULTANT_LINE_LOST = "consultant's line lost"
    CUT_BY_CLOCK = proof.CUT_BY_CLOCK  # by Asterisk's time-out, which follows the wall clock

    @property
    def one_way(self) -> bool:
        """Whether one side was never heard."""
        return self in {EndReason.CLIENT_NOT_HEARD, EndReason.CONSULTANT_NOT_HEARD}

    @property
    def consultants(self) -> bool:
        """Whether the consultant's line is the one that is lost."""
        return self in {EndReason.CONSULTANT_NOT_HEARD, EndReason.CONSULTANT_LINE_LOST}

    @property
    def time_is_up(self) -> bool:
        """Whether Asterisk's own time-out follows a moment later."""
        return self in {*TIME_IS_UP.values(), EndReason.PACKAGE_OVER, EndReason.FREE_MINUTES_OVER}


TIME_IS_UP = {
    EndsBy.CREDIT: EndReason.CREDIT_USED_UP,
    EndsBy.LIMIT: EndReason.LIMIT_REACHED,
    EndsBy.LONGEST: EndReason.LONGEST,
}

CLIENT_HEARS: dict[EndReason, str] = {
    EndReason.CONSULTANT_LEFT: "consultant-hung-up",
    EndReason.CLIENT_ENDED: "you-ended",
    EndReason.PACKAGE_OVER: "package-over",
    EndReason.CREDIT_USED_UP: "credit-used-up",
    EndReason.FREE_MINUTES_OVER: "free-minutes-over",
    EndReason.LIMIT_REACHED: "limit-used-up",
    EndReason.LONGEST: "longest-reached",
    EndReason.CLIENT_NOT_HEARD: "not-heard",
    EndReason.CONSULTANT_NOT_HEARD: "other-not-heard",
    EndReason.CLIENT_LINE_LOST: "call-cut",
    EndReason.CONSULTANT_LINE_LOST: "line-lost",
    EndReason.CUT_BY_CLOCK: "call-cut",
}
CONSULTANT_HEARS: dict[EndReason, str] = {
    EndReason.CLIENT_LEFT: "client-hung-up",
    EndReason.CLIENT_ENDED: "client-hung-up",
    EndReason.PACKAGE_OVER: "package-over",
    EndReason.CREDIT_USED_UP: "client-credit-used-up",
    EndReason.FREE_MINUTES_OVER: "client-credit-used-up",
    EndReason.LIMIT_REACHED: "client-credit-used-up",
    EndReason.LONGEST: "longest-reached",
    EndReason.CLIENT_NOT_HEARD: "other-not-heard",
    EndReason.CONSULTANT_NOT_HEARD: "not-heard",
    EndReason.CLIENT_LINE_LOST: "line-lost",
    EndReason.CONSULTANT_LINE_LOST: "call-cut",
    EndReason.CUT_BY_CLOCK: "line-lost",
}

ALWAYS_SAID = frozenset(CLIENT_HEARS) - {EndReason.CONSULTANT_LEFT, EndReason.CLIENT_ENDED}
"""Ends caused by the platform or the network: announced even if the settings turn off announcements after a talk."""


@dataclass(frozen=True)
class Ending:
    """How a talk ended.

    Attributes:
        reason: the reason.
        heard_until: when the last packet of the side that fell silent arrived.
        parted: when the first leg left the bridge, or was about to be taken out of it; None if that is unknown.
    """

    reason: EndReason
    heard_until: datetime | None = None
    parted: Moment | None = None
