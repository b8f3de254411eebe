"""What a call comes to: the one function that works out its price. Pure: facts in, a settlement out.

Rating posts the settlement, re-rating posts the difference to what was posted, the explanation prints it, and the
what-if maps it over a period. Whatever a price depends on is in `Facts`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from taxiphone.billing.pricing.parts import NOTHING, UNBILLED, Subtotal, fee_of, price_within, with_fee
from taxiphone.billing.pricing.talk import NO_END, Talk, dropped, heard
from taxiphone.billing.pricing.tariff import ZERO, Line, Price, Tariff

RECORDING = "recording"
_OVERRUN_SECONDS = 2  # Asterisk cuts at the end of the credit within this; more is worth a look
_LONGEST_REVIEW = 200  # characters, as the column has them


class RecordingState(enum.StrEnum):
    """What the recording of a call means for its price."""

    NONE = "none"  # none was asked for, none will come, or its fee was released
    PENDING = "pending"  # it is being made: its fee stays held
    READY = "ready"  # it can be played: its fee is charged


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the price of a call depends on.

    Attributes:
        tariff: frozen when the call was accepted.
        talk: by Asterisk's event log and the program's call events.
        held: set aside when the call was accepted, for the talk and the recording, in minor units; None: without limit.
        max_seconds: the longest talk that was allowed.
        earlier: the parts of the consultation before this call, where it continues one whose line dropped.
        fault: of the network; the talk is not billed.
        heard_until: when the last packet came of a side that fell silent.
        rtp_timeout: seconds without a packet after which Asterisk hangs up a leg.
        recording_asked: a part of `held` is the recording's fee.
        recording: whether that fee is charged.
    """

    tariff: Tariff
    talk: Talk
    held: int | None = None
    max_seconds: int | None = None
    earlier: Subtotal = NOTHING
    fault: str | None = None
    heard_until: datetime | None = None
    rtp_timeout: int | None = None
    recording_asked: bool = False
    recording: RecordingState = RecordingState.NONE


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a call comes to; amounts in minor units.

    Attributes:
        heard: the talk, cut where one side was no longer heard.
        seconds: of talk that the price is for, exact; 0 where nothing is billed for a fault of the network.
        talk: the price of the talk alone.
        price: of the talk and its recording: lines, total and shares of the receipt, billed seconds.
        fee: charged for the recording; 0 where none is.
        pending_fee: still held for the recording.
        review: why a person should look at it; None where nobody need.
        dropped: the talk ended as neither side asked for.
    """

    heard: Talk
    seconds: Decimal
    talk: Price
    price: Price
    fee: int
    pending_fee: int
    review: str | None
    dropped: bool

    def added_to(self, earlier: Subtotal) -> Subtotal:
        """What the consultation comes to with this call."""
        price = self.price
        part = Subtotal(
            1, self.seconds, price.billed_seconds, self.talk.total, self.fee, price.commission, price.vat
        )
        return earlier.plus(part)


def settle(facts: Facts) -> Settlement:
    """What a call comes to."""
    audible = heard(facts.talk, until=facts.heard_until, rtp_timeout=facts.rtp_timeout)
    seconds, talk = _priced(facts, audible.seconds)
    recorded = RecordingState.NONE if talk.network_fault else facts.recording
    fee = fee_of(facts.tariff)
    charged = fee if recorded is RecordingState.READY else 0
    return Settlement(
        heard=audible,
        seconds=seconds,
        talk=talk,
        price=_with_recording(facts, talk, charged) if charged else talk,
        fee=charged,
        pending_fee=fee if recorded is RecordingState.PENDING else 0,
        review=_review(facts, audible, seconds),
        dropped=dropped(facts.talk, fault=facts.fault, silent=facts.heard_until is not None),
    )


def _priced(facts: Facts, seconds: Decimal) -> tuple[Decimal, Price]:
    """The seconds that are priced, and the price of the talk."""
    if facts.fault is not None:
        return ZERO, UNBILLED
    held = facts.held
    if held is not None and facts.recording_asked:
        held -= fee_of(facts.tariff)
    allowed, talk = price_within(
        facts.tariff, facts.earlier, seconds, max_seconds=facts.max_seconds, held=held
    )
    return allowed, talk if allowed else UNBILLED


def _with_recording(facts: Facts, talk: Price, fee: int) -> Price:
    total, commission, vat = with_fee(facts.tariff, facts.earlier, talk.total, fee)
    return replace(
        talk,
        lines=(*talk.lines, Line(RECORDING, 0, fee)),
        total=total,
        commission=commission,
        consultant=total - commission,
        net=total - vat,
        vat=vat,
    )


def _review(facts: Facts, audible: Talk, allowed: Decimal) -> str | None:
    """Why a person should look at a priced talk of which `allowed` seconds are priced."""
    if facts.fault is not None:
        return f"{facts.fault}: a network fault, so the talk was not billed"
    if not facts.talk.complete:
        at = f", at {audible.end:%Y-%m-%d %H:%M:%S} UTC"
        return (facts.talk.doubt or NO_END)[: _LONGEST_REVIEW - len(at)] + at
    if facts.talk.doubt is not None:
        return facts.talk.doubt[:_LONGEST_REVIEW]
    overrun = audible.seconds - allowed
    if overrun > _OVERRUN_SECONDS:
        return f"the talk went on for {overrun:f} s beyond the credit that was held; they were not charged"
    return None
