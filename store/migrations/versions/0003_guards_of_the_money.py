"""Guards of the money, in the database itself; and what earlier versions left, brought into the accounts of today.

The guards (docs/adr/0009): an entry moves its account's balance; a posting comes after its entries, and only where they are
two or more and sum to zero in every currency; after it no entry comes any more; postings and entries are never changed and
never deleted; an account keeps its name. A later migration that makes one of these tables anew on SQLite takes their triggers
along, and has to call `guard` again.
"""

import json
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_WHOLE = "the posting is whole: it takes no other entry"
_UNBALANCED = "a posting is two entries or more, written before it, which sum to zero"
_NEVER = "postings and entries are never changed or deleted; reverse them"
_NAMED = "an account keeps its name"

_SQLITE = {
    "entry_moves_balance": """
        AFTER INSERT ON entry BEGIN
            UPDATE account SET balance = balance + NEW.amount
            WHERE id = NEW.account_id AND balance IS NOT NULL;
        END""",
    "entry_before_posting": f"""
        BEFORE INSERT ON entry WHEN EXISTS (SELECT 1 FROM posting WHERE id = NEW.posting_id)
        BEGIN SELECT RAISE(ABORT, '{_WHOLE}'); END""",
    "posting_balances": f"""
        BEFORE INSERT ON posting
        WHEN (SELECT count(*) FROM entry WHERE posting_id = NEW.id) < 2
            OR EXISTS (
                SELECT 1 FROM entry JOIN account ON account.id = entry.account_id
                WHERE entry.posting_id = NEW.id GROUP BY account.currency HAVING sum(entry.amount) <> 0
            )
        BEGIN SELECT RAISE(ABORT, '{_UNBALANCED}'); END""",
    "posting_never_changed": f"BEFORE UPDATE ON posting BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END",
    "posting_never_deleted": f"BEFORE DELETE ON posting BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END",
    "entry_never_changed": f"BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END",
    "entry_never_deleted": f"BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END",
    "account_keeps_name": f"""
        BEFORE UPDATE OF id, kind, owner, currency ON account
        BEGIN SELECT RAISE(ABORT, '{_NAMED}'); END""",
}

_REFUSE = "RAISE EXCEPTION '{}' USING ERRCODE = 'integrity_constraint_violation'"
_POSTGRESQL_FUNCTIONS = {
    "taxiphone_entry": f"""
        IF EXISTS (SELECT 1 FROM posting WHERE id = NEW.posting_id) THEN {_REFUSE.format(_WHOLE)}; END IF;
        UPDATE account SET balance = balance + NEW.amount WHERE id = NEW.account_id AND balance IS NOT NULL;
        RETURN NEW;""",
    "taxiphone_posting": f"""
        IF (SELECT count(*) FROM entry WHERE posting_id = NEW.id) < 2
            OR EXISTS (
                SELECT 1 FROM entry JOIN account ON account.id = entry.account_id
                WHERE entry.posting_id = NEW.id GROUP BY account.currency HAVING sum(entry.amount) <> 0
            )
        THEN {_REFUSE.format(_UNBALANCED)}; END IF;
        RETURN NEW;""",
    "taxiphone_never": f"{_REFUSE.format(_NEVER)};",
    "taxiphone_account": f"{_REFUSE.format(_NAMED)};",
}
_POSTGRESQL = {
    "entry_in": "BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION taxiphone_entry()",
    "posting_in": "BEFORE INSERT ON posting FOR EACH ROW EXECUTE FUNCTION taxiphone_posting()",
    "posting_never": """
        BEFORE UPDATE OR DELETE OR TRUNCATE ON posting FOR EACH STATEMENT EXECUTE FUNCTION taxiphone_never()""",
    "entry_never": """
        BEFORE UPDATE OR DELETE OR TRUNCATE ON entry FOR EACH STATEMENT EXECUTE FUNCTION taxiphone_never()""",
    "account_keeps_name": """
        BEFORE UPDATE OF id, kind, owner, currency ON account
        FOR EACH STATEMENT EXECUTE FUNCTION taxiphone_account()""",
}


def upgrade() -> None:
    connection = op.get_bind()
    _tax_of_earlier_receipts(connection)
    _free_minutes_of_earlier_calls(connection)
    # Of the platform's own accounts no balance is kept any more.
    op.execute("UPDATE account SET balance = NULL WHERE kind NOT IN ('wallet', 'hold', 'earnings')")
    guard()


def downgrade() -> None:
    unguard()
    op.execute(
        "UPDATE account SET balance = (SELECT coalesce(sum(amount), 0) FROM entry WHERE account_id = account.id) "
        "WHERE balance IS NULL"
    )


def guard() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name, rest in _SQLITE.items():
            op.execute(f"CREATE TRIGGER {name} {rest}")
        return
    for name, body in _POSTGRESQL_FUNCTIONS.items():
        op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
    for name, rest in _POSTGRESQL.items():
        op.execute(f"CREATE TRIGGER {name} {rest}")


def unguard() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in _SQLITE:
            op.execute(f"DROP TRIGGER {name}")
        return
    for name, rest in _POSTGRESQL.items():
        op.execute(f"DROP TRIGGER {name} ON {rest.split(' ON ')[1].split()[0]}")
    for name in _POSTGRESQL_FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")


# -- what was there before --------------------------------------------------------------------------------------------

_account = sa.table("account", *map(sa.column, ("id", "kind", "owner", "currency", "balance")))
_posting = sa.table(
    "posting", *map(sa.column, ("id", "key", "kind", "call_id", "memo")), sa.column("at", sa.DateTime())
)
_entry = sa.table("entry", *map(sa.column, ("posting_id", "account_id", "amount")))
_receipt = sa.table("receipt", *map(sa.column, ("number", "call_id", "total", "currency", "vat")))
_call = sa.table(
    "call",
    *map(sa.column, ("id", "tariff", "status", "billed_seconds", "client_id", "consultant_id")),
    sa.column("arrived_at", sa.DateTime()),
)
_free = sa.table(
    "free_minutes",
    *map(sa.column, ("client_id", "scope", "consultant_id", "call_id", "least_seconds")),
    sa.column("claimed_at", sa.DateTime()),
)


def _tax_of_earlier_receipts(connection: sa.Connection) -> None:
    """Version 0001 had the tax on the receipt and not in the books: it lay in the commission."""
    now = datetime.now(UTC).replace(tzinfo=None)
    priced = connection.execute(
        sa.select(_receipt, _call.c.tariff)
        .join(_call, _call.c.id == _receipt.c.call_id)
        .where(_receipt.c.vat == 0)
    ).all()
    for row in priced:
        rate = Fraction(_object(row.tariff).get("vat", "0"))
        net = Fraction(row.total) / (1 + rate)
        vat = row.total - (2 * net.numerator + net.denominator) // (2 * net.denominator)
        if not vat:
            continue
        connection.execute(sa.update(_receipt).where(_receipt.c.number == row.number).values(vat=vat))
        posting = connection.execute(
            sa.insert(_posting)
            .values(key=f"call:{row.call_id}:tax", kind="charge", call_id=row.call_id, at=now, memo="")
            .returning(_posting.c.id)
        ).scalar_one()
        for kind, amount in (("commission", -vat), ("vat", vat)):
            account = _opened(connection, kind, row.currency)
            entry = {"posting_id": posting, "account_id": account, "amount": amount}
            connection.execute(sa.insert(_entry).values(entry))


def _opened(connection: sa.Connection, kind: str, currency: str) -> int:
    named = (_account.c.kind == kind) & (_account.c.owner == "") & (_account.c.currency == currency)
    found = connection.execute(sa.select(_account.c.id).where(named)).scalar_one_or_none()
    if found is None:
        new = sa.insert(_account).values(kind=kind, owner="", currency=currency, balance=None)
        found = connection.execute(new.returning(_account.c.id)).scalar_one()
    return int(found)


def _free_minutes_of_earlier_calls(connection: sa.Connection) -> None:
    """The first call that had them has them; version 0001 looked through the calls each time."""
    claimed = {tuple(row) for row in connection.execute(sa.select(_free.c.client_id, _free.c.consultant_id))}
    for row in connection.execute(sa.select(_call).order_by(_call.c.arrived_at)).all():
        key = (row.client_id, row.consultant_id)
        talked = row.status == "rated" and row.billed_seconds
        if key in claimed or None in key or not (talked or row.status in {"accepted", "talking", "ended"}):
            continue
        tariff = _object(row.tariff)
        segments = tariff.get("segments", [])
        if Fraction(tariff.get("fee", "0")) or len(segments) < 2:  # noqa: PLR2004 - the free one and the paid one
            continue
        if Fraction(segments[0]["price_per_minute"]):
            continue
        claimed.add(key)
        values = {
            "client_id": row.client_id,
            "scope": str(row.consultant_id),
            "consultant_id": row.consultant_id,
            "call_id": row.id,
            "least_seconds": 0,
            "claimed_at": row.arrived_at,
        }
        connection.execute(sa.insert(_free).values(values))


def _object(text: object) -> dict[str, Any]:
    """A column of JSON, which the driver may have read already."""
    found = json.loads(text) if isinstance(text, str) else text
    return found if isinstance(found, dict) else {}
