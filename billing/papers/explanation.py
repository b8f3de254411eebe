"""Explains the price of a call: everything it is based on, from Asterisk's rows to the postings."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.billing import call_row, continuation, facts
from taxiphone.billing.evidence import proof
from taxiphone.billing.evidence.cel import LogRow, event_of
from taxiphone.billing.papers import receipts
from taxiphone.billing.pricing.money import digits_of, from_minor
from taxiphone.billing.pricing.settlement import settle
from taxiphone.billing.pricing.settlement_explained import explain_settlement
from taxiphone.billing.pricing.talk import BRIDGE_ENTER, BRIDGE_EXIT, HANGUP, Talk
from taxiphone.billing.pricing.tariff import Tariff
from taxiphone.billing.pricing.tariff_explained import Step
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.store.calls import talk_bridge
from taxiphone.store.models import Account, Call, Entry, Posting, Receipt

_SOURCE_LOG, _SOURCE_PROGRAM = "asterisk", "program"


def explain(session: Session, call: Call) -> dict[str, Any]:
    """Return a call's events with time and source, its frozen tariff, each step of the calculation, and its postings.

    Amounts are exact decimals. A call that is not priced has no steps.
    """
    session.flush()
    rows = proof.rows_of(session.connection(), call)
    found = proof.talk_of(session.connection(), call, rows)
    tariff, fault = _tariff(call)
    return {
        "call": call.id,
        "status": call.status,
        "outcome": call.outcome,
        "review": call.review,
        "unpriced": call.unpriced,
        "continues": call.continues_id,
        "dropped": call.dropped,
        "events": _events(call, rows),
        "talk": None if found is None else _talk(found),
        "tariff": call.tariff,
        "tariff_fault": fault,
        "max_seconds": call.max_seconds,
        "steps": [] if tariff is None or found is None else _steps(session, call, found),
        "currency": None if call.receipt is None else call.receipt.currency,
        "total": None
        if call.receipt is None
        else from_minor(call.receipt.total, digits_of(call.receipt.currency)),
        **_since(session, call),
        "postings": _postings(session, call),
    }


def _tariff(call: Call) -> tuple[Tariff | None, str | None]:
    """Return the frozen tariff, or None and the reason why it can't be read."""
    try:
        return (None if call.tariff is None else from_json(call.tariff)), None
    except ValueError as error:
        return None, str(error)


def _events(call: Call, rows: list[LogRow]) -> list[dict[str, Any]]:
    """Return Asterisk's rows and the program's call events, ordered by time."""
    legs = dict(zip(proof.legs(call), ("client", "consultant"), strict=True))
    logged = [
        {
            "at": row.at,
            "source": _SOURCE_LOG,
            "what": row.event,
            "leg": legs[row.channel],
            "monotonic_us": None,
            "detail": _detail(call, row),
        }
        for row in rows
    ]
    noted = [
        {
            "at": event.at,
            "source": _SOURCE_PROGRAM,
            "what": event.what,
            "leg": None,
            "monotonic_us": event.monotonic_us,
            "detail": event.detail,
        }
        for event in call.events
    ]
    return sorted([*logged, *noted], key=lambda event: event["at"])


def _detail(call: Call, row: LogRow) -> str | None:
    event = event_of(row)
    if row.event in {BRIDGE_ENTER, BRIDGE_EXIT}:
        return "the talk" if event.bridge == talk_bridge(call.id) else f"bridge {event.bridge}"
    if row.event == HANGUP and event.cause is not None:
        return f"cause {event.cause}"
    return None


def _talk(found: Talk) -> dict[str, Any]:
    return {
        "from": found.start,
        "to": found.end,
        "seconds": found.seconds,
        "stretches": [{"from": start, "to": end} for start, end in found.stretches],
        "left_first": found.left_first,
        "complete": found.complete,
    }


def _steps(session: Session, call: Call, found: Talk) -> list[dict[str, Any]]:
    """Settle the call again from the rows, so that the steps prove the receipt instead of copying it."""
    receipt: Receipt | None = call.receipt
    if receipt is None:
        return []
    connection = session.connection()
    known = facts.gather(connection, call_row.read(connection, call.id), found, receipt)
    settlement = settle(known)
    names = [each.id for each in continuation.earlier(connection, call.continues_id)]
    steps = list(explain_settlement(known, settlement, names))
    if settlement.price.total != receipt.total:
        text = "The total on the receipt differs from this calculation. Run: taxiphone ledger check"
        steps.append(Step("difference", text, receipt.total - settlement.price.total))
    return [
        {
            "what": step.what,
            "text": step.text,
            "amount": None if step.amount is None else from_minor(step.amount, known.tariff.digits),
        }
        for step in steps
    ]


def _since(session: Session, call: Call) -> dict[str, Any]:
    """Return later changes of the price: re-ratings, refunds, and the amount that remains paid."""
    if call.receipt is None:
        return {"former": [], "refunds": [], "paid": None}
    receipt = receipts.client_receipt(session, call.id)
    return {"former": receipt["replaces"], "refunds": receipt["credit_notes"], "paid": receipt["paid"]}


def _postings(session: Session, call: Call) -> list[dict[str, Any]]:
    rows = session.execute(
        select(
            Posting.at,
            Posting.key,
            Posting.kind,
            Posting.memo,
            Account.kind,
            Account.owner,
            Account.currency,
            Entry.amount,
        )
        .join(Entry, Entry.posting_id == Posting.id)
        .join(Account, Account.id == Entry.account_id)
        .where(Posting.call_id == call.id)
        .order_by(Posting.id, Entry.id)
    )
    return [
        {
            "at": at,
            "posting": key,
            "kind": kind,
            "memo": memo,
            "account": f"{account} {owner}".strip(),
            "amount": from_minor(amount, digits_of(currency)),
            "currency": currency,
        }
        for at, key, kind, memo, account, owner, currency, amount in rows
    ]
