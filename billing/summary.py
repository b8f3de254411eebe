"""The summary of a call that is announced to anybody still on the line after the talk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from sqlalchemy.orm import Session

from taxiphone.billing import continuation
from taxiphone.billing.ledger import balances, postings
from taxiphone.billing.pricing.parts import fee_of
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.billing.pricing.tariff_price import whole_seconds
from taxiphone.store.calls import FINAL, Status
from taxiphone.store.models import Call

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CallSummary:
    """What is announced about a priced call; amounts in minor units.

    Attributes:
        seconds: seconds of talk, rounded up once; for a continued consultation, of all its calls. A talk that wasn't billed
            because of a network fault counts too.
        total: what the client pays, tax included; for a continued consultation, for all its calls.
        recording_fee: what will be charged once the recording can be played; 0 if nothing.
        share: the consultant's share of everything paid.
        wallet: the client's remaining credit.
        currency: ISO 4217.
        network_fault: whether nothing was charged, because the line failed or there was no talk.
    """

    seconds: int
    total: int
    recording_fee: int
    share: int
    wallet: int
    currency: str
    network_fault: bool


def call_summary(session: Session, call_id: str) -> CallSummary | None:
    """Read the summary of a call from its receipts; None if the call isn't priced yet.

    A call that was closed without a talk costs nothing.
    """
    call = session.get(Call, call_id, populate_existing=True)
    if call is None or Status(call.status) not in FINAL or call.tariff is None:
        return None
    tariff, receipt = from_json(call.tariff), call.receipt
    wallet = balances.balance(session, postings.WALLET, call.client_id or 0, tariff.currency)
    if receipt is None:
        return CallSummary(0, 0, 0, 0, wallet, tariff.currency, network_fault=True)
    so_far = continuation.so_far(session, call)
    seconds, paid = so_far.seconds, so_far.talk + so_far.recording
    if call.fault is not None and call.talk_from is not None and call.talk_to is not None:
        seconds += Decimal((call.talk_to - call.talk_from) // _MICROSECOND).scaleb(-6)
    return CallSummary(
        seconds=whole_seconds(seconds),
        total=paid,
        recording_fee=fee_of(tariff) if receipt.recording_pending else 0,
        share=paid - so_far.commission,
        wallet=wallet,
        currency=receipt.currency,
        network_fault=not receipt.lines,
    )
