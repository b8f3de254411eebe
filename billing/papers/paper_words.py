"""The words of receipts and statements in each language, and how that language writes money, lengths, days, prices."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import babel.dates
import babel.numbers

from taxiphone.billing.pricing.money import format_money

WORDS = {
    "en": {
        # what was paid for
        "fee": "Fee",
        "fee_package": "Package",
        "included": "Free minutes",
        "included_package": "Included in the package",
        "talk": "Talk",
        "talk_package": "Beyond the package",
        "recording": "Recording",
        "earlier": "Paid for the talk before the line was cut",
        "at": "{label} at {price} a minute",
        # a receipt
        "receipt": "Receipt",
        "receipt_no": "Receipt no. {number}",
        "call": "Call {call} of {day}, with {consultant}",
        "talked": "Talked from {start} to {end} ({zone}), {length} billed",
        "continues": "Goes on with call {call}, whose line was cut: one consultation, its lengths are added up.",
        "fault": "The line failed within the first {seconds} s: nothing is charged.",
        "fault_seen": "One side could not be heard: nothing is charged.",
        "pending": "The fee of the recording follows once it can be played.",
        "total": "Total, tax included",
        "net": "Without tax",
        "vat": "Tax ({rate} %)",
        "replaces": "Replaces version {version} of {day}.",
        "credit": "Credit note no. {number} of {day}",
        "credits": "Given back to your credit",
        "credit_tax": "of which tax {vat}",
        "left": "Paid after what was given back",
        "prepaid": "Paid from your credit. Nothing is owed.",
        # the table and the head of a paper
        "number": "Number",
        "date": "Date",
        "call_id": "Call",
        "client": "Client",
        "client_code": "Client code {code}",
        "consultant": "Consultant",
        "consultant_code": "Consultant code {code}",
        "vat_id": "VAT no. {vat_id}",
        "what": "What",
        "length": "Length",
        "unit": "Unit price",
        "amount": "Amount",
        "reason": "Reason",
        "page": "Page {page} of {pages}",
        "minute": "min",
        # a consultant's statement
        "line": "{day}  call {call}  {length}  total {total}, commission {commission}, your share {share}",
        "statement": "Statement",
        "period": "Period",
        "period_days": "{first} to {last}",
        "days": "Days are those of {zone}, both included; each line is on the day on which it was posted.",
        "opening": "Opening balance",
        "closing": "Closing balance",
        "shares": "Your share of the calls",
        "corrections": "Corrections and refunds",
        "payouts": "Paid out to you",
        "paid_by_client": "Paid",
        "commission": "Commission",
        "share": "Your share",
        "entry_talk": "Call {call}",
        "entry_recording": "Call {call}, recording",
        "entry_continued": "Call {call}, goes on with {earlier}",
        "entry_correction": "Call {call}, taken back: rated again",
        "entry_again": "Call {call}, rated again",
        "entry_refund": "Call {call}, refund to the client",
        "because": "{label}: {reason}",
        "entry_payout": "Paid out",
        "entry_other": "Correction",
        "owed": "You owe this back: more was given back to clients than you had left to be paid.",
        "nothing": "Nothing in these days.",
    },
    "fr": {
        "fee": "Frais",
        "fee_package": "Forfait",
        "included": "Minutes gratuites",
        "included_package": "Compris dans le forfait",
        "talk": "Conversation",
        "talk_package": "Au-delà du forfait",
        "recording": "Enregistrement",
        "earlier": "Déjà payé avant la coupure",
        "at": "{label} à {price} la minute",
        "receipt": "Reçu",
        "receipt_no": "Reçu n° {number}",
        "call": "Appel {call} du {day}, avec {consultant}",
        "talked": "Conversation de {start} à {end} ({zone}), {length} facturées",
        "continues": "Suite de l'appel {call}, coupé : une seule consultation, les durées s'additionnent.",
        "fault": "La ligne a été coupée dans les {seconds} premières secondes : rien n'est facturé.",
        "fault_seen": "L'un des deux n'était pas entendu : rien n'est facturé.",
        "pending": "Les frais d'enregistrement suivront dès que l'enregistrement sera lisible.",
        "total": "Total TTC",
        "net": "Hors taxes",
        "vat": "TVA ({rate} %)",
        "replaces": "Remplace la version {version} du {day}.",
        "credit": "Avoir n° {number} du {day}",
        "credits": "Rendu sur votre crédit",
        "credit_tax": "dont TVA {vat}",
        "left": "Payé après remboursement",
        "prepaid": "Payé sur votre crédit. Rien n'est dû.",
        "number": "Numéro",
        "date": "Date",
        "call_id": "Appel",
        "client": "Client",
        "client_code": "Code client {code}",
        "consultant": "Consultant",
        "consultant_code": "Code consultant {code}",
        "vat_id": "N° TVA {vat_id}",
        "what": "Désignation",
        "length": "Durée",
        "unit": "Prix unitaire",
        "amount": "Montant",
        "reason": "Motif",
        "page": "Page {page} sur {pages}",
        "minute": "min",
        "line": "{day}  appel {call}  {length}  total {total}, commission {commission}, votre part {share}",
        "statement": "Relevé",
        "period": "Période",
        "period_days": "du {first} au {last}",
        "days": "Les jours sont ceux de {zone}, bornes comprises ; chaque ligne est au jour de sa comptabilisation.",
        "opening": "Solde au début",
        "closing": "Solde à la fin",
        "shares": "Votre part des appels",
        "corrections": "Corrections et remboursements",
        "payouts": "Versé",
        "paid_by_client": "Payé",
        "commission": "Commission",
        "share": "Votre part",
        "entry_talk": "Appel {call}",
        "entry_recording": "Appel {call}, enregistrement",
        "entry_continued": "Appel {call}, suite de {earlier}",
        "entry_correction": "Appel {call}, repris : nouveau calcul",
        "entry_again": "Appel {call}, nouveau calcul",
        "entry_refund": "Appel {call}, remboursement au client",
        "because": "{label} : {reason}",
        "entry_payout": "Versement",
        "entry_other": "Correction",
        "owed": "Ce solde est à rendre : il a été remboursé aux clients plus qu'il ne vous restait à verser.",
        "nothing": "Rien sur ces jours.",
    },
}


def known(language: str) -> str:
    """The language of these words that comes nearest to the one that was asked for."""
    short = language.replace("-", "_").split("_")[0]
    return short if short in WORDS else "en"


def length(seconds: int) -> str:
    """`1 min 24 s`; negative where a length was taken back."""
    minutes, rest = divmod(abs(seconds), 60)
    text = f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    return f"-{text}" if seconds < 0 else text


def day(at: date, language: str) -> str:
    """`22 novembre 2026`."""
    return str(babel.dates.format_date(at, "long", locale=language))


def short_day(at: date, language: str) -> str:
    """A day that fits into a column: `22/11/2026`, `22 Nov 2026`."""
    return str(
        babel.dates.format_date(at, "dd/MM/yyyy" if language == "fr" else "d MMM yyyy", locale=language)
    )


def money(minor: int, currency: str, language: str) -> str:
    """`1,55 €`."""
    return format_money(minor, currency, language)


def price(amount: Decimal, currency: str, language: str) -> str:
    """A price with all of its decimals, and with the currency's own at least: `1,5525 €`."""
    return str(babel.numbers.format_currency(amount, currency, locale=language, decimal_quantization=False))


def rate(share: Decimal, language: str) -> str:
    """A share in per cent, without the sign: `5,5`."""
    text = f"{(share * 100).normalize():f}"
    return text.replace(".", ",") if language == "fr" else text
