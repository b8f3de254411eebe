"""What the database itself refuses: an extra entry, a sum other than zero, a change to a posting."""

import re
from typing import Any

import pytest
from sqlalchemy import event, insert, select, text
from sqlalchemy.exc import IntegrityError

from taxiphone.billing.ledger import balances, postings
from taxiphone.store.models import Account, Entry, Posting
from taxiphone.store.types import now


@pytest.fixture
def accounts(house: Any) -> list[int]:
    """Accounts: a wallet with 10.00, and top-ups with -10.00."""
    client = house.client(credit=1000)
    found = select(Account.id).where(Account.owner.in_([str(client), ""])).order_by(Account.kind.desc())
    return list(house.database.do(lambda s: s.scalars(found).all()))


def posting(number: int, key: str = "by hand") -> Any:
    return insert(Posting).values(id=number, key=key, kind="test", at=now(), memo="")


def entries(number: int, *amounts: tuple[int, int]) -> list[Any]:
    return [insert(Entry).values(posting_id=number, account_id=a, amount=m) for a, m in amounts]


def do(house: Any, *statements: Any) -> None:
    house.database.do(lambda s: [s.execute(each) for each in statements] and None)


def refused(house: Any, *statements: Any, match: str = "") -> None:
    with pytest.raises(IntegrityError, match=match):
        do(house, *statements)
    assert house.problems() == []


def test_a_posting_that_follows_entries_of_the_sum_zero_is_taken_and_moves_the_balances(
    house: Any, accounts: list[int]
) -> None:
    wallet, outside = accounts
    do(house, *entries(9, (wallet, 5), (outside, -5)), posting(9))
    assert (house.balance("wallet", 1), house.balance("top_up")) == (1005, -1005)
    assert house.problems() == []


@pytest.mark.parametrize("amounts", [[], [5], [5, -4], [5, -5, 1]])
def test_a_posting_that_does_not_sum_to_zero_over_two_entries_is_refused(
    house: Any, accounts: list[int], amounts: list[int]
) -> None:
    rows = [(accounts[index % 2], amount) for index, amount in enumerate(amounts)]
    refused(house, *entries(9, *rows), posting(9), match="sum to zero")


def test_amounts_of_two_currencies_do_not_make_up_for_each_other(house: Any, accounts: list[int]) -> None:
    dollars = house.database.do(
        lambda s: s.scalar(
            insert(Account).values(kind="top_up", currency="USD", balance=None).returning(Account.id)
        )
    )
    refused(house, *entries(9, (accounts[0], 5), (dollars, -5)), posting(9), match="sum to zero")


def test_entries_without_a_posting_do_not_outlive_the_transaction(house: Any, accounts: list[int]) -> None:
    refused(house, *entries(9, (accounts[0], 5), (accounts[1], -5)), match="(?i)foreign key")


def test_a_posting_that_is_whole_takes_no_other_entry(house: Any, accounts: list[int]) -> None:
    refused(house, *entries(1, (accounts[0], 5), (accounts[1], -5)), match="takes no other entry")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE posting SET memo = 'x'",
        "DELETE FROM posting",
        "UPDATE entry SET amount = amount * 2",
        "DELETE FROM entry",
        "UPDATE account SET owner = '7' WHERE kind = 'wallet'",
    ],
)
def test_a_posting_is_never_changed(house: Any, accounts: list[int], statement: str) -> None:
    del accounts
    refused(house, text(statement), match="never|keeps its name")


def test_postgresql_does_not_empty_the_tables_either(house: Any, accounts: list[int]) -> None:
    del accounts
    if not house.database.sqlite:  # SQLite has no TRUNCATE
        refused(house, text("TRUNCATE entry, posting CASCADE"), match="never")


def test_no_wallet_falls_below_zero_by_whatever_statement(house: Any, accounts: list[int]) -> None:
    wallet, outside = accounts
    refused(house, *entries(9, (wallet, -1001), (outside, 1001)), posting(9), match="never_negative")
    refused(house, text("UPDATE account SET balance = -1 WHERE kind = 'wallet'"), match="never_negative")


def test_a_posting_is_reversed_by_one_other_only(house: Any, accounts: list[int]) -> None:
    wallet, outside = accounts
    house.database.do(lambda s: postings.reverse(s, "top_up:1:first", "undo"))
    rows = entries(9, (wallet, 5), (outside, -5))
    refused(house, *rows, posting(9).values(reverses_id=1), match="reverses_id")


def test_the_cost_of_a_posting_does_not_grow_with_the_accounts(house: Any, accounts: list[int]) -> None:
    """Checked by the query plans: no statement scans a whole table."""
    del accounts
    statements: list[tuple[str, Any]] = []

    @event.listens_for(house.database.engine, "before_cursor_execute")
    def keep(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    def work(session: Any) -> None:
        balances.lock_wallet(session.connection(), 1, "EUR")
        postings.top_up(session, 1, 5, "EUR", "second")

    house.database.do(work)
    event.remove(house.database.engine, "before_cursor_execute", keep)
    looks = [(s, p) for s, p in statements if "SELECT" in s]
    assert len(looks) >= 4
    with house.database.engine.connect() as connection:
        if not house.database.sqlite:  # small tables are read whole, whatever indexes there are
            connection.exec_driver_sql("SET enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN " if house.database.sqlite else "EXPLAIN "
        for statement, parameters in looks:
            plan = [row[-1] for row in connection.exec_driver_sql(explain + statement, parameters)]
            whole = [step for step in plan if re.search(r"SCAN (account|posting|entry)|Seq Scan on", step)]
            assert not whole, (statement, plan)
