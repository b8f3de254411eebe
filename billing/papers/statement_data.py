"""A statement as data: JSON and CSV, with amounts as exact decimals."""

from __future__ import annotations

import csv
import io
from typing import Any

from taxiphone.billing.days import begin_of, end_of, iso
from taxiphone.billing.papers.statements import Statement, StatementLine
from taxiphone.billing.pricing.money import digits_of, from_minor

COLUMNS = ("at", "what", "call", "mode", "billed_seconds", "total", "commission", "share", "payout")


def as_json(found: Statement) -> dict[str, Any]:
    """Return a statement as data, with amounts as exact decimals."""
    digits = digits_of(found.currency)
    amounts = {
        "opening": found.opening,
        "shares": found.shares,
        "corrections": found.corrected,
        "paid_out": found.paid_out,
        "closing": found.closing,
        "owed_back": max(0, -found.closing),
        "total": sum(line.total for line in found.lines),
        "commission": sum(line.commission for line in found.lines),
    }
    return {
        "consultant": found.consultant.code,
        "name": found.consultant.name,
        "from": found.first.isoformat(),
        "to": found.last.isoformat(),
        "timezone": found.zone.key,
        "provisional": found.provisional,
        "currency": found.currency,
        **{name: from_minor(minor, digits) for name, minor in amounts.items()},
        "billed_seconds": sum(line.seconds or 0 for line in found.lines),
        "lines": [_row(line, digits) for line in found.lines],
    }


def as_csv(found: Statement) -> str:
    """Return a statement as CSV (RFC 4180): a header, the opening balance, one row per line, and the closing balance."""
    digits = digits_of(found.currency)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*COLUMNS, "balance", "currency", "reason", "posting"])
    balance = found.opening
    begin = iso(begin_of(found.first, found.zone), found.zone)
    writer.writerow([begin, "opening", *[""] * 7, from_minor(balance, digits), found.currency, "", ""])
    for line in found.lines:
        balance += line.share - line.payout
        row = _row(line, digits)
        cells = ["" if row[name] is None else row[name] for name in COLUMNS[1:]]
        kept = [from_minor(balance, digits), found.currency, _plain(line.reason), line.posting or ""]
        writer.writerow([iso(line.at, found.zone), *cells, *kept])
    end = iso(end_of(found.last, found.zone), found.zone)
    writer.writerow([end, "closing", *[""] * 7, from_minor(found.closing, digits), found.currency, "", ""])
    return text.getvalue()


def _row(line: StatementLine, digits: int) -> dict[str, Any]:
    return {
        "at": line.at,
        "what": line.what,
        "call": line.call,
        "mode": line.mode,
        "billed_seconds": line.seconds,
        "total": from_minor(line.total, digits),
        "commission": from_minor(line.commission, digits),
        "share": from_minor(line.share, digits),
        "payout": from_minor(line.payout, digits),
        "reason": line.reason,
        "posting": line.posting,
        "continues": line.continues,
    }


def _plain(text: str) -> str:
    """Quote text that a spreadsheet would take for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text
