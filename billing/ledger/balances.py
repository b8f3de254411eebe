"""Reads the balances of the ledger's accounts, in minor units; `postings` has the list of the accounts."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from taxiphone.billing.ledger.double_entry import HOLD, KEPT, WALLET
from taxiphone.store.idempotent import insert_if_new
from taxiphone.store.models import Account, Entry

_matches = (
    Account.kind == bindparam("kind"),
    Account.owner == bindparam("owner"),
    func.coalesce(bindparam("currency", type_=Account.currency.type), Account.currency) == Account.currency,
)
_KEPT = select(func.sum(Account.balance)).where(*_matches)
_ADDED_UP = select(func.sum(Entry.amount)).join(Account, Account.id == Entry.account_id).where(*_matches)
_LOCKED = select(Account.balance).where(*_matches).with_for_update()


def balance(session: Session, kind: str, owner: int | str = "", currency: str | None = None) -> int:
    """Return an account's balance in minor units, or 0 if the account doesn't exist.

    With a currency, accounts in other currencies are ignored.
    """
    connection = session.connection()
    session.flush()
    named = {"kind": kind, "owner": str(owner), "currency": currency}
    total = connection.execute(_KEPT if kind in KEPT else _ADDED_UP, named).scalar_one()
    return int(total or 0)


def held(session: Session, call_id: str) -> tuple[int, str]:
    """Return the amount held for a call in minor units and its currency; 0 and an empty currency if nothing is held."""
    session.flush()
    of_call = select(Account.balance, Account.currency).where(Account.kind == HOLD, Account.owner == call_id)
    row = session.execute(of_call.where(Account.balance != 0)).first()
    return (0, "") if row is None else (int(row.balance or 0), row.currency)


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


def lock_wallet(session: Session, client_id: int, currency: str) -> int:
    """Lock a wallet until the transaction ends, and return its balance in minor units."""
    wallet = {"kind": WALLET, "owner": str(client_id), "currency": currency}
    # Not through the session, which would write the unfinished row of the call now, and again later.
    connection = session.connection()
    amount = connection.execute(_LOCKED, wallet).scalar_one_or_none()
    if amount is None:
        insert_if_new(session, Account, [{**wallet, "balance": 0}])
        amount = connection.execute(_LOCKED, wallet).scalar_one()
    return int(amount or 0)
