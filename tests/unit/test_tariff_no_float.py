"""No float is used for money: not in the code, not in its results, not in the database."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from decimal import Decimal, FloatOperation, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Float, select

from taxiphone import billing
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.papers import explanation, receipts
from taxiphone.billing.pricing import quote
from taxiphone.billing.pricing.money import format_money, from_minor, to_minor
from taxiphone.billing.pricing.tariff_explained import explain
from taxiphone.billing.pricing.tariff_json import from_json, to_json
from taxiphone.billing.pricing.tariff_price import longest_talk, price
from taxiphone.store.models import Base, Call
from taxiphone.store.types import ExactDecimal

# What counts no money, and why there are floats in it.
NOT_MONEY = {
    "meter.py": "seconds to wait between two looks at a file",
    "paper_pdf.py": "millimetres on a page",
}
MODULES = sorted(path for path in Path(billing.__file__).parent.rglob("*.py") if path.name not in NOT_MONEY)
TARIFF = {
    "currency": "EUR",
    "digits": 2,
    "fee": "0.15",
    "segments": [
        {"from": 0, "price_per_minute": "0"},
        {"from": 60, "price_per_minute": "1.55", "first": 30, "step": 6},
    ],
    "short_call_seconds": 10,
    "commission": "0.3",
    "recording_fee": "5",
    "vat": "0.2",
}


def floats_in(tree: ast.AST) -> Iterator[str]:
    """Find float literals, `float(...)`, and operations that make floats: `/`, `round`, `math.` and `statistics.`."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() as value):
                yield f"line {node.lineno}: {value}"
            case ast.Call(func=ast.Name(id="float" | "round" as name)):
                yield f"line {node.lineno}: {name}(...)"
            case ast.Attribute(value=ast.Name(id="math" | "statistics" as name)):
                yield f"line {node.lineno}: {name}.{node.attr}"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield f"line {node.lineno}: a division with /"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_billing_module_makes_no_float(module: Path) -> None:
    assert list(floats_in(ast.parse(module.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "text", ["x = 1.55", "x = float('1')", "x = cents / 100", "x /= 2", "x = round(y)", "x = math.ceil(y)"]
)
def test_the_check_of_the_code_would_find_a_float(text: str) -> None:
    assert list(floats_in(ast.parse(text)))


def test_the_billing_modules_are_checked() -> None:
    names = {path.name for path in MODULES}
    assert names >= {
        "tariff.py",
        "tariff_price.py",
        "money.py",
        "postings.py",
        "balances.py",
        "rating.py",
        "announcement.py",
        "holds.py",
        "quote.py",
        "what_if.py",
    }


def walk(value: Any) -> Iterator[Any]:
    """Yield a value and everything in it."""
    yield value
    if is_dataclass(value):
        for field in fields(value):
            yield from walk(getattr(value, field.name))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(key)
            yield from walk(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from walk(inner)


def assert_exact(value: Any) -> None:
    inexact = [inner for inner in walk(value) if isinstance(inner, float | complex)]
    assert inexact == []


@given(seconds=st.decimals(0, 10**6, places=6), credit=st.integers(0, 10**6), recorded=st.booleans())
def test_no_reading_of_a_tariff_meets_or_makes_a_float(seconds: Decimal, credit: int, recorded: bool) -> None:
    with localcontext() as context:
        context.traps[FloatOperation] = True  # a Decimal that meets a float raises
        tariff = from_json(TARIFF)
        assert_exact(tariff)
        assert_exact(to_json(tariff))
        cost = price(tariff, seconds, recorded=recorded)
        assert_exact(cost)
        assert_exact(explain(tariff, seconds, cost))
        assert_exact(longest_talk(tariff, credit, recorded=recorded))
        assert_exact(quote.quote(tariff, [seconds], recorded=recorded))
        assert_exact(to_minor(from_minor(credit, 2), 2))
        assert format_money(credit, "EUR", "fr")


def test_the_check_of_the_results_would_find_a_float() -> None:
    with pytest.raises(AssertionError):
        assert_exact({"lines": [{"amount": 1.55}]})


def test_a_price_refuses_a_float_where_it_would_enter() -> None:
    tariff = from_json(TARIFF)
    for attempt in (
        lambda: price(tariff, 83.4),  # type: ignore[arg-type]
        lambda: to_minor(1.55, 2),  # type: ignore[arg-type]
        lambda: from_json({**TARIFF, "fee": 0.15}),
        lambda: ExactDecimal().process_bind_param(1.55, None),  # type: ignore[arg-type]
    ):
        with pytest.raises((TypeError, ValueError)):
            attempt()


def test_the_database_has_no_column_for_floats_and_a_priced_call_leaves_none(house: Any) -> None:
    for table in Base.metadata.sorted_tables:
        assert [column.name for column in table.columns if isinstance(column.type, Float)] == []
    call_id = house.call(house.client(), house.consultant(free_minutes=1, recording_allowed=True))
    house.write(*house.talk(call_id, "83.4"))
    Meter(house.settings, house.database).read_once()

    def everything(session: Any) -> list[Any]:
        rows = [tuple(row) for table in Base.metadata.sorted_tables for row in session.execute(select(table))]
        story = explanation.explain(session, session.get_one(Call, call_id))
        return [
            rows,
            receipts.client_receipt(session, call_id),
            receipts.statement_line(session, call_id),
            story,
        ]

    found = house.database.do(everything)
    assert_exact(found)
