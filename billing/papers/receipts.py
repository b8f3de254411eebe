"""Receipts of priced calls and the consultant's line of each, as data and in the reader's language."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.billing import days
from taxiphone.billing.days import UTC_ZONE
from taxiphone.billing.papers import paper_words
from taxiphone.billing.papers.paper import operator
from taxiphone.billing.papers.paper_words import WORDS
from taxiphone.billing.pricing.money import from_minor
from taxiphone.billing.pricing.tariff import Segment, Tariff
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.billing.tariffs_in_force import PACKAGE
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.store.models import Call, CreditNote, Receipt


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """A receipt with everything needed to render it.

    Attributes:
        receipt: the current version.
        call: its call.
        tariff: the tariff frozen in the call.
        credits: credit notes issued since, oldest first.
        language: the client's language, or English if it is not supported.
        zone: the platform's time zone, used for dates and times.
    """

    receipt: Receipt
    call: Call
    tariff: Tariff
    credits: list[CreditNote]
    language: str
    zone: ZoneInfo = UTC_ZONE

    @property
    def words(self) -> dict[str, str]:
        """The texts in the receipt's language."""
        return WORDS[self.language]

    @property
    def number(self) -> str:
        """The receipt number, with the version if the call was re-rated: `12-2`."""
        version = len(self.receipt.former) + 1
        return str(self.receipt.number) if version == 1 else f"{self.receipt.number}-{version}"

    @property
    def issued_at(self) -> datetime:
        """When this version was issued."""
        former = self.receipt.former
        return datetime.fromisoformat(former[-1]["replaced_at"]) if former else self.receipt.issued_at

    @property
    def net(self) -> int:
        """The total excluding tax, in minor units."""
        return self.receipt.total - self.receipt.vat

    @property
    def refunded(self) -> int:
        """The sum of the credit notes, in minor units."""
        return sum(note.amount for note in self.credits)

    def money(self, minor_units: int) -> str:
        """Format an amount in the client's language."""
        return paper_words.money(minor_units, self.receipt.currency, self.language)

    def label(self, what: str) -> str:
        """Return the description of a line."""
        suffix = "_package" if self.call.mode == PACKAGE else ""
        return self.words.get(what + suffix) or self.words[what]

    def unit_prices(self) -> list[Decimal | None]:
        """Return the price per minute of each line; None for a line that is not priced by time."""
        segments = itertools.chain(self.tariff.segments, itertools.repeat(self.tariff.segments[-1]))
        return [_price_of(line, segments) for line in self.receipt.lines]

    def day(self, at: datetime) -> str:
        """Format the date of a moment in the client's language."""
        return paper_words.day(days.day_of(at, self.zone), self.language)

    def call_day(self) -> str:
        """Format the date of the call: when the talk began, or when the call arrived if there was none."""
        return self.day(self.call.talk_from or self.call.arrived_at)

    def summary(self) -> list[str]:
        """Say when the talk took place, or why nothing is charged."""
        # Without a short-call threshold, a receipt without lines also means that one side could not be heard.
        unheard = self.call.fault is not None or not self.tariff.short_call_seconds
        if not self.receipt.lines and unheard:
            return [self.words["fault_seen"]]
        if not self.receipt.lines:
            return [self.words["fault"].format(seconds=self.tariff.short_call_seconds)]
        if not (self.call.talk_from and self.call.talk_to):
            return []
        begun, ended = self.call.talk_from, self.call.talk_to
        times = {"start": days.clock(begun, self.zone), "end": days.clock(ended, self.zone)}
        times["zone"] = days.zone_text(self.zone, begun, ended)
        billed = paper_words.length(self.call.billed_seconds or 0)
        sentences = [self.words["talked"].format(length=billed, **times)]
        if self.call.continues_id is not None:
            sentences.append(self.words["continues"].format(call=self.call.continues_id))
        return sentences

    def replaced(self) -> list[str]:
        """Name the versions that this one replaces, and why."""
        sentences = []
        for version, old in enumerate(self.receipt.former, 1):
            day = self.day(datetime.fromisoformat(old["issued_at"]))
            replaced = self.words["replaces"].format(version=version, day=day)
            sentences.append(f"{replaced} {old['reason']}".rstrip())
        return sentences


def find(session: Session, call_id: str, settings: Settings | None = None) -> ReceiptView:
    """Return the receipt of a call, in the platform's time zone, or in UTC without settings.

    Raises:
        UsageError: the call has no receipt.
    """
    receipt = session.execute(select(Receipt).where(Receipt.call_id == call_id)).scalar_one_or_none()
    if receipt is None or receipt.call.tariff is None:
        raise UsageError(
            f"call {call_id} has no receipt, because it was not priced. To see why: taxiphone call show {call_id}"
        )
    call = receipt.call
    notes = select(CreditNote).where(CreditNote.call_id == call_id).order_by(CreditNote.number)
    language = paper_words.known(call.client.language if call.client else call.language)
    return ReceiptView(
        receipt,
        call,
        from_json(call.tariff or {}),
        list(session.scalars(notes)),
        language,
        days.zone_of(settings),
    )


def client_receipt(session: Session, call_id: str, settings: Settings | None = None) -> dict[str, Any]:
    """Return a call's receipt as data.

    Times are in UTC; `timezone` is the platform's. Amounts are exact decimals, or whole minor units in keys that end in
    `minor`. Without settings, the time zone is UTC and `operator` is None.

    Raises:
        UsageError: the call has no receipt.
    """
    shown = find(session, call_id, settings)
    receipt, call, digits = shown.receipt, shown.call, shown.tariff.digits
    return {
        "number": receipt.number,
        "version": len(receipt.former) + 1,
        "call": call.id,
        "issued_at": shown.issued_at,
        "operator": None if settings is None else operator(settings),
        "client": call.client.name if call.client else None,
        "client_code": call.client.code if call.client else None,
        "consultant": call.consultant.name if call.consultant else None,
        "mode": call.mode,
        "continues": call.continues_id,
        "talk_from": call.talk_from,
        "talk_to": call.talk_to,
        "timezone": shown.zone.key,
        "billed_seconds": call.billed_seconds,
        "network_fault": not receipt.lines,
        "fault": call.fault,
        "currency": receipt.currency,
        "lines": [
            {
                "what": line["what"],
                "text": _line_text(shown, line, price),
                "seconds": line["seconds"],
                "price_per_minute": price,
                "amount": from_minor(line["amount"], digits),
                "minor": line["amount"],
            }
            for line, price in zip(receipt.lines, shown.unit_prices(), strict=True)
        ],
        "total": from_minor(receipt.total, digits),
        "total_minor": receipt.total,
        "net": from_minor(shown.net, digits),
        "vat": from_minor(receipt.total - shown.net, digits),
        "vat_rate": shown.tariff.vat,
        "recording_pending": receipt.recording_pending,
        "credit_notes": [credit_note(note, digits) for note in shown.credits],
        "refunded": from_minor(shown.refunded, digits),
        "paid": from_minor(receipt.total - shown.refunded, digits),
        "replaces": [_former(old, digits) for old in receipt.former],
    }


def statement_line(session: Session, call_id: str) -> dict[str, Any]:
    """Return the consultant's line of a priced call as data, without anything that identifies the client.

    Raises:
        UsageError: the call has no receipt.
    """
    shown = find(session, call_id)
    receipt, call, digits = shown.receipt, shown.call, shown.tariff.digits
    return {
        "call": call.id,
        "consultant": call.consultant.code if call.consultant else None,
        "continues": call.continues_id,
        "talk_from": call.talk_from,
        "mode": call.mode,
        "billed_seconds": call.billed_seconds,
        "currency": receipt.currency,
        "total": from_minor(receipt.total, digits),
        "commission": from_minor(receipt.commission, digits),
        "share": from_minor(receipt.consultant_share, digits),
        "share_given_back": from_minor(sum(note.consultant_share for note in shown.credits), digits),
        "recording_pending": receipt.recording_pending,
    }


def statement_line_text(session: Session, call_id: str, settings: Settings | None = None) -> str:
    """Format the consultant's line of a priced call in the consultant's language.

    Raises:
        UsageError: the call has no receipt.
    """
    shown = find(session, call_id, settings)
    receipt, call = shown.receipt, shown.call
    language = paper_words.known(call.consultant.language if call.consultant else call.language)
    money = {"total": receipt.total, "commission": receipt.commission, "share": receipt.consultant_share}
    return WORDS[language]["line"].format(
        day=paper_words.day(days.day_of(call.talk_from or call.arrived_at, shown.zone), language),
        call=call.id,
        length=paper_words.length(call.billed_seconds or 0),
        **{name: paper_words.money(each, receipt.currency, language) for name, each in money.items()},
    )


def credit_note(note: CreditNote, digits: int) -> dict[str, Any]:
    """Return a credit note as data, with amounts as exact decimals."""
    return {
        "number": note.number,
        "call": note.call_id,
        "issued_at": note.issued_at,
        "reason": note.reason,
        "currency": note.currency,
        "amount": from_minor(note.amount, digits),
        "net": from_minor(note.amount - note.vat, digits),
        "vat": from_minor(note.vat, digits),
        "commission": from_minor(note.commission, digits),
        "consultant": from_minor(note.consultant_share, digits),
    }


def _former(old: dict[str, Any], digits: int) -> dict[str, Any]:
    amounts = ("total", "commission", "consultant_share", "vat")
    lines = [{**line, "amount": from_minor(line["amount"], digits)} for line in old["lines"]]
    times = {name: datetime.fromisoformat(old[name]) for name in ("issued_at", "replaced_at")}
    return {**old, **times, "lines": lines, **{name: from_minor(old[name], digits) for name in amounts}}


def _price_of(line: dict[str, Any], segments: Any) -> Decimal | None:
    """Return a line's price per minute; lines priced by time follow the order of the tariff's segments."""
    if line["what"] not in {"included", "talk"}:
        return None
    segment: Segment = next(segments)
    return segment.price_per_minute


def _line_text(shown: ReceiptView, line: dict[str, Any], price: Decimal | None) -> str:
    label = shown.label(line["what"])
    if line["what"] == "talk" and price is not None:
        digits = max(shown.tariff.digits, -int(price.normalize().as_tuple().exponent))
        written = f"{price:.{digits}f}".replace(".", "," if shown.language == "fr" else ".")
        label = shown.words["at"].format(label=label, price=f"{written} {shown.tariff.currency}")
    return f"{label}, {paper_words.length(line['seconds'])}" if line["seconds"] else label
