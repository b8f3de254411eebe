"""The texts of receipts and statements in each language, and the formatting of amounts, durations, dates and prices."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import babel.dates
import babel.numbers

from taxiphone.billing.pricing.money import format_money

WORDS = {
    "en": {
        # Lines of a receipt.
        "fee": "Fee",
        "fee_package": "Package",
        "included": "Free minutes",
        "included_package": "Included in the package",
        "talk": "Consultation",
        "talk_package": "Time beyond the package",
        "recording": "Recording",
        "earlier": "Already paid before the call was cut off",
        "at": "{label} at {price} per minute",
        # The rest of a receipt.
        "receipt": "Receipt",
        "call": "Call {call} on {day} with {consultant}",
        "talked": "Consultation from {start} to {end} ({zone}), {length} billed",
        "continues": "Continues call {call}, which was cut off. Billed as one consultation, durations combined.",
        "fault": "The call was cut off within the first {seconds} s, so nothing was charged.",
        "fault_seen": "One side could not be heard, so nothing was charged.",
        "pending": "The recording fee will be charged once the recording is ready.",
        "total": "Total including tax",
        "net": "Net amount",
        "vat": "VAT ({rate}%)",
        "replaces": "Replaces version {version}, issued on {day}.",
        "credit": "Credit note no. {number}, {day}",
        "credits": "Credited to your account",
        "left": "Paid after refunds",
        "prepaid": "Paid from your prepaid credit. No payment is due.",
        # Headings, shared by receipts and statements.
        "number": "Number",
        "date": "Date",
        "call_id": "Call",
        "client": "Client",
        "client_code": "Client code {code}",
        "consultant": "Consultant",
        "consultant_code": "Consultant code {code}",
        "vat_id": "VAT no. {vat_id}",
        "what": "Description",
        "length": "Duration",
        "unit": "Unit price",
        "amount": "Amount",
        "reason": "Reason",
        "page": "Page {page} of {pages}",
        "minute": "min",
        # A consultant's statement.
        "line": "{day}  call {call}  {length}  total {total}, commission {commission}, your share {share}",
        "statement": "Statement",
        "period": "Period",
        "period_days": "{first} to {last}",
        "days": "Dates are in the {zone} time zone, first and last day included. Each line shows the date on which it was posted.",
        "provisional": "Provisional: the period is not over, or ended less than ten minutes ago. Lines may still be added.",
        "opening": "Opening balance",
        "closing": "Closing balance",
        "shares": "Your share of calls",
        "corrections": "Corrections and refunds",
        "payouts": "Payouts",
        "paid_by_client": "Client paid",
        "commission": "Commission",
        "share": "Your share",
        "entry_talk": "Call {call}",
        "entry_recording": "Call {call}, recording",
        "entry_continued": "Call {call}, continues {earlier}",
        "entry_correction": "Call {call}, reversed for re-rating",
        "entry_again": "Call {call}, re-rated",
        "entry_refund": "Call {call}, refund to client",
        "because": "{label}: {reason}",
        "entry_payout": "Payout",
        "entry_other": "Correction",
        "owed": "You owe this amount: refunds to clients were higher than the balance of your earnings.",
        "nothing": "No activity in this period.",
    },
    "fr": {
        "fee": "Frais",
        "fee_package": "Forfait",
        "included": "Minutes gratuites",
        "included_package": "Compris dans le forfait",
        "talk": "Consultation",
        "talk_package": "Au-delà du forfait",
        "recording": "Enregistrement",
        "earlier": "Déjà payé avant la coupure",
        "at": "{label} à {price} la minute",
        "receipt": "Reçu",
        "call": "Appel {call} du {day}, avec {consultant}",
        "talked": "Consultation de {start} à {end} ({zone}), {length} facturées",
        "continues": "Suite de l'appel {call}, qui a été coupé : une seule consultation, durées cumulées.",
        "fault": "L'appel a été coupé dans les {seconds} premières secondes : rien n'est facturé.",
        "fault_seen": "L'un des correspondants ne pouvait pas être entendu : rien n'est facturé.",
        "pending": "L'enregistrement sera facturé dès qu'il sera prêt.",
        "total": "Total TTC",
        "net": "Total HT",
        "vat": "TVA ({rate} %)",
        "replaces": "Remplace la version {version} du {day}.",
        "credit": "Avoir n° {number} du {day}",
        "credits": "Remboursé sur votre crédit",
        "left": "Payé après remboursement",
        "prepaid": "Réglé sur votre crédit prépayé. Aucun montant n'est dû.",
        "number": "Numéro",
        "date": "Date",
        "call_id": "Appel",
        "client": "Client",
        "client_code": "Code client {code}",
        "consultant": "Consultant",
        "consultant_code": "Code consultant {code}",
        "vat_id": "N° de TVA {vat_id}",
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
        "days": "Dates selon le fuseau {zone}, premier et dernier jours inclus. Chaque ligne porte la date de sa comptabilisation.",
        "provisional": "Provisoire : la période n'est pas terminée, ou l'est depuis moins de dix minutes. D'autres lignes peuvent s'ajouter.",
        "opening": "Solde initial",
        "closing": "Solde final",
        "shares": "Votre part sur les appels",
        "corrections": "Régularisations et remboursements",
        "payouts": "Versements",
        "paid_by_client": "Payé",
        "commission": "Commission",
        "share": "Votre part",
        "entry_talk": "Appel {call}",
        "entry_recording": "Appel {call}, enregistrement",
        "entry_continued": "Appel {call}, suite de {earlier}",
        "entry_correction": "Appel {call}, annulé pour nouveau calcul",
        "entry_again": "Appel {call}, nouveau calcul",
        "entry_refund": "Appel {call}, remboursement au client",
        "because": "{label} : {reason}",
        "entry_payout": "Versement",
        "entry_other": "Régularisation",
        "owed": "Vous devez ce montant : les remboursements aux clients dépassent le solde de vos gains.",
        "nothing": "Aucune opération sur cette période.",
    },
}


def known(language: str) -> str:
    """Return the supported language for a language tag such as `fr-CA`; English if there is none."""
    short = language.replace("-", "_").split("_")[0]
    return short if short in WORDS else "en"


def length(seconds: int) -> str:
    """Format a duration: `1 min 24 s`. A reversed duration is negative."""
    minutes, rest = divmod(abs(seconds), 60)
    text = f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    return f"-{text}" if seconds < 0 else text


def day(at: date, language: str) -> str:
    """Format a date in full: `22 novembre 2026`."""
    return str(babel.dates.format_date(at, "long", locale=language))


def short_day(at: date, language: str) -> str:
    """Format a date for a table column: `22/11/2026`, `22 Nov 2026`."""
    return str(
        babel.dates.format_date(at, "dd/MM/yyyy" if language == "fr" else "d MMM yyyy", locale=language)
    )


def money(minor: int, currency: str, language: str) -> str:
    """Format an amount given in minor units: `1,55 €`."""
    return format_money(minor, currency, language)


def price(amount: Decimal, currency: str, language: str) -> str:
    """Format a price with all its decimals, at least as many as the currency has: `1,5525 €`."""
    return str(babel.numbers.format_currency(amount, currency, locale=language, decimal_quantization=False))


def rate(share: Decimal, language: str) -> str:
    """Format a fraction as a percentage without the sign: `5,5`."""
    text = f"{(share * 100).normalize():f}"
    return text.replace(".", ",") if language == "fr" else text
