"""The announced price is the charged one: price changes, credit held by another call, and every end reason."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import text

from taxiphone.billing.ledger import balances, postings
from taxiphone.directory import clients, consultants, dids
from taxiphone.settings import Settings
from taxiphone.simulate.core import What
from taxiphone.speech.prompt_texts import SHIPPED
from taxiphone.speech.sentences import Speech
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Client, Consultant

OTHER, OTHER_DID = "+33639980009", "+33199001237"
PACKAGE = "client hears mode-choice: press 2"
ENDS = "talk 90: client hangs up"
TEXTS = SHIPPED.texts("en")


@pytest.fixture
def backend():
    return "sqlite"


@pytest.fixture
def settings(request, tmp_path):
    return Settings(
        platform={"cli": "+33199001200", "language": "en"},
        trunk={"host": "127.0.0.2"},
        call=getattr(request, "param", {}),
        file=tmp_path / "taxiphone.toml",
    )


def plain(sounds):
    return [sound.removeprefix("taxiphone/") for sound in sounds]


# -- a price that changed while the phone rang --------------------------------------------------------------------

AS_TOLD = {
    "price_per_minute": Decimal("1.55"),
    "package_price": Decimal(20),
    "package_minutes": 15,
    "free_minutes": 10,
}
DEARER = {
    "the minute": ("1", {"price_per_minute": Decimal("1.56")}),
    "fewer free minutes": ("1", {"free_minutes": 9}),
    "the package": ("2", {"package_price": Decimal("20.01")}),
    "a shorter package": ("2", {"package_minutes": 14}),
    "no package": ("2", {"package_price": None, "package_minutes": None}),
    "the minute after the package": ("2", {"price_per_minute": Decimal("1.56")}),
}


@pytest.mark.parametrize(("key", "columns"), DEARER.values(), ids=DEARER.keys())
async def test_a_price_that_rose_after_the_announcement_is_not_charged(
    live, ears, change, heard, database, key, columns
):
    change(Consultant, **AS_TOLD)
    heard("consultant", "accept-menu", lambda: change(Consultant, **columns))
    call = await live(f"client hears mode-choice: press {key}")
    assert (call.outcome, call.status) == (Outcome.PRICE_CHANGED, Status.CLOSED)
    assert ears.of("client")[-3:] == ["price-changed", "nothing-charged", "goodbye"]
    assert ears.of("consultant")[-1] == "not-after-all"
    assert database.read(lambda s: balances.balance(s, postings.WALLET, call.client_id)) == 5000


async def test_a_price_that_fell_after_the_announcement_is_charged(world, arrive, change, heard, row):
    heard("consultant", "accept-menu", lambda: change(Consultant, price_per_minute=Decimal("1.00")))
    call = arrive("talk 60: client hangs up")
    assert (await world.live(call)).outcome == Outcome.TALKED
    found = row(call.id)
    assert (found.billed_seconds, found.receipt.total) == (60, 100)


async def test_an_account_that_is_closed_while_the_phone_rings_pays_for_no_talk(live, ears, change, heard):
    heard("consultant", "accept-menu", lambda: change(Client, closed_at=datetime(2026, 1, 1, tzinfo=UTC)))
    call = await live()
    assert (call.outcome, call.status) == (Outcome.ACCOUNT_CLOSED, Status.CLOSED)
    assert ears.of("client")[-1] == "account-closed"
    assert ears.of("consultant")[-1] == "not-after-all"


# -- credit -------------------------------------------------------------------------------------------------------


async def test_of_two_calls_at_once_the_second_to_be_accepted_hears_the_credit_that_is_left(
    world, arrive, settings, database, ears, nothing_left
):
    def add(session):
        noa = consultants.add_consultant(
            session, settings, name="Noa", phone="+33639980022", price_per_minute=Decimal("1.55"), code="5678"
        )
        dids.add_number(session, settings, number=OTHER_DID, consultant_code=noa.code)

    database.do(add)
    quick = arrive("client hears recording-choice: press 2", "talk 120: client hangs up")
    first = asyncio.create_task(world.live(quick))
    second = arrive("consultant rings: after 25, answer", dialled=OTHER_DID)
    ended = await world.live(second)
    assert ended.outcome == Outcome.NO_CREDIT
    assert not first.done()
    heard = ears.of("client")
    no_credit = heard[len(heard) - heard[::-1].index("no-credit") - 1 :]
    assert no_credit == [
        "no-credit",
        *plain(Speech("en").credit_is(1, "EUR")),  # the other call holds the rest
        "other-call",
        "goodbye",
    ]
    assert "not-after-all" in ears.of("consultant")
    assert (await first).outcome == Outcome.TALKED
    nothing_left()


async def test_nothing_is_asked_of_asterisk_that_it_answers_only_after_a_sentence(live, world, change, ears):
    """Until it answers, it answers no other request either, of no call."""
    change(Consultant, package_price=Decimal(20), package_minutes=10)
    warning = TEXTS.templates["package-ends"][0]
    call = await live(PACKAGE, f"client hears {warning}: press 9", "talk 900: client hangs up")
    assert "ends-with-package" in ears.of("client")
    assert "ends-with-package" in ears.of("consultant")
    assert call.outcome == Outcome.TALKED
    assert world.asterisk.core.blocked == []


@pytest.mark.parametrize(
    ("credit", "warnings"),
    [(6013, ["package-ends", "time-left"]), (6010, ["time-left"])],
    ids=["5 s", "3 s"],
)
async def test_a_credit_that_ends_just_after_the_package_has_both_warnings(
    live, database, settings, change, ears, credit, warnings
):
    change(Consultant, package_price=Decimal(60), package_minutes=60)

    def add(session):
        client = clients.add_client(session, settings, name="Dee", phones=[OTHER])
        postings.top_up(session, client.id, credit, "EUR", "first")

    database.do(add)
    call = await live(PACKAGE, caller=OTHER)
    assert call.outcome == Outcome.TALKED
    speech = Speech("en")
    sentences = {
        "package-ends": speech.package_ends(60, Decimal("1.55"), "EUR", "9"),
        "time-left": speech.time_left(60),
    }
    heard = ears.of("client")

    def was_said(sounds):
        wanted = plain(sounds)
        return any(heard[at : at + len(wanted)] == wanted for at in range(len(heard)))

    assert [name for name, sounds in sentences.items() if was_said(sounds)] == warnings
    assert "credit-used-up" in heard


# -- why it ended, and what follows -------------------------------------------------------------------------------


async def test_reaching_the_clients_daily_limit_in_the_talk_is_announced_as_such(live, change, ears):
    change(Client, daily_limit=310)
    call = await live()
    assert call.max_seconds == 120
    assert "limit-used-up" in ears.of("client")
    assert "credit-used-up" not in ears.of("client")
    assert "client-credit-used-up" in ears.of("consultant")


@pytest.mark.parametrize("settings", [{"tell_after": False}], indirect=True)
async def test_where_nothing_is_told_after_a_talk_the_end_of_the_credit_is(live, ears):
    await live()
    assert ears.of("client")[-1] == "credit-used-up"
    assert ears.of("consultant")[-1] == "client-credit-used-up"


@pytest.mark.parametrize("settings", [{"tell_after": False}], indirect=True)
async def test_where_nothing_is_told_after_a_talk_nothing_is_asked(live, ears):
    await live("talk 60: consultant hangs up")
    assert not {"consultant-hung-up", "talk-lasted", "rate-offer"} & set(ears.of("client"))


async def test_a_talk_that_was_free_is_rated_too(world, arrive, change, row, ears):
    change(Consultant, free_minutes=10)
    call = arrive("talk 120: consultant hangs up", "client hears rate-offer: press 4")
    await world.live(call)
    assert (row(call.id).stars, row(call.id).receipt.total) == (4, 0)
    assert "nothing-charged" in ears.of("client")
    assert ears.of("client")[-2:] == ["thank-you", "goodbye"]


async def test_a_rating_that_could_not_be_stored_is_not_thanked_for(world, arrive, database, row, ears):
    refuse = "CREATE TRIGGER refuse BEFORE UPDATE OF stars ON call BEGIN SELECT raise(ABORT, 'no'); END"
    database.do(lambda session: session.execute(text(refuse)))
    call = arrive("talk 120: consultant hangs up", "client hears rate-offer: press 4")
    await world.live(call)
    assert row(call.id).stars is None
    assert "thank-you" not in ears.of("client")
    assert ears.of("client")[-1] == "goodbye"


@pytest.mark.parametrize("settings", [{"key_seconds": 60}], indirect=True)
async def test_a_client_who_takes_long_to_rate_is_not_cut_off(live, ears, world):
    ends = []
    world.asterisk.core.listeners.append(
        lambda happening: ends.append(happening.by) if happening.what is What.ENDED else None
    )
    call = await live(
        "client hears recording-choice: press 2",
        "client hears rate-offer: after 62, press 5",
        "talk 120: consultant hangs up",
    )
    assert call.stars == 5
    assert ears.of("client")[-1] == "goodbye"
    assert ends == ["person", "application"]


async def test_a_client_with_free_minutes_and_no_credit_hears_nothing_about_credit(
    arrive, world, change, ears, database, settings
):
    change(Consultant, free_minutes=10)
    number = "+33639980055"
    database.do(lambda session: clients.add_client(session, settings, name="Hal", phones=[number]))
    assert (await world.live(arrive(caller=number))).outcome == Outcome.TALKED
    heard = ears.of("client")
    assert "no-credit-after-free" in heard
    assert "free-minutes-over" in heard
    assert not {"credit-lasts", "credit-used-up"} & set(heard)
