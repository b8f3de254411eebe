"""What the client is shown of a priced call, and the consultant's line of it: as data and as text, in their language."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import babel.dates
from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.billing.money import digits_of, format_money, from_minor
from taxiphone.billing.tariff import Tariff, tax_free
from taxiphone.billing.tariff_json import from_json
from taxiphone.billing.tariffs_in_force import PACKAGE
from taxiphone.errors import UsageError
from taxiphone.store.models import Call, Receipt

_WORDS = {
    "en": {
        "receipt": "Receipt no. {number}",
        "call": "Call {call} of {day}, with {consultant}",
        "talk": "Talked from {start} to {end} (UTC), {length} billed",
        "fault": "The line failed within the first {seconds} s: nothing is charged.",
        "fee": "Fee",
        "fee_package": "Package",
        "included": "Free minutes",
        "included_package": "Included in the package",
        "line_talk": "Talk at {price} a minute",
        "line_talk_package": "Beyond the package, at {price} a minute",
        "recording": "Recording",
        "pending": "The fee of the recording follows once it can be played.",
        "total": "Total, tax included",
        "net": "Without tax",
        "vat": "Tax ({rate} %)",
        "line": "{day}  call {call}  {length}  total {total}, commission {commission}, your share {share}",
    },
    "fr": {
        "receipt": "Reçu n° {number}",
        "call": "Appel {call} du {day}, avec {consultant}",
        "talk": "Conversation de {start} à {end} (UTC), {length} facturées",
        "fault": "La ligne a été coupée dans les {seconds} premières secondes : rien n'est facturé.",
        "fee": "Frais",
        "fee_package": "Forfait",
        "included": "Minutes gratuites",
        "included_package": "Compris dans le forfait",
        "line_talk": "Conversation à {price} la minute",
        "line_talk_package": "Au-delà du forfait, à {price} la minute",
        "recording": "Enregistrement",
        "pending": "Les frais d'enregistrement suivront dès que l'enregistrement sera lisible.",
        "total": "Total TTC",
        "net": "Hors taxes",
        "vat": "TVA ({rate} %)",
        "line": "{day}  appel {call}  {length}  total {total}, commission {commission}, votre part {share}",
    },
}
_WIDTH = 64


def client_receipt(session: Session, call_id: str) -> dict[str, Any]:
    """A call's receipt. Amounts are exact decimals, and whole minor units in the keys that end in `minor`.

    Raises:
        UsageError: the call has no receipt.
    """
    receipt, call, tariff = _found(session, call_id)
    digits = tariff.digits
    net = tax_free(tariff, receipt.total)
    return {
        "number": receipt.number,
        "call": call.id,
        "issued_at": receipt.issued_at,
        "client": call.client.name if call.client else None,
        "consultant": call.consultant.name if call.consultant else None,
        "mode": call.mode,
        "talk_from": call.talk_from,
        "talk_to": call.talk_to,
        "billed_seconds": call.billed_seconds,
        "network_fault": not receipt.lines,
        "currency": receipt.currency,
        "lines": [
            {
                "what": line["what"],
                "text": _line_text(line, call, tariff),
                "seconds": line["seconds"],
                "amount": from_minor(line["amount"], digits),
                "minor": line["amount"],
            }
            for line in receipt.lines
        ],
        "total": from_minor(receipt.total, digits),
        "total_minor": receipt.total,
        "net": from_minor(net, digits),
        "vat": from_minor(receipt.total - net, digits),
        "recording_pending": receipt.recording_pending,
    }


def client_receipt_text(session: Session, call_id: str) -> str:
    """The same for a person, in the client's language.

    Raises:
        UsageError: the call has no receipt.
    """
    receipt, call, tariff = _found(session, call_id)
    words, language = _words(call), _language(call)

    def row(label: str, minor: int) -> str:
        amount = format_money(minor, receipt.currency, language)
        return f"{label} {'.' * (_WIDTH - len(label) - len(amount) - 2)} {amount}"

    consultant = call.consultant.name if call.consultant else "-"
    lines = [
        words["receipt"].format(number=receipt.number),
        words["call"].format(call=call.id, day=_day(call.arrived_at, language), consultant=consultant),
    ]
    if not receipt.lines:
        lines.append(words["fault"].format(seconds=tariff.short_call_seconds))
    elif call.talk_from and call.talk_to:
        times = {"start": f"{call.talk_from:%H:%M:%S}", "end": f"{call.talk_to:%H:%M:%S}"}
        lines.append(words["talk"].format(length=_length(call.billed_seconds or 0), **times))
    lines += ["", *(row(_line_text(line, call, tariff), line["amount"]) for line in receipt.lines)]
    lines.append(row(words["total"], receipt.total))
    if tariff.vat:
        net = tax_free(tariff, receipt.total)
        rate = f"{(tariff.vat * 100).normalize():f}"
        lines += [row(words["net"], net), row(words["vat"].format(rate=rate), receipt.total - net)]
    if receipt.recording_pending:
        lines += ["", words["pending"]]
    return "\n".join(lines)


def statement_line(session: Session, call_id: str) -> dict[str, Any]:
    """The consultant's line of a priced call; nothing in it tells who the client is.

    Raises:
        UsageError: the call has no receipt.
    """
    receipt, call, tariff = _found(session, call_id)
    return {
        "call": call.id,
        "consultant": call.consultant.code if call.consultant else None,
        "talk_from": call.talk_from,
        "mode": call.mode,
        "billed_seconds": call.billed_seconds,
        "currency": receipt.currency,
        "total": from_minor(receipt.total, tariff.digits),
        "commission": from_minor(receipt.commission, tariff.digits),
        "share": from_minor(receipt.consultant_share, tariff.digits),
        "recording_pending": receipt.recording_pending,
    }


def statement_line_text(session: Session, call_id: str) -> str:
    """The same for a person, in the consultant's language.

    Raises:
        UsageError: the call has no receipt.
    """
    receipt, call, _ = _found(session, call_id)
    language = _known(call.consultant.language if call.consultant else call.language)
    money = {"total": receipt.total, "commission": receipt.commission, "share": receipt.consultant_share}
    return _WORDS[language]["line"].format(
        day=_day(call.arrived_at, language),
        call=call.id,
        length=_length(call.billed_seconds or 0),
        **{name: format_money(minor, receipt.currency, language) for name, minor in money.items()},
    )


def _found(session: Session, call_id: str) -> tuple[Receipt, Call, Tariff]:
    receipt = session.execute(select(Receipt).where(Receipt.call_id == call_id)).scalar_one_or_none()
    if receipt is None or receipt.call.tariff is None:
        raise UsageError(
            f"call {call_id} has no receipt: it was not priced. `taxiphone call show {call_id}` says more."
        )
    return receipt, receipt.call, from_json(receipt.call.tariff)


def _line_text(line: dict[str, Any], call: Call, tariff: Tariff) -> str:
    words = _words(call)
    suffix = "_package" if call.mode == PACKAGE else ""
    what = line["what"]
    if what == "talk":
        label = words["line_talk" + suffix].format(price=_price(tariff, _language(call)))
    else:
        label = words.get(what + suffix) or words[what]
    return f"{label}, {_length(line['seconds'])}" if line["seconds"] else label


def _price(tariff: Tariff, language: str) -> str:
    """The price per minute, which is that of the last segment: what comes before it is included or free."""
    paid = tariff.segments[-1].price_per_minute
    digits = max(digits_of(tariff.currency), -int(paid.normalize().as_tuple().exponent))
    return f"{paid:.{digits}f}".replace(".", "," if language == "fr" else ".") + f" {tariff.currency}"


def _length(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _day(at: datetime, language: str) -> str:
    return str(babel.dates.format_date(at, "long", locale=language))


def _language(call: Call) -> str:
    return _known(call.client.language if call.client else call.language)


def _known(language: str) -> str:
    short = language.replace("-", "_").split("_")[0]
    return short if short in _WORDS else "en"


def _words(call: Call) -> dict[str, str]:
    return _WORDS[_language(call)]
