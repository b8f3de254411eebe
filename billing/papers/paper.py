"""The content of a document sent to a client or consultant, before it is rendered as text or PDF."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from taxiphone.billing.papers.paper_words import WORDS
from taxiphone.settings import Settings


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table.

    Attributes:
        label: the heading.
        width: percentage of the table's width.
        numeric: whether the cells are right-aligned.
    """

    label: str
    width: int
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Sum:
    """A total below the table. The most important one is `strong`."""

    label: str
    amount: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings, and their totals. Long tables are `dense`: their rows have less padding."""

    columns: tuple[Column, ...]
    rows: list[tuple[str, ...]]
    sums: list[Sum] = field(default_factory=list)
    title: str = ""
    empty: str = ""
    dense: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """A person named in a document, and the code printed instead of a name that the font can't show."""

    name: str
    code: str


@dataclass(frozen=True, slots=True)
class Paper:
    """Everything that is printed, in the reader's language.

    Attributes:
        language: `en` or `fr`.
        title: the kind of document.
        sender: the operator's name, then the address and the VAT number.
        recipient: the name, then further lines.
        recipient_label: the recipient's role.
        facts: labels and values such as number and date.
        intro: sentences above the first table.
        tables: the main table first.
        notes: sentences below the tables.
        footer: legal lines, printed on every page.
        made_at: the creation date stored in the PDF. It is not the time of rendering, so that the same document always
            gives the same file.
        people: everyone named in the document.
    """

    language: str
    title: str
    sender: tuple[str, ...]
    recipient: tuple[str, ...]
    recipient_label: str
    facts: list[tuple[str, str]]
    intro: list[str]
    tables: list[Table]
    notes: list[str]
    footer: tuple[str, ...]
    made_at: datetime
    people: tuple[Person, ...] = ()


def sender(settings: Settings, language: str) -> tuple[str, ...]:
    """Return the operator's name, address and VAT number from the settings' [invoice] section."""
    who = operator(settings)
    vat = (WORDS[language]["vat_id"].format(vat_id=who["vat_id"]),) if who["vat_id"] else ()
    return (who["name"], *who["address"], *vat)


def operator(settings: Settings) -> dict[str, Any]:
    """Return the operator as data: name, address lines, VAT number and legal lines."""
    invoice = settings.invoice
    return {
        "name": invoice.name or settings.platform.name,
        "address": list(invoice.address),
        "vat_id": invoice.vat_id,
        "footer": list(invoice.footer),
    }
