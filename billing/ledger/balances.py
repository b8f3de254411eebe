"""Reads the balances of the ledger's accounts, in minor units; `postings` has the list of the accounts."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.orm import Session

from taxiphone.billing.ledger.double_entry import HOLD, KEPT, WALLET
from taxiphone.store.models import Account, Entry
from taxiphone.store.prepared import Prepared, driver_rows, scalar
from taxiphone.store.tables import ACCOUNT

_matches = (
    Account.kind == bindparam("kind"),
    Account.owner == bindparam("owner"),
    func.coalesce(bindparam("currency", type_=Account.currency.type), Account.currency) == Account.currency,
)
_KEPT = select(func.sum(Account.balance)).where(*_matches)
_ADDED_UP = select(func.sum(Entry.amount)).join(Account, Account.id == Entry.account_id).where(*_matches)
_WALLET: Prepared[int] = Prepared(
    select(ACCOUNT.c.balance)
    .where(
        ACCOUNT.c.kind == WALLET,
        ACCOUNT.c.owner == bindparam("owner"),
        ACCOUNT.c.currency == bindparam("currency"),
    )
    # Entries may still refer to the account.
    .with_for_update(key_share=True),
    scalar,
)
_CREDIT: Prepared[int] = Prepared(
    select(func.coalesce(func.sum(ACCOUNT.c.balance), 0)).where(
        ACCOUNT.c.kind == WALLET, ACCOUNT.c.owner == bindparam("owner")
    ),
    scalar,
)
_OPEN_WALLET = """
    INSERT INTO account (kind, owner, currency, balance) VALUES ('wallet', ?, ?, 0) ON CONFLICT DO NOTHING"""
_HELD = Prepared(
    select(ACCOUNT.c.balance, ACCOUNT.c.currency).where(
        ACCOUNT.c.kind == HOLD, ACCOUNT.c.owner == bindparam("call"), ACCOUNT.c.balance != 0
    ),
    tuple,
)


def balance(session: Session, kind: str, owner: int | str = "", currency: str | None = None) -> int:
    """Return an account's balance in minor units, or 0 if the account doesn't exist.

    With a currency, accounts in other currencies are ignored.
    """
    connection = session.connection()
    session.flush()
    named = {"kind": kind, "owner": str(owner), "currency": currency}
    total = connection.execute(_KEPT if kind in KEPT else _ADDED_UP, named).scalar_one()
    return int(total or 0)


def credit(connection: Connection, client_id: int) -> int:
    """Return a client's credit in minor units."""
    return int(_CREDIT.first(connection, {"owner": str(client_id)}) or 0)


def held(connection: Connection, call_id: str) -> tuple[int, str]:
    """Return the amount held for a call in minor units and its currency; 0 and an empty currency if nothing is held."""
    row = _HELD.first(connection, {"call": call_id})
    return (0, "") if row is None else (int(row[0]), row[1])


def all_balances(session: Session) -> list[tuple[str, str, str, int]]:
    """Return (kind, owner, currency, balance in minor units) of every account with a balance."""
    total = func.coalesce(Account.balance, func.sum(Entry.amount))
    rows = session.execute(
        select(Account.kind, Account.owner, Account.currency, total)
        .outerjoin(Entry, (Entry.account_id == Account.id) & Account.balance.is_(None))
        .group_by(Account.id, Account.kind, Account.owner, Account.currency, Account.balance)
        .having(total != 0)
        .order_by(Account.kind, Account.owner, Account.currency)
    )
    return [(kind, owner, currency, int(amount)) for kind, owner, currency, amount in rows]


def lock_wallet(connection: Connection, client_id: int, currency: str) -> int:
    """Lock a wallet until the transaction ends, and return its balance in minor units.

    Every transaction that also locks other accounts of the ledger, or free minutes, locks the wallet first. Receipts are
    locked before it.
    """
    wallet = {"owner": str(client_id), "currency": currency}
    amount = _WALLET.first(connection, wallet)
    if amount is None:
        driver_rows(connection, _OPEN_WALLET, tuple(wallet.values()))
        amount = _WALLET.first(connection, wallet)
    return int(amount or 0)
