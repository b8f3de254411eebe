"""Prices talks of given durations, without a call. The result is formatted as JSON or as a table."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from taxiphone.billing.pricing.tariff import Tariff
from taxiphone.billing.pricing.tariff_json import number
from taxiphone.billing.pricing.tariff_price import amount_text, price
from taxiphone.errors import UsageError

_EXACT = "exact:"
_MINUTE, _HOUR = 60, 3600


def lengths(text: str) -> list[Decimal]:
    """Parse durations of talks in seconds: `60` or `60,61,83.4`.

    Raises:
        UsageError: one of them is not a number of seconds.
    """
    try:
        return [number("--seconds", part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{error}.") from None


def quote(tariff: Tariff, seconds: Sequence[Decimal], *, recorded: bool = False) -> list[dict[str, Any]]:
    """Price a talk of each duration; amounts are strings with all of the currency's decimals."""
    return [_priced(tariff, duration, recorded=recorded) for duration in seconds]


def json_text(rows: list[dict[str, Any]]) -> str:
    """Format the rows as JSON. A duration keeps its digits as given; `json` by itself could only write a float."""
    text = json.dumps(rows, indent=2, default=lambda exact: f"{_EXACT}{exact:f}")
    return re.sub(rf'"{_EXACT}([0-9.]+)"', r"\1", text)


def table_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert the rows for a table: a price's lines in one cell, and amounts as numbers, so that they are aligned."""
    return [
        {
            **row,
            **{key: Decimal(row[key]) for key in ("total", "commission", "consultant", "net")},
            "lines": " + ".join(_line(line) for line in row["lines"]) or "nothing is charged",
            "VAT": Decimal(row["vat"]),
        }
        for row in rows
    ]


def in_words(seconds: int) -> str:
    """Format a duration: 774 is `12 min 54 s`."""
    hours, rest = divmod(seconds, _HOUR)
    minutes, left = divmod(rest, _MINUTE)
    parts = ((hours, "h"), (minutes, "min"), (left, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def _priced(tariff: Tariff, seconds: Decimal, *, recorded: bool) -> dict[str, Any]:
    cost = price(tariff, seconds, recorded=recorded)

    def money(minor: int) -> str:
        return amount_text(minor, tariff.digits)

    return {
        "seconds": int(seconds) if seconds == seconds.to_integral_value() else seconds,
        "billed_seconds": cost.billed_seconds,
        "lines": [
            {"what": line.what, "seconds": line.seconds, "amount": money(line.amount)} for line in cost.lines
        ],
        "total": money(cost.total),
        "commission": money(cost.commission),
        "consultant": money(cost.consultant),
        "net": money(cost.net),
        "vat": money(cost.vat),
    }


def _line(line: dict[str, Any]) -> str:
    duration = f"{line['seconds']} s " if line["seconds"] else ""
    return f"{duration}{line['what']} {line['amount']}"
