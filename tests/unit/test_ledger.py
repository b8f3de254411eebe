"""Every posting sums to zero and is made at most once; no wallet and no hold becomes negative."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError

from taxiphone.billing import holds
from taxiphone.billing.announcement import AnnouncedQuote, quote_consultation
from taxiphone.billing.ledger import balances, postings
from taxiphone.billing.ledger.keys import CallKey, Purpose
from taxiphone.billing.ledger.postings import Change
from taxiphone.billing.ledger_check import check
from taxiphone.billing.pricing.money import format_money, from_minor, to_minor
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.errors import InsufficientFundsError, LedgerError, UsageError
from taxiphone.store.models import Account, Call, Client, Consultant, Entry, Posting


def eur(kind: str, owner: str, amount: int) -> Change:
    return Change(kind, owner, "EUR", amount)


def test_a_top_up_credits_the_wallet_and_the_same_key_credits_nothing_more(house: Any) -> None:
    client = house.client(credit=0)
    for _ in range(3):
        assert house.database.do(lambda s: postings.top_up(s, client, 2000, "EUR", "cheque 12")) == 2000
    assert house.database.do(lambda s: postings.top_up(s, client, 2000, "EUR", "cheque 13")) == 4000
    assert house.balance("top_up") == -4000
    assert house.problems() == []


def test_a_key_that_was_used_for_another_amount_is_refused(house: Any) -> None:
    client = house.client(credit=0)
    house.database.do(lambda s: postings.top_up(s, client, 2000, "EUR", "k"))
    with pytest.raises(LedgerError, match=r"the key k was used for a top-up of 20\.00 EUR"):
        house.database.do(lambda s: postings.top_up(s, client, 2001, "EUR", "k"))
    assert house.balance("wallet", client) == 2000


@pytest.mark.parametrize("key", ["", " ", "two\nlines", "k" * 51])
def test_a_top_up_without_a_usable_key_is_refused(house: Any, key: str) -> None:
    client = house.client(credit=0)
    with pytest.raises(UsageError, match="a key is one line"):
        house.database.do(lambda s: postings.top_up(s, client, 2000, "EUR", key))
    assert house.balance("wallet", client) == 0


def test_a_posting_that_failed_leaves_no_entries_for_the_next_one(sqlite_house: Any) -> None:
    """Its number is given to the next posting, which would otherwise contain the entries too."""
    client = sqlite_house.client()

    def work(session: Any) -> None:
        with pytest.raises(IntegrityError):
            postings.hold(session.connection(), CallKey("261122-nosuch", Purpose.HOLD), client, 100, "EUR")
        postings.top_up(session, client, 5, "EUR", "second")

    sqlite_house.database.do(work)
    assert sqlite_house.balance("wallet", client) == 10_005
    assert sqlite_house.balance("hold", "261122-nosuch") == 0
    assert sqlite_house.problems() == []


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [eur("a", "", 5)],
        [eur("a", "", 5), eur("b", "", -4)],
        [eur("a", "", 5), Change("b", "", "USD", -5)],
        [eur("a", "", 0), eur("b", "", 0)],
        [eur("a", "", 5), eur("a", "", -5)],
        [eur("a", "", 1.5), eur("b", "", -1.5)],  # type: ignore[arg-type]
    ],
)
def test_an_unbalanced_posting_is_refused(house: Any, changes: list[Change]) -> None:
    with pytest.raises(LedgerError):
        house.database.do(lambda s: postings.post(s, "key", "test", changes))
    assert house.database.do(lambda s: s.scalar(select(func.count()).select_from(Posting))) == 0


def test_a_refused_posting_leaves_nothing_in_the_continuing_transaction(house: Any) -> None:
    client = house.client(credit=100)

    def work(session: Any) -> None:
        with pytest.raises(InsufficientFundsError):
            postings.post(
                session,
                "too much",
                "test",
                [eur("commission", "", 101), eur("wallet", str(client), -101)],
            )
        postings.top_up(session, client, 1, "EUR", "second")

    house.database.do(work)
    assert house.balance("wallet", client) == 101
    assert house.balance("commission") == 0
    assert house.problems() == []


@profile(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.integers(1, 500)), max_size=15
    )
)
def test_whatever_is_posted_the_ledger_balances_and_nothing_is_negative(
    house: Any, steps: list[tuple[str, str, int]]
) -> None:
    class Undo(Exception): ...  # noqa: N818 - not an error

    def work(session: Any) -> None:
        postings.post(session, "seed", "test", [eur("wallet", "a", 1000), eur("top_up", "", -1000)])
        for number, (source, target, amount) in enumerate(steps):
            if source != target:
                changes = [eur("wallet", source, -amount), eur("wallet", target, amount)]
                try:
                    postings.post(session, f"step {number}", "test", changes)
                except InsufficientFundsError:
                    assert balances.balance(session, "wallet", source) < amount
        assert sum(balances.balance(session, "wallet", owner) for owner in "abc") == 1000
        assert check(session) == []
        raise Undo

    with pytest.raises(Undo):
        house.database.do(work)


def unguarded(statement: Any) -> Callable[[Any], Any]:
    """Changes that are possible only after removing the database's triggers."""

    def harm(session: Any) -> None:
        if session.get_bind().dialect.name == "sqlite":
            session.execute(text("DROP TRIGGER entry_never_changed"))
        else:
            session.execute(text("ALTER TABLE entry DISABLE TRIGGER USER"))
        session.execute(statement)

    return harm


@pytest.mark.parametrize(
    ("what", "harm"),
    [
        ("balance", lambda s: s.execute(update(Account).where(Account.kind == "wallet").values(balance=7))),
        ("unbalanced", unguarded(update(Entry).where(Entry.amount < 0).values(amount=-1))),
        ("unpriced", lambda s: s.execute(update(Call).values(status="rated"))),
        ("held", lambda s: s.execute(update(Call).values(status="closed"))),
    ],
)
def test_the_check_names_what_is_wrong(house: Any, what: str, harm: Callable[[Any], Any]) -> None:
    house.call(house.client(), house.consultant())
    assert house.problems() == []
    house.database.do(harm)
    assert what in house.problems()


# -- reversals --------------------------------------------------------------------------------------------------------


def test_a_reversal_is_the_mirror_image_and_is_made_once(house: Any) -> None:
    client = house.client(credit=0)
    house.database.do(lambda s: postings.top_up(s, client, 500, "EUR", "wrong"))
    key = f"top_up:{client}:wrong"
    first = house.database.do(lambda s: postings.reverse(s, key, "undo", "keyed in twice"))
    again = house.database.do(lambda s: postings.reverse(s, key, "undo"))
    assert (first.id, first.kind, first.memo) == (again.id, "reversal", "keyed in twice")
    assert (house.balance("wallet", client), house.balance("top_up")) == (0, 0)
    with pytest.raises(LedgerError, match="reversed before, by undo"):
        house.database.do(lambda s: postings.reverse(s, key, "undo twice"))
    with pytest.raises(LedgerError, match="is a reversal itself"):
        house.database.do(lambda s: postings.reverse(s, "undo", "redo"))
    with pytest.raises(LedgerError, match="no posting nothing"):
        house.database.do(lambda s: postings.reverse(s, "nothing", "undo nothing"))
    assert house.problems() == []


def test_credit_spent_since_can_not_be_reversed(house: Any) -> None:
    client = house.client(credit=500)
    house.call(client, house.consultant("5.00"))
    with pytest.raises(InsufficientFundsError):
        house.database.do(lambda s: postings.reverse(s, f"top_up:{client}:first", "undo"))
    assert house.problems() == []


# -- what is held -----------------------------------------------------------------------------------------------------


def test_an_accepted_call_holds_what_the_credit_pays_for_and_the_wallet_keeps_the_rest(house: Any) -> None:
    # 20.00 EUR at 1.55: 774 s cost 19.995, so 20.00 half up; 775 s cost 20.02.
    client, consultant = house.client(credit=2000), house.consultant()
    call = house.get(house.call(client, consultant))
    assert call.max_seconds == 774
    assert house.balance("hold", call.id) == 2000
    assert house.balance("wallet", client) == 0
    assert from_json(call.tariff).segments[0].price_per_minute == Decimal("1.55")


def test_a_hold_never_exceeds_the_longest_call_that_the_settings_allow(house: Any) -> None:
    client, consultant = house.client(credit=1_000_000), house.consultant("1.00")
    call = house.get(house.call(client, consultant))
    assert call.max_seconds == 180 * 60
    assert house.balance("hold", call.id) == 18_000


def test_the_fee_of_a_recording_is_held_too(house: Any) -> None:
    client, consultant = house.client(credit=1000), house.consultant("1.00", recording_allowed=True)
    call = house.get(house.call(client, consultant, recorded=True))
    assert call.max_seconds == 5 * 60
    assert house.balance("hold", call.id) == 1000


def test_two_concurrent_calls_can_not_hold_the_same_money(house: Any) -> None:
    client, consultant = house.client(credit=500), house.consultant("1.00")
    house.call(client, consultant)
    with pytest.raises(InsufficientFundsError, match=r"7001 has 0\.00 EUR, but 1\.00 EUR"):
        house.call(client, consultant)
    assert house.problems() == []


def test_of_many_calls_accepted_at_once_only_those_that_the_wallet_pays_for_are_held(
    house: Any,
) -> None:
    settings = house.settings.model_copy(
        update={"call": house.settings.call.model_copy(update={"longest_minutes": 1})}
    )
    house.settings = settings
    client, consultant = house.client(credit=350), house.consultant("1.00")
    calls = [house.call(client, consultant, accept=False) for _ in range(8)]
    gate = threading.Barrier(len(calls))

    def accept(call_id: str) -> bool:
        gate.wait()
        try:
            house.database.do(lambda s: holds.accept(s.connection(), settings, call_id))
        except InsufficientFundsError:
            return False
        return True

    with ThreadPoolExecutor(len(calls)) as pool:
        assert sum(pool.map(accept, calls)) == 3
    assert house.balance("wallet", client) == 50
    assert house.problems() == []


def test_a_call_that_is_over_holds_nothing(house: Any) -> None:
    client, consultant = house.client(), house.consultant()
    call_id = house.call(client, consultant, accept=False)
    house.database.do(lambda s: setattr(s.get_one(Call, call_id), "status", "closed"))
    with pytest.raises(LedgerError, match="over already"):
        house.database.do(lambda s: holds.accept(s.connection(), house.settings, call_id))
    assert house.balance("wallet", client) == 10_000


def test_accepting_the_same_call_again_holds_nothing_more(house: Any) -> None:
    client, consultant = house.client(), house.consultant()
    call_id = house.call(client, consultant)
    again = house.database.do(lambda s: holds.accept(s.connection(), house.settings, call_id))
    assert again.max_seconds == house.get(call_id).max_seconds
    assert house.balance("wallet", client) + house.balance("hold", call_id) == 10_000


def test_the_tariff_of_an_accepted_call_does_not_follow_a_new_price(house: Any) -> None:
    client, consultant = house.client(), house.consultant()
    call_id = house.call(client, consultant)
    house.database.do(lambda s: setattr(s.get_one(Consultant, consultant), "price_per_minute", Decimal(9)))
    again = house.database.do(lambda s: holds.accept(s.connection(), house.settings, call_id))
    assert again.tariff.segments[0].price_per_minute == Decimal("1.55")


def test_too_little_credit_for_first_minute_and_package_is_announced_before_the_price(house: Any) -> None:
    client = house.client(credit=154)
    consultant = house.consultant(package_price=Decimal(1), package_minutes=10)

    def ask(session: Any) -> AnnouncedQuote:
        who = session.get_one(Client, client), session.get_one(Consultant, consultant)
        return quote_consultation(session.connection(), house.settings, *who)

    offered = house.database.do(ask)
    assert offered.affordable == {"package"}
    assert not offered.pays_for_recording("package")
    assert offered.lasts_seconds == 59
    assert offered.recording_fee is None
    with pytest.raises(InsufficientFundsError):
        house.call(client, consultant)


def test_free_minutes_are_offered_to_a_new_client_and_not_twice_at_once(house: Any) -> None:
    client, consultant = house.client(), house.consultant(free_minutes=10)

    def ask(session: Any) -> int:
        who = session.get_one(Client, client), session.get_one(Consultant, consultant)
        return int(quote_consultation(session.connection(), house.settings, *who).free_minutes)

    assert house.database.do(ask) == 10
    call = house.get(house.call(client, consultant))
    assert [s.start for s in from_json(call.tariff).segments] == [0, 600]
    assert house.database.do(ask) == 0


# -- amounts ----------------------------------------------------------------------------------------------------------


def test_amounts_are_exact_or_refused() -> None:
    assert to_minor(Decimal("1.55"), 2) == 155
    assert to_minor(Decimal("1.550"), 2) == 155
    assert to_minor(Decimal(7), 0) == 7
    assert str(from_minor(150, 2)) == "1.50"
    assert str(from_minor(7, 0)) == "7"
    with pytest.raises(UsageError, match="more decimals"):
        to_minor(Decimal("1.555"), 2)
    with pytest.raises(UsageError):
        to_minor(Decimal("NaN"), 2)
    with pytest.raises(TypeError):
        to_minor(1.5, 2)  # type: ignore[arg-type]


def test_amounts_are_written_as_the_language_does() -> None:
    assert format_money(123_456, "EUR", "fr").replace("\u202f", " ").replace("\xa0", " ") == "1 234,56 €"
    assert format_money(155, "EUR", "en") == "€1.55"
    assert format_money(500, "JPY", "en") == "¥500"
