"""A consultant's statement as the paper that is sent to them."""

from __future__ import annotations

from taxiphone.billing.days import begin_of, day_of
from taxiphone.billing.ledger.payouts import PAYOUT
from taxiphone.billing.ledger.postings import REFUND
from taxiphone.billing.papers import paper_words
from taxiphone.billing.papers.paper import Column, Paper, Person, Sum, Table, sender
from taxiphone.billing.papers.paper_words import WORDS
from taxiphone.billing.papers.statements import TALK, Statement, StatementLine
from taxiphone.settings import Settings


def statement_paper(settings: Settings, found: Statement) -> Paper:
    """A statement in the consultant's language."""
    who = found.consultant
    language = paper_words.known(who.language)
    words = WORDS[language]
    last = begin_of(found.last, found.zone)
    period = words["period_days"].format(
        first=paper_words.short_day(found.first, language), last=paper_words.short_day(found.last, language)
    )
    return Paper(
        language=language,
        title=words["statement"],
        sender=sender(settings, language),
        recipient=(who.name, words["consultant_code"].format(code=who.code)),
        recipient_label=words["consultant"],
        facts=[
            (words["number"], f"{who.code}-{found.first:%Y%m%d}-{found.last:%Y%m%d}"),
            (words["period"], period),
        ],
        intro=[words["days"].format(zone=found.zone.key)],
        tables=[_account(found, language)],
        notes=[
            *([words["provisional"]] if found.provisional else []),
            *([words["owed"]] if found.closing < 0 else []),
        ],
        footer=settings.invoice.footer,
        people=(Person(who.name, who.code),),
        made_at=last,
    )


def _account(found: Statement, language: str) -> Table:
    words = WORDS[language]

    def money(minor: int) -> str:
        return paper_words.money(minor, found.currency, language)

    rows: list[tuple[str, ...]] = []
    for line in found.lines:
        paid_out = line.what == PAYOUT
        rows.append(
            (
                paper_words.short_day(day_of(line.at, found.zone), language),
                _label(line, words),
                "" if line.seconds is None else paper_words.length(line.seconds),
                "" if paid_out else money(line.total),
                "" if paid_out else money(line.commission),
                money(line.share - line.payout),
            )
        )
    sums = [
        Sum(words["opening"], money(found.opening)),
        Sum(words["shares"], money(found.shares)),
        Sum(words["corrections"], money(found.corrected)),
        Sum(words["payouts"], money(-found.paid_out)),
        Sum(words["closing"], money(found.closing), strong=True),
    ]
    columns = (
        Column(words["date"], 13),
        Column(words["what"], 33),
        Column(words["length"], 14, numeric=True),
        Column(words["paid_by_client"], 13, numeric=True),
        Column(words["commission"], 13, numeric=True),
        Column(words["share"], 14, numeric=True),
    )
    return Table(columns, rows, sums, empty=words["nothing"], dense=True)


def _label(line: StatementLine, words: dict[str, str]) -> str:
    what = "continued" if line.what == TALK and line.continues is not None else line.what
    label = words[f"entry_{what}"].format(call=line.call, earlier=line.continues)
    if line.what != REFUND:
        return label
    return words["because"].format(label=label, reason=line.reason)
