"""The summary of a call that is announced to anybody still on the line after the talk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import Connection, String, and_, bindparam, cast, select

from taxiphone.billing import continuation
from taxiphone.billing.continuation import PART_COLUMNS, Part
from taxiphone.billing.ledger.double_entry import WALLET
from taxiphone.billing.pricing.parts import fee_of
from taxiphone.billing.pricing.tariff_json import from_stored
from taxiphone.billing.pricing.tariff_price import whole_seconds
from taxiphone.store.calls import FINAL, Status
from taxiphone.store.prepared import Prepared
from taxiphone.store.tables import ACCOUNT, CALL, RECEIPT

_SUMMARY = Prepared(
    select(*PART_COLUMNS, CALL.c.fault, CALL.c.talk_from, CALL.c.talk_to, ACCOUNT.c.balance)
    .select_from(CALL)
    .outerjoin(RECEIPT, RECEIPT.c.call_id == CALL.c.id)
    .outerjoin(
        ACCOUNT,
        and_(
            ACCOUNT.c.kind == WALLET,
            ACCOUNT.c.owner == cast(CALL.c.client_id, String),
            ACCOUNT.c.currency == CALL.c.tariff["currency"].as_string(),
        ),
    )
    .where(CALL.c.id == bindparam("call")),
    lambda row: (Part._make(row[:-4]), row[-4:]),
)
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


def call_summary(connection: Connection, call_id: str) -> CallSummary | None:
    """Read the summary of a call from its receipts; None if the call isn't priced yet.

    A call that was closed without a talk costs nothing.
    """
    found = _SUMMARY.first(connection, {"call": call_id})
    if found is None:
        return None
    call, (fault, talk_from, talk_to, balance) = found
    if Status(call.status) not in FINAL or call.tariff is None:
        return None
    tariff, wallet = from_stored(call.tariff), int(balance or 0)
    if call.total is None:
        return CallSummary(0, 0, 0, 0, wallet, tariff.currency, network_fault=True)
    so_far = continuation.before(connection, call.continues_id).plus(call.subtotal())
    seconds, paid = so_far.seconds, so_far.talk + so_far.recording
    if fault is not None and talk_from is not None and talk_to is not None:
        seconds += Decimal((talk_to - talk_from) // _MICROSECOND).scaleb(-6)
    return CallSummary(
        seconds=whole_seconds(seconds),
        total=paid,
        recording_fee=fee_of(tariff) if call.recording_pending else 0,
        share=paid - so_far.commission,
        wallet=wallet,
        currency=tariff.currency,
        network_fault=not call.lines,
    )
