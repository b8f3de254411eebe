"""Settles a call: the only function that calculates its price. Pure: facts in, a settlement out.

Rating posts the settlement, re-rating posts the difference from what was posted, the explanation prints it, and what-if
applies it to a period. `Facts` contains everything that a price depends on.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from taxiphone.billing.pricing.parts import NOTHING, UNBILLED, Subtotal, fee_of, price_within, with_fee
from taxiphone.billing.pricing.talk import NO_END, Talk, dropped, heard
from taxiphone.billing.pricing.tariff import ZERO, Tariff
from taxiphone.billing.pricing.tariff_price import Line, Price

RECORDING = "recording"
_OVERRUN_SECONDS = 2  # Asterisk ends a talk within this time after the credit does; more should be reviewed
_LONGEST_REVIEW = 200  # characters, the length of the column


class RecordingState(enum.StrEnum):
    """How the recording of a call affects its price."""

    NONE = "none"  # no recording was requested, it failed, or its fee was released
    PENDING = "pending"  # it isn't ready yet, so its fee stays held
    READY = "ready"  # it can be played, so its fee is charged


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the price of a call depends on.

    Attributes:
        tariff: the tariff copied into the call when it was accepted.
        talk: the talk, according to Asterisk's event log and the program's call events.
        held: the credit held for the talk and the recording when the call was accepted, in minor units; None: no limit.
        max_seconds: the longest talk allowed.
        earlier: the earlier parts of the consultation, if this call continues one whose line dropped.
        fault: a network fault, because of which the talk is not billed.
        heard_until: when the last packet of a side that fell silent arrived.
        rtp_timeout: seconds without a packet after which Asterisk hangs up a leg.
        recording_asked: whether `held` includes the recording fee.
        recording: whether the recording fee is charged.
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
    """The result of settling a call; amounts in minor units.

    Attributes:
        heard: the talk, up to the moment when one side was no longer heard.
        seconds: the exact seconds of talk that are priced; 0 if nothing is billed because of a network fault.
        talk: the price of the talk alone.
        price: the price of the talk and its recording, as on the receipt.
        fee: the recording fee charged; 0 if none.
        pending_fee: the recording fee still held; 0 if none.
        review: why a person should review the call; None if no review is needed.
        dropped: whether the line dropped: the talk ended although neither side hung up.
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
        """Return the sums of the consultation including this call."""
        price = self.price
        part = Subtotal(
            1, self.seconds, price.billed_seconds, self.talk.total, self.fee, price.commission, price.vat
        )
        return earlier.plus(part)


def settle(facts: Facts) -> Settlement:
    """Settle a call."""
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
    """Return the seconds that are priced, and the price of the talk."""
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
    """Return why a person should review a talk of which `allowed` seconds are priced; None if no review is needed."""
    if facts.fault is not None:
        return f"{facts.fault}: a network fault, so the talk was not billed"
    if not facts.talk.complete:
        at = f", at {audible.end:%Y-%m-%d %H:%M:%S} UTC"
        return (facts.talk.doubt or NO_END)[: _LONGEST_REVIEW - len(at)] + at
    if facts.talk.doubt is not None:
        return facts.talk.doubt[:_LONGEST_REVIEW]
    overrun = audible.seconds - allowed
    if overrun > _OVERRUN_SECONDS:
        return f"the talk lasted {overrun:f} s longer than the held credit allowed; this time was not charged"
    return None
