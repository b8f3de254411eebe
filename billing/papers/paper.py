"""A paper that is sent to a person, before it is drawn: who to whom, which table, which sums, which small print."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from taxiphone.billing.papers.paper_words import WORDS
from taxiphone.settings import Settings


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table.

    Attributes:
        label: its heading.
        width: its part of the paper's width, in hundredths.
        numeric: set to the right.
    """

    label: str
    width: int
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Sum:
    """A line under the table; the one that matters is `strong`."""

    label: str
    amount: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings, and their sums; a long one is `dense`."""

    columns: tuple[Column, ...]
    rows: list[tuple[str, ...]]
    sums: list[Sum] = field(default_factory=list)
    title: str = ""
    empty: str = ""
    dense: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom a paper names, and the code that stands for them where the name can't be printed."""

    name: str
    code: str


@dataclass(frozen=True, slots=True)
class Paper:
    """Everything that is printed; texts are in the reader's language.

    Attributes:
        language: of the texts, `en` or `fr`.
        title: what it is.
        sender: the operator: the name first, then the address and the VAT id.
        recipient: the name first.
        recipient_label: what the recipient is.
        facts: number, date and the like, each with its label.
        intro: sentences above the first table.
        tables: the first one is what the paper is about.
        notes: sentences below.
        footer: the legal lines of every page.
        made_at: the date in the file; not the time of drawing, so that the same paper is the same file.
        people: whoever is named in it.
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
    """Who the operator is, as [invoice] says it."""
    invoice = settings.invoice
    vat = (WORDS[language]["vat_id"].format(vat_id=invoice.vat_id),) if invoice.vat_id else ()
    return (invoice.name or settings.platform.name, *invoice.address, *vat)
