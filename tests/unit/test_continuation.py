"""A talk continued after the line dropped is one consultation, and nothing is paid twice."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from taxiphone.billing import continuation, holds
from taxiphone.billing.announcement import AnnouncedQuote, quote_continuation
from taxiphone.billing.ledger import postings
from taxiphone.billing.may_continue import may_be_continued
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.papers import statements
from taxiphone.billing.papers.paper_words import WORDS
from taxiphone.billing.papers.receipt_paper import receipt_paper, receipt_text
from taxiphone.billing.papers.receipts import client_receipt
from taxiphone.billing.papers.statement_paper import statement_paper
from taxiphone.billing.rating import settle_recording
from taxiphone.billing.rerating import rerate
from taxiphone.billing.summary import call_summary
from taxiphone.billing.what_if import Period, changed
from taxiphone.billing.what_if import run as what_if
from taxiphone.commands.call import call as call_command
from taxiphone.errors import InsufficientFundsError, LedgerError, LimitReachedError
from taxiphone.store.calls import Status
from taxiphone.store.models import Call, Client, Consultant, Recording

START = 1_763_846_400
CUT, NORMAL = 41, 16
CLIENT_HANGUP = 7  # row of `house.talk`


def talk(house: Any, call_id: str, seconds: str, *, cause: int = CUT) -> Call:
    rows = house.talk(call_id, seconds, at=START + 10_000 * house.calls)
    rows[CLIENT_HANGUP] = rows[CLIENT_HANGUP].replace('hangupcause"": 16', f'hangupcause"": {cause}')
    house.write(*rows)
    Meter(house.settings, house.database).read_once()
    assert house.problems() == []
    found: Call = house.get(call_id)
    return found


def go_on(house: Any, cut: str, *, recorded: bool = False, accept: bool = True, consultant: int = 1) -> str:
    """Create a call that continues `cut`, in the state after the consultant has accepted."""
    call_id: str = house.call(1, consultant, accept=False)

    def work(session: Any) -> None:
        call = session.get_one(Call, call_id)
        call.continues_id, call.recording_asked = cut, recorded
        session.flush()
        if accept:
            holds.accept(session.connection(), house.settings, call.id)
            call.status = Status.TALKING
        if recorded:
            session.add(Recording(call_id=call_id, status="asked", wav=f"{call_id}.wav"))

    house.database.do(work)
    return call_id


def begin(house: Any, seconds: str, credit: int = 20_000, mode: str = "per_minute", **fields: Any) -> str:
    recorded = fields.pop("recorded", False)
    price = fields.pop("price", "1.55")
    first: str = house.call(
        house.client(credit), house.consultant(price, **fields), mode=mode, recorded=recorded
    )
    talk(house, first, seconds)
    return first


def interrupted(house: Any, at: datetime) -> str | None:
    def work(session: Any) -> str | None:
        client = session.get_one(Client, 1)
        found = continuation.interrupted(session, house.settings, client, at)
        return None if found is None else f"{found.id} {found.consultant.name}"

    answer: str | None = house.database.read(work)
    return answer


def totals(house: Any, *calls: str) -> list[int]:
    return [house.get(call_id).receipt.total for call_id in calls]


def settle(house: Any, call_id: str, *, ready: bool) -> None:
    house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=ready))
    assert house.problems() == []


def ended(house: Any, call_id: str) -> datetime:
    found: datetime = house.get(call_id).talk_to
    return found


# -- which call may go on -----------------------------------------------------------------------------------------


def test_a_client_has_something_to_continue_only_after_a_dropped_line_or_while_a_call_is_not_priced(
    house: Any,
) -> None:
    def may_continue(but: str = "none") -> bool:
        found: bool = house.database.read(lambda session: may_be_continued(session.connection(), 1, but))
        return found

    first = house.call(house.client(20_000), house.consultant())
    assert may_continue(), "it is not priced yet"
    assert not may_continue(but=first)
    talk(house, first, "60")
    assert may_continue(), "its line dropped"
    house.database.do(lambda session: setattr(session.get_one(Call, first), "dropped", False))
    assert not may_continue()


@pytest.mark.parametrize(("seconds", "found"), [(0, True), (300, True), (300.000001, False), (86_400, False)])
def test_a_dropped_call_can_be_continued_for_five_minutes(house: Any, seconds: float, found: bool) -> None:
    first = begin(house, "60")
    at = ended(house, first) + timedelta(seconds=seconds)
    assert interrupted(house, at) == (f"{first} Anne" if found else None)


@pytest.mark.parametrize("cause", [0, 16, 31])
def test_a_talk_that_was_ended_on_purpose_can_not_be_continued(house: Any, cause: int) -> None:
    call_id = house.call(house.client(), house.consultant())
    assert not talk(house, call_id, "60", cause=cause).dropped
    assert interrupted(house, ended(house, call_id)) is None


def test_only_the_latest_talk_can_be_continued_and_only_once(house: Any) -> None:
    first = begin(house, "60")
    at = ended(house, first)
    came_to_nothing = go_on(house, first)
    assert interrupted(house, at) is None  # it goes on just now
    rows = house.talk(came_to_nothing)
    house.write(rows[0], *rows[7:9])
    Meter(house.settings, house.database).read_once()
    assert house.get(came_to_nothing).status == Status.CLOSED
    assert interrupted(house, at) == f"{first} Anne"
    second = go_on(house, first)
    talk(house, second, "60")
    assert interrupted(house, ended(house, second)) == f"{second} Anne"
    other = house.call(1, house.consultant(code="102"))
    talk(house, other, "60", cause=NORMAL)
    assert interrupted(house, ended(house, other)) is None
    assert house.problems() == []


def test_a_silence_that_was_not_billed_does_not_shorten_the_five_minutes(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant())
    house.database.do(lambda s: s.execute(update(Call).values(rtp_timeout=240)))
    found = talk(house, call_id, "300", cause=44)
    assert found.billed_seconds == 60
    assert interrupted(house, found.talk_to + timedelta(seconds=240 + 299)) == f"{call_id} Anne"


def test_no_minutes_in_the_settings_means_never(house: Any) -> None:
    first = begin(house, "60")
    call = house.settings.call.model_copy(update={"resume_minutes": 0})
    house.settings = house.settings.model_copy(update={"call": call})
    assert interrupted(house, ended(house, first) + timedelta(seconds=1)) is None


# -- what it costs ------------------------------------------------------------------------------------------------


def test_the_package_is_not_paid_twice_and_goes_on_per_minute_after_its_end(house: Any) -> None:
    first = begin(house, "3000", mode="package", package_price=Decimal(60), package_minutes=60)
    second = go_on(house, first)
    call = talk(house, second, "660", cause=NORMAL)
    assert totals(house, first, second) == [6000, 155]
    assert (call.mode, call.billed_seconds) == ("package", 660)
    assert [line["what"] for line in call.receipt.lines] == ["fee", "included", "talk", "earlier"]
    assert house.balance(postings.WALLET, 1) == 20_000 - 6155
    assert house.balance(postings.EARNINGS, 1) == 6155 - 1847  # 30 % of 61.55 is 18.465
    due = house.database.read(lambda s: call_summary(s.connection(), second))
    # Of the whole consultation, as it is told to both.
    assert (due.seconds, due.total, due.share, due.network_fault) == (3660, 6155, 6155 - 1847, False)


def test_a_part_within_the_package_costs_nothing_and_needs_no_credit(house: Any) -> None:
    first = begin(house, "600", credit=6000, mode="package", package_price=Decimal(60), package_minutes=60)
    second = go_on(house, first)
    assert (house.get(second).max_seconds, house.balance(postings.HOLD, second)) == (3000, 0)
    call = talk(house, second, "3100", cause=NORMAL)
    assert (call.receipt.total, call.billed_seconds) == (0, 3000)
    assert call.review is not None  # Asterisk should have cut it at 3000 s


def test_the_seconds_add_up_exactly_and_are_rounded_up_once(house: Any) -> None:
    first = begin(house, "30.4")
    second = go_on(house, first)
    talk(house, second, "29.6", cause=NORMAL)
    assert totals(house, first, second) == [80, 75]
    assert [house.get(each).billed_seconds for each in (first, second)] == [31, 29]


def test_free_minutes_count_on_the_sum_and_stay_with_the_first_call(house: Any) -> None:
    first = begin(house, "400", free_minutes=10)
    second = go_on(house, first)
    assert talk(house, second, "260").receipt.total == 155
    third = go_on(house, second)
    assert talk(house, third, "60", cause=NORMAL).receipt.total == 155


def test_free_minutes_released_by_a_short_first_part_are_claimed_by_the_second(house: Any) -> None:
    first = begin(house, "20", free_minutes=10)
    second = go_on(house, first)
    assert talk(house, second, "580", cause=NORMAL).receipt.total == 0
    later = house.call(1, 1)
    assert talk(house, later, "60", cause=NORMAL).receipt.total == 155


def test_free_minutes_claimed_by_another_call_are_not_used_twice(house: Any) -> None:
    first = begin(house, "20", free_minutes=10)
    other = house.call(1, 1)
    talk(house, other, "60", cause=NORMAL)
    second = go_on(house, first)
    assert talk(house, second, "40", cause=NORMAL).receipt.total == 155  # 20 + 40 s


def test_a_part_that_could_not_be_heard_counts_nothing_and_may_go_on(house: Any) -> None:
    call_id = house.call(house.client(20_000), house.consultant(free_minutes=1))
    house.database.do(lambda s: s.execute(update(Call).values(fault="one-way audio")))
    first = talk(house, call_id, "600", cause=NORMAL)
    assert first.dropped
    second = go_on(house, call_id)
    assert talk(house, second, "120", cause=NORMAL).receipt.total == 155
    due = house.database.read(lambda s: call_summary(s.connection(), second))
    assert due.seconds == 120


def test_two_short_parts_of_a_package_are_no_fault_of_the_network_together(house: Any) -> None:
    first = begin(house, "20", mode="package", package_price=Decimal(60), package_minutes=60)
    second = go_on(house, first)
    talk(house, second, "5")
    third = go_on(house, second)
    talk(house, third, "5", cause=NORMAL)
    assert totals(house, first, second, third) == [0, 0, 6000]


@pytest.mark.parametrize(("credit", "minutes"), [(155 + 155, 1), (155 + 3 * 155, 3)])
def test_it_lasts_as_long_as_the_remaining_credit_pays_for(house: Any, credit: int, minutes: int) -> None:
    first = begin(house, "60", credit=credit)
    second = go_on(house, first)
    assert house.get(second).max_seconds == minutes * 60
    assert talk(house, second, "3000").receipt.total == minutes * 155
    assert house.balance(postings.WALLET, 1) == 0


def test_credit_and_limit_must_pay_for_the_next_minute(house: Any) -> None:
    first = begin(house, "60", credit=309)
    with pytest.raises(InsufficientFundsError):
        go_on(house, first)
    house.database.do(lambda s: postings.top_up(s, 1, 10_000, "EUR", "more"))
    house.database.do(lambda s: s.execute(update(Client).values(daily_limit=309)))
    with pytest.raises(LimitReachedError):
        go_on(house, first)

    def quoted(session: Any) -> AnnouncedQuote:
        client, dropped = session.get_one(Client, 1), session.get_one(Call, first)
        return quote_continuation(session.connection(), house.settings, client, dropped)

    shown = house.database.read(quoted)
    assert (shown.earlier.seconds, shown.limit_left, shown.affordable) == (60, 154, frozenset())
    house.database.do(lambda s: s.execute(update(Client).values(daily_limit=310)))
    shown = house.database.read(quoted)
    assert (shown.lasts_seconds, shown.affordable) == (60, {"per_minute"})
    assert house.get(go_on(house, first)).max_seconds == 60


def test_what_was_agreed_at_first_holds_though_the_consultant_is_dearer_now(house: Any) -> None:
    first = begin(house, "60")
    house.database.do(lambda s: s.execute(update(Consultant).values(price_per_minute=Decimal(9))))
    assert talk(house, go_on(house, first), "60").receipt.total == 155


def test_the_answer_names_what_was_talked_before_and_is_the_same_when_asked_again(house: Any) -> None:
    second = go_on(house, begin(house, "59.5"))
    again = house.database.do(lambda s: holds.accept(s.connection(), house.settings, second))
    assert (again.talked_seconds, again.max_seconds) == (60, house.get(second).max_seconds)
    assert house.balance(postings.WALLET, 1) + house.balance(postings.HOLD, second) == 20_000 - 155
    assert house.problems() == []


def test_only_a_dropped_talk_of_the_same_two_can_be_continued(house: Any) -> None:
    first = begin(house, "60")
    with pytest.raises(LedgerError, match="of the same two"):
        go_on(house, first, consultant=house.consultant(code="102"))
    second = go_on(house, first)
    with pytest.raises(LedgerError, match=f"is continued by call {second}"):
        go_on(house, first)
    talk(house, second, "60", cause=NORMAL)
    with pytest.raises(LedgerError, match="whose line dropped"):
        go_on(house, second)
    assert house.problems() == []


def test_only_one_of_two_concurrent_calls_continues_the_talk(house: Any) -> None:
    first = begin(house, "60", credit=100_000)
    calls = [go_on(house, first, accept=False) for _ in range(4)]
    gate = threading.Barrier(len(calls))

    def accept(call_id: str) -> str:
        gate.wait()
        try:
            house.database.do(lambda s: holds.accept(s.connection(), house.settings, call_id))
        except LedgerError as error:
            return type(error).__name__
        return "accepted"

    with ThreadPoolExecutor(len(calls)) as pool:
        assert sorted(pool.map(accept, calls)) == [*["LedgerError"] * 3, "accepted"]


# -- recordings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_ready", ["before", "after", "never"])
def test_the_recording_is_paid_once_whenever_it_is_ready_and_the_shares_are_those_of_the_whole(
    house: Any, first_ready: str
) -> None:
    billing = house.settings.billing.model_copy(
        update={"vat": Decimal("0.20"), "commission": Decimal("0.333"), "recording_fee": Decimal("5.01")}
    )
    house.settings = house.settings.model_copy(update={"billing": billing})
    first = begin(house, "61", recorded=True, recording_allowed=True)
    if first_ready == "before":
        settle(house, first, ready=True)
    second = go_on(house, first, recorded=True)
    talk(house, second, "67")
    if first_ready != "before":
        settle(house, first, ready=first_ready == "after")
    settle(house, second, ready=True)
    receipts = [house.get(each).receipt for each in (first, second)]
    fee = 0 if first_ready == "never" else 501
    total = sum(each.total for each in receipts)
    assert total == 331 + fee  # 128 s x 1.55 / 60 = 3.3067
    # half up of 33.3 % and of 20 / 120, by whole numbers
    assert sum(each.commission for each in receipts) == (2 * total * 333 + 1000) // 2000
    assert sum(each.vat for each in receipts) == total - (2 * total * 5 + 6) // 12
    assert [house.balance(postings.HOLD, each) for each in (first, second)] == [0, 0]


def test_a_recording_that_failed_in_the_first_part_is_paid_with_the_second(house: Any) -> None:
    first = begin(house, "60", recorded=True, recording_allowed=True)
    settle(house, first, ready=False)
    second = go_on(house, first, recorded=True)
    talk(house, second, "60", cause=NORMAL)
    settle(house, second, ready=True)
    assert totals(house, first, second) == [155, 655]


# -- properties ---------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_talk_that_drops_anywhere_costs_what_it_costs_in_one_piece(house: Any, data: st.DataObject) -> None:
    """Compares the parts of one client with an uninterrupted talk of another client with the same consultant."""
    number = house.calls
    fields: dict[str, Any] = {"free_minutes": data.draw(st.integers(0, 3))}
    mode = data.draw(st.sampled_from(["per_minute", "package"]))
    if mode == "package":
        fields |= {"package_price": Decimal("12.34"), "package_minutes": 2}
    milliseconds = data.draw(st.integers(2, 400_000))
    cuts = data.draw(st.sets(st.integers(1, milliseconds - 1), max_size=3))
    consultant = house.consultant("1.07", code=f"1{number}", **fields)
    cut_client, whole_client = (house.client(50_000, code=f"{digit}{number}") for digit in (7, 8))

    parts, before = [], None
    for begun, ends in pairwise([0, *sorted(cuts), milliseconds]):
        call_id = house.call(cut_client, consultant, accept=before is None, mode=mode)
        if before is not None:

            def accept(session: Any, call_id: str = call_id, before: str = before) -> None:
                call = session.get_one(Call, call_id)
                call.continues_id = before
                session.flush()
                holds.accept(session.connection(), house.settings, call.id)
                call.status = Status.TALKING

            house.database.do(accept)
        talk(house, call_id, f"{ends - begun}e-3")
        parts.append(house.get(call_id).receipt)
        before = call_id
    whole_id = house.call(whole_client, consultant, mode=mode)
    whole = talk(house, whole_id, f"{milliseconds}e-3").receipt
    for name in ("total", "commission", "consultant_share", "vat"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name)
    assert house.balance(postings.WALLET, cut_client) == house.balance(postings.WALLET, whole_client) >= 0


# -- what is shown ------------------------------------------------------------------------------------------------


@pytest.fixture
def chain(house: Any) -> tuple[str, str]:
    first = begin(house, "3000", mode="package", package_price=Decimal(60), package_minutes=60)
    second = go_on(house, first)
    talk(house, second, "660", cause=NORMAL)
    return first, second


@pytest.mark.parametrize("language", sorted(WORDS))
def test_the_receipt_shows_what_was_paid_before_the_line_dropped(
    house: Any, chain: tuple[str, str], language: str
) -> None:
    first, second = chain
    house.database.do(lambda s: s.execute(update(Client).values(language=language)))
    text = house.database.read(lambda s: receipt_text(s, house.settings, second))
    amount = {"fr": "-60,00", "en": "-€60.00"}[language]
    assert WORDS[language]["earlier"] in text
    assert amount in text
    assert WORDS[language]["continues"].format(call=first) in text
    paper = house.database.read(lambda s: receipt_paper(s, house.settings, second))
    rows = [cell for row in paper.tables[0].rows for cell in row]
    assert WORDS[language]["earlier"] in rows
    assert any(amount in cell for cell in rows)
    shown = house.database.read(lambda s: client_receipt(s, second))
    assert (shown["continues"], shown["lines"][-1]["amount"], shown["total"]) == (
        first,
        Decimal("-60.00"),
        Decimal("1.55"),
    )
    assert house.database.read(lambda s: client_receipt(s, first))["continues"] is None


def test_the_statement_says_with_which_call_it_goes_on(house: Any, chain: tuple[str, str]) -> None:
    first, second = chain
    today = datetime.now(UTC).date()

    def work(session: Any) -> Any:
        who = session.get_one(Consultant, 1)
        span = today - timedelta(days=1), today + timedelta(days=1)
        return statements.statement(session, who, "EUR", *(date.fromisoformat(str(day)) for day in span))

    found = house.database.read(work)
    assert [line.continues for line in found.calls] == [None, first]
    assert sum(line.share for line in found.calls) == house.balance(postings.EARNINGS, 1)
    rows = [cell for row in statement_paper(house.settings, found).tables[0].rows for cell in row]
    assert WORDS["fr"]["entry_continued"].format(call=second, earlier=first) in rows


def test_the_explanation_shows_the_sum_of_the_parts(house: Any, chain: tuple[str, str]) -> None:
    first, second = chain
    app = house.app
    story = json.loads(CliRunner().invoke(call_command, ["explain", second, "--json"], obj=app).stdout)
    what = [step["what"] for step in story["steps"]]
    assert "difference" not in what
    assert (what[0], story["continues"], story["total"]) == ("continues", first, "1.55")
    text = " ".join(CliRunner().invoke(call_command, ["explain", second], obj=app).stdout.split())
    assert f"Continues call {first}, which was cut off: 3000.000000 s there" in text
    assert (
        "Already paid for the consultation: 60.00. The talk in this call costs 61.55 - 60.00 = 1.55 EUR."
        in text
    )
    shown = json.loads(CliRunner().invoke(call_command, ["show", first, "--json"], obj=app).stdout)
    assert shown["dropped"] is True


def test_a_part_is_rerated_only_if_no_later_part_depends_on_it(house: Any, chain: tuple[str, str]) -> None:
    first, second = chain
    with pytest.raises(LedgerError, match="another call continues"):
        house.database.do(lambda s: rerate(s, s.get_one(Call, first)))
    assert not house.database.do(lambda s: rerate(s, s.get_one(Call, second))).changed
    heard = house.get(second).talk_from + timedelta(seconds=630)
    house.database.do(lambda s: s.execute(update(Call).where(Call.id == second).values(heard_until=heard)))
    done = house.database.do(lambda s: rerate(s, s.get_one(Call, second), "silence"))
    assert (done.before, done.receipt.total) == (155, 78)  # 30 s beyond the package: 0.775
    assert house.problems() == []
    assert house.balance(postings.WALLET, 1) == 20_000 - 6078


@pytest.mark.usefixtures("chain")
def test_what_if_takes_the_parts_for_one_consultation(house: Any) -> None:
    always = Period(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC), "EUR")
    found = house.database.read(lambda s: what_if(s, always, changed({"fee": "70"})))
    assert (found.calls, found.now.revenue, found.then.revenue) == (2, 6155, 7155)
    same = house.database.read(lambda s: what_if(s, always, changed({})))
    assert same.now == same.then
