"""Why this price: everything that a call's sum rests on, from Asterisk's rows to the postings."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.billing import receipts, witnesses
from taxiphone.billing.cel import event_of
from taxiphone.billing.money import digits_of, from_minor
from taxiphone.billing.rating import billable
from taxiphone.billing.talk import BRIDGE_ENTER, BRIDGE_EXIT, HANGUP, Talk
from taxiphone.billing.tariff import Tariff, price
from taxiphone.billing.tariff_explained import Step
from taxiphone.billing.tariff_explained import explain as explain_sum
from taxiphone.billing.tariff_json import from_json
from taxiphone.store.calls import talk_bridge
from taxiphone.store.models import Account, Call, CelRow, Entry, Posting, Receipt

_SOURCE_LOG, _SOURCE_PROGRAM = "asterisk", "program"


def explain(session: Session, call: Call) -> dict[str, Any]:
    """A call's events with their times and source, the tariff that was frozen, each step of the sum, the postings.

    Amounts are exact decimals. Where the call is not priced, there is no sum yet.
    """
    rows = witnesses.rows_of(session, call)
    found = witnesses.talk_of(session, call, [event_of(row) for row in rows])
    tariff = None if call.tariff is None else from_json(call.tariff)
    return {
        "call": call.id,
        "status": call.status,
        "outcome": call.outcome,
        "review": call.review,
        "events": _events(call, rows),
        "talk": None if found is None else _told(found),
        "tariff": call.tariff,
        "max_seconds": call.max_seconds,
        "steps": [] if tariff is None or found is None else _steps(call, tariff, found),
        "currency": None if call.receipt is None else call.receipt.currency,
        "total": None
        if call.receipt is None
        else from_minor(call.receipt.total, digits_of(call.receipt.currency)),
        **_since(session, call),
        "postings": _postings(session, call),
    }


def _events(call: Call, rows: list[CelRow]) -> list[dict[str, Any]]:
    """Asterisk's rows and the program's marks, in the order of their times."""
    legs = dict(zip(witnesses.legs(call), ("client", "consultant"), strict=True))
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
    marked = [
        {
            "at": mark.at,
            "source": _SOURCE_PROGRAM,
            "what": mark.what,
            "leg": None,
            "monotonic_us": mark.monotonic_us,
            "detail": mark.detail,
        }
        for mark in call.marks
    ]
    return sorted([*logged, *marked], key=lambda event: event["at"])


def _detail(call: Call, row: CelRow) -> str | None:
    event = event_of(row)
    if row.event in {BRIDGE_ENTER, BRIDGE_EXIT}:
        return "the talk" if event.bridge == talk_bridge(call.id) else f"bridge {event.bridge}"
    if row.event == HANGUP and event.cause is not None:
        return f"cause {event.cause}"
    return None


def _told(found: Talk) -> dict[str, Any]:
    return {
        "from": found.start,
        "to": found.end,
        "seconds": found.seconds,
        "stretches": [{"from": start, "to": end} for start, end in found.stretches],
        "left_first": found.left_first,
        "complete": found.complete,
    }


def _steps(call: Call, tariff: Tariff, found: Talk) -> list[dict[str, Any]]:
    """The sum of a priced call, from the rows again: so it is a proof of the receipt, not a copy of it."""
    receipt: Receipt | None = call.receipt
    if receipt is None:
        return []
    fees = [line["amount"] for line in receipt.lines if line["what"] == "recording"]
    recorded, seconds = bool(fees), found.seconds
    steps = []
    # What was held is spent by now; a receipt below what the talk would cost tells that the hold was the limit.
    allowed = billable(call, tariff, seconds, receipt.total - sum(fees))
    if allowed < seconds:
        text = f"The talk was {seconds:f} s long; it was held for, and is priced to, {allowed:f} s."
        steps.append(Step("length", text))
        seconds = allowed
    steps += explain_sum(tariff, seconds, recorded=recorded)
    again = price(tariff, seconds, recorded=recorded).total
    if again != receipt.total:
        text = "The receipt says another total than this sum. Run: taxiphone ledger check"
        steps.append(Step("difference", text, receipt.total - again))
    return [
        {
            "what": step.what,
            "text": step.text,
            "amount": None if step.amount is None else from_minor(step.amount, tariff.digits),
        }
        for step in steps
    ]


def _since(session: Session, call: Call) -> dict[str, Any]:
    """What became of the price later: ratings anew, refunds, and what is left as paid."""
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
