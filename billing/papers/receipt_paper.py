"""The receipt document that is sent to the client."""

from __future__ import annotations

from sqlalchemy.orm import Session

from taxiphone.billing.papers import paper_text, paper_words, receipts
from taxiphone.billing.papers.paper import Column, Paper, Person, Sum, Table, sender
from taxiphone.billing.papers.receipts import ReceiptView
from taxiphone.settings import Settings


def receipt_paper(session: Session, settings: Settings, call_id: str) -> Paper:
    """Build the receipt of a call, with the credit notes issued since.

    Raises:
        UsageError: the call has no receipt.
    """
    shown = receipts.find(session, call_id, settings)
    words, call = shown.words, shown.call
    client = (
        ("-",)
        if call.client is None
        else (call.client.name, words["client_code"].format(code=call.client.code))
    )
    facts = [
        (words["number"], shown.number),
        (words["date"], shown.day(shown.issued_at)),
        (words["call_id"], call.id),
        (words["consultant"], call.consultant.name if call.consultant else "-"),
    ]
    tables = [_lines(shown)]
    if shown.credits:
        tables.append(_credits(shown))
    notes = [words["pending"]] if shown.receipt.recording_pending else []
    return Paper(
        language=shown.language,
        title=words["receipt"],
        sender=sender(settings, shown.language),
        recipient=client,
        recipient_label=words["client"],
        facts=facts,
        intro=[*_call(shown), *shown.summary(), *shown.replaced()],
        tables=tables,
        notes=[*notes, words["prepaid"]],
        footer=settings.invoice.footer,
        people=tuple(Person(who.name, who.code) for who in (call.client, call.consultant) if who is not None),
        made_at=max([shown.issued_at, *(note.issued_at for note in shown.credits)]),
    )


def receipt_text(session: Session, settings: Settings, call_id: str) -> str:
    """Return the receipt of a call as plain text.

    Raises:
        UsageError: the call has no receipt.
    """
    return paper_text.write(receipt_paper(session, settings, call_id))


def _call(shown: ReceiptView) -> list[str]:
    consultant = shown.call.consultant.name if shown.call.consultant else "-"
    day = shown.call_day()
    return [shown.words["call"].format(call=shown.call.id, day=day, consultant=consultant)]


def _lines(shown: ReceiptView) -> Table:
    words, receipt = shown.words, shown.receipt
    rows: list[tuple[str, ...]] = []
    for line, price in zip(receipt.lines, shown.unit_prices(), strict=True):
        if price is None:
            unit = shown.money(line["amount"])
        else:
            unit = f"{paper_words.price(price, receipt.currency, shown.language)} / {words['minute']}"
        length = paper_words.length(line["seconds"]) if line["seconds"] else ""
        rows.append((shown.label(line["what"]), length, unit, shown.money(line["amount"])))
    sums = []
    if shown.tariff.vat:
        rate = paper_words.rate(shown.tariff.vat, shown.language)
        sums = [
            Sum(words["net"], shown.money(shown.net)),
            Sum(words["vat"].format(rate=rate), shown.money(receipt.total - shown.net)),
        ]
    sums.append(Sum(words["total"], shown.money(receipt.total), strong=True))
    columns = (
        Column(words["what"], 43),
        Column(words["length"], 19, numeric=True),
        Column(words["unit"], 20, numeric=True),
        Column(words["amount"], 18, numeric=True),
    )
    return Table(columns, rows, sums, empty="-")


def _credits(shown: ReceiptView) -> Table:
    words = shown.words
    rows: list[tuple[str, ...]] = [
        (
            words["credit"].format(number=note.number, day=shown.day(note.issued_at)),
            note.reason,
            shown.money(-note.vat),
            shown.money(-note.amount),
        )
        for note in shown.credits
    ]
    rate = paper_words.rate(shown.tariff.vat, shown.language)
    columns = (
        Column(words["what"], 36),
        Column(words["reason"], 30),
        Column(words["vat"].format(rate=rate), 16, numeric=True),
        Column(words["amount"], 18, numeric=True),
    )
    left = Sum(words["left"], shown.money(shown.receipt.total - shown.refunded), strong=True)
    return Table(columns, rows, [left], title=words["credits"])
