"""Whole simulated calls play exactly the prompts of docs/call-flow.md, in its order."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from decimal import Decimal
from itertools import dropwhile
from pathlib import Path

import pytest

from taxiphone.ari_app import consultation
from taxiphone.ari_app.endings import OUTCOMES
from taxiphone.billing.ledger import daily_limit, postings
from taxiphone.directory import clients, consultants, dids, pins
from taxiphone.errors import LedgerError
from taxiphone.settings import Settings
from taxiphone.speech.prompt_texts import SHIPPED
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Client, Consultant

OWN_DID, SHARED_DID, PACKAGE_DID = "+33199001234", "+33199001235", "+33199001236"
BLOCKED, POOR, DEE, EVE = "+33639980003", "+33639980004", "+33639980005", "+33639980006"
FAY, GUS, HAL = "+33639980007", "+33639980008", "+33639980009"
PIN = "480257"
HOUR = 3600
TEXT = (Path(__file__).parents[2] / "docs" / "call-flow.md").read_text(encoding="utf-8")
TEXTS = SHIPPED.texts("en")
ANY_ORDER = "9 and 10. The talk"
PIECES = {
    piece: template
    for template, pieces in TEXTS.templates.items()
    for piece in pieces
    if not piece.startswith("{")
}
ENDS_SOON = TEXTS.templates["package-ends"][0]
# Said where there is no consultation: by Asterisk, by a program that stops.
NEVER_HEARD_HERE = {"unavailable", "all-lines-busy"}


NOT_LIVED_HERE = {
    ("identify", Outcome.TOO_MANY_CALLS),
    ("offer_continuation", Outcome.UNAVAILABLE),
    ("offer_continuation", Outcome.NO_CREDIT),
    ("offer_continuation", Outcome.LIMIT_REACHED),
    ("reach", Outcome.TOO_MANY_CALLS),
    ("agree", Outcome.NO_CREDIT),
    ("agree", Outcome.ACCOUNT_CLOSED),
    ("agree", Outcome.LIMIT_REACHED),
    ("bridge", Outcome.NOT_ACCEPTED),
}
"""Outcomes that a step declares and that no call below ends with; most are lived in test_edges_*.py and test_left_behind.py."""


def told(who):
    """Yield the section and name of each prompt that this person hears according to the document."""
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        section = part.partition("\n")[0]
        for heading, rows in re.findall(
            r"^\| prompt \| (.*?) hears? \| when \|\n\| --- .*\n((?:\|.*\n)+)", part, re.MULTILINE
        ):
            if heading in {f"the {who}", "both"}:
                for name in re.findall(r"^\| `([^`]+)`", rows, re.MULTILINE):
                    yield section, name


CLIENT, CONSULTANT = list(told("client")), list(told("consultant"))
AGAIN = {ANY_ORDER} | {
    part.partition("\n")[0]
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)
    if re.search(r"\| (`code_tries` \(\d+\)|[2-9]) \|", part)
}
"""Sections of which a question is asked more than once."""


def prompts_of(sounds):
    """Return the prompts among the sounds. A template counts as one prompt, however many sounds it has."""
    found = []
    for sound in sounds:
        name = PIECES.get(sound, sound)
        clip = TEXTS.clips.get(sound)
        if clip is None or not clip.is_prompt:
            continue
        if name not in TEXTS.templates or found[-1:] != [name]:
            found.append(name)
    return found


def out_of_order(heard, document):
    """Return the first prompt that isn't in the document's order, with the one before it; None if all are.

    What is heard may leave out what the document has. Only a step that asks again goes back, to a prompt of its own.
    """
    place, here = -1, None
    for before, name in zip(["", *heard], heard, strict=False):
        places = [at for at, (_, each) in enumerate(document) if each == name]
        ahead = [at for at in places if at > place]
        of_this_step = [at for at in places if document[at][0] == here]
        found = [
            *(at for at in of_this_step if at > place),
            *(of_this_step if here in AGAIN else ()),
            *ahead,
        ]
        if not found:
            return before, name
        place, here = found[0], document[found[0]][0]
    return None


class Heard:
    """What was heard in all calls, and where it differed from the document."""

    def __init__(self):
        self.client, self.consultant, self.wrong = set(), set(), []

    def listen(self, call, ears):
        for who, sounds in ears.heard.items():
            heard, document = prompts_of(sounds), CLIENT if who == "client" else CONSULTANT
            (self.client if who == "client" else self.consultant).update(heard)
            if (found := out_of_order(heard, document)) is not None:
                self.wrong.append(
                    f"{call}: the {who} hears {found[1]} after {found[0] or 'nothing'}: {heard}"
                )
        ears.heard.clear()


@pytest.fixture
def backend():
    """Run on one database only, because prompts don't depend on it."""
    return "sqlite"


@pytest.fixture
def tell_after():
    return True


@pytest.fixture
def settings(tmp_path, tell_after):
    return Settings(
        platform={"cli": "+33199001200", "language": "en"},
        trunk={"host": "127.0.0.2"},
        call={"longest_minutes": 40, "tell_after": tell_after},
        file=tmp_path / "taxiphone.toml",
    )


@pytest.fixture
def everybody(database, settings):
    """Add a consultant with a package and two phones, and clients with plenty of credit and too little."""

    def fill(session):
        consultant = consultants.add_consultant(
            session,
            settings,
            name="Noa",
            phone="+33639980022",
            more_phones=["+33639980023"],
            price_per_minute=Decimal("1.55"),
            code="5678",
            package_price=Decimal(20),
            package_minutes=15,
            free_minutes=10,
        )
        dids.add_number(session, settings, number=PACKAGE_DID, consultant_code=consultant.code)
        callers = (
            ("Dee", DEE, 50000),
            ("Eve", EVE, 1500),
            ("Fay", FAY, 50000),
            ("Gus", GUS, 1500),
            ("Hal", HAL, 1),
        )
        for name, number, credit in callers:
            client = clients.add_client(session, settings, name=name, phones=[number])
            postings.top_up(session, client.id, credit, "EUR", "first")
            client.daily_limit = 400 if number == FAY else None
        alex = session.query(Client).filter(Client.name == "Alex").one()
        alex.pin_hash = pins.hash_pin(PIN)
        return alex.code

    return database.do(fill)


def test_the_document_is_read():
    assert {section for section, _ in CLIENT + CONSULTANT} >= {
        ANY_ORDER,
        "1. Identifying the caller",
        "11. After the talk",
    }
    assert out_of_order(["welcome", "enter-code", "unknown-code", "enter-code", "connecting"], CLIENT) is None
    assert out_of_order(["welcome", "connecting", "price-is"], CLIENT) == ("connecting", "price-is")
    assert out_of_order(["talk-lasted", "client-hung-up"], CONSULTANT) == ("talk-lasted", "client-hung-up")


class Story:
    """Consecutive calls in one world, far enough apart by default."""

    def __init__(self, world, arrive, database, ears, nothing_left):
        self.world, self.arrive, self.database, self.ears = world, arrive, database, ears
        self.nothing_left, self.heard = nothing_left, Heard()

    async def call(self, about, *script, pause=3 * HOUR, **numbers):
        """Run a call, listen to it, and return what the client heard."""
        await self.world.live(self.arrive(*script, **numbers))
        self.nothing_left()
        heard = prompts_of(self.ears.of("client"))
        self.heard.listen(about, self.ears)
        await asyncio.sleep(pause)
        return heard

    async def until(self, who, hears):
        """Wait until somebody has heard a prompt in the current call."""
        while hears not in self.ears.of(who):
            await asyncio.sleep(1)

    async def call_beside(self, about, **numbers):
        """Run another call during the talk of the first."""
        first, self.ears.heard = self.ears.heard, {}
        await self.world.live(self.arrive(**numbers))
        self.heard.listen(about, self.ears)
        assert self.ears.heard == {}
        self.ears.heard = first

    def change(self, table, name, **columns):
        def work(session):
            found = session.query(table).filter(table.name == name).one()
            for column, value in columns.items():
                setattr(found, column, value)

        self.database.do(work)


@pytest.fixture
def story(world, arrive, database, ears, nothing_left):
    return Story(world, arrive, database, ears, nothing_left)


async def talks_by_the_minute(story, monkeypatch):
    call = story.call
    await call(
        "recorded, paused, resumed, rated",
        *("client hears recording-choice: press 1", "client hears rate-offer: press 4"),
        *("talk 30: client presses 0", "talk 45: consultant presses 0", "talk 75: consultant hangs up"),
    )
    await call(
        "recorded, but the consultant does not want it",
        *("client hears recording-choice: press 1", "consultant hears accept-menu-recorded: press 2"),
        "talk 75: client hangs up",
    )
    await call("ended by keys", "talk 75: client presses #*")
    await call("client silent from the start", "client hears tone-start: sends nothing")
    await call("consultant silent from the start", "consultant hears tone-start: sends nothing")
    await call("client silent from the talk on", "client hears tone-start: line dies")
    await call(
        "either holds",
        *("talk 10: client holds", "talk 20: client comes back"),
        *("talk 30: consultant holds", "talk 70: consultant comes back", "talk 75: client hangs up"),
    )
    await call("client falls silent", "talk 75: client's line dies")
    recorded = "client hears recording-choice: press 1"
    await call("consultant falls silent", recorded, "talk 75: consultant's line dies", pause=60)
    goes_on = "client hears resume-offer: press 1"
    heard = await call("a line that was cut", goes_on, "talk 30: client's line drops", pause=60)
    step = [name for section, name in CLIENT if section == "2. Continuing after a dropped line"]
    assert heard == ["welcome", *step, "connecting", "tone-start"]
    await call("another one instead", "client hears resume-offer: press 2", "talk 30: client hangs up")
    await call("the credit is used up")
    await call("the longest talk", caller=DEE)
    await call("the client's own limit is used up", caller=FAY)
    with monkeypatch.context() as patch:
        patch.setattr(story.world.recording_control, "mute", not_muted)
        keys = ("talk 30: client presses 0", "talk 75: client hangs up")
        await call("it can't be paused", recorded, *keys, caller=DEE)


async def not_muted(_channel, _muted):
    return False


async def who_and_whom(story, code):
    call = story.call
    await call(
        "signed in at the second try",
        *(f"client hears enter-client-code: press {keys}" for keys in (code, f"{code}#")),
        *("client hears enter-pin: press 1111#", f"client hears enter-pin: press {PIN}#"),
        *("client hears add-number-offer: press 1", "client hears recording-choice: hang up"),
        caller="+33639980031",
    )
    codes = (f"client hears enter-code: press {keys}" for keys in ("*", "99#", "1234#"))
    shared = {"caller": EVE, "dialled": SHARED_DID}
    await call("three codes", *codes, "talk 30: client hangs up", **shared)
    again = "client hears enter-code: press *"
    await call("the consultant of last time", again, "talk 5: client hangs up", **shared)


async def with_a_package(story):
    call = story.call
    by_minute, package = "client hears mode-choice: press 1", "client hears mode-choice: press 2"
    own = {"dialled": PACKAGE_DID, "caller": DEE}
    await call("free minutes", by_minute, "talk 60: consultant hangs up", **own)
    await call("free minutes and no credit", dialled=PACKAGE_DID, caller=HAL)
    await call("the package, and no more", package, f"client hears {ENDS_SOON}: press 9", **own)
    await call("no mode is chosen", "client hears mode-choice: nothing", **own)
    story.change(Consultant, "Noa", free_minutes=1, ring_at_once=True)
    story.change(Client, "Eve", daily_limit=900)
    await call(
        "too dear, limited, taken elsewhere",
        "consultant 1 hears accept-menu: after 2, press 1",
        "consultant 2 hears accept-menu: nothing",
        "talk 75: consultant hangs up",
        dialled=PACKAGE_DID,
        caller=EVE,
    )


async def with_another(story):
    """Cases with a concurrent call of the same client, and with a price change."""
    async with asyncio.TaskGroup() as group:
        group.create_task(
            story.call("all that the client has is held", "talk 75: client hangs up", caller=GUS)
        )
        await story.until("consultant", "tone-start")
        await asyncio.sleep(10)
        await story.call_beside("another call of the same client's", caller=GUS)
    async with asyncio.TaskGroup() as group:
        late = "consultant hears accept-menu: after 5, press 1"
        ended = group.create_task(story.call("the price changes while it rings", late, caller=GUS))
        await story.until("client", "connecting")
        story.change(Consultant, "Camille", price_per_minute=Decimal("1.65"))
    assert ended.result()[-4:] == ["connecting", "price-changed", "nothing-charged", "goodbye"]


async def without_a_talk(story, monkeypatch):
    call, shared = story.call, {"caller": DEE, "dialled": SHARED_DID}
    for does in ("busy", "decline", "ignore", "unreachable"):
        await call(f"the phone: {does}", f"consultant rings: {does}", caller=DEE)
    for does in ("press 3", "press *", "nothing", "hang up"):
        await call(f"asked to accept: {does}", f"consultant hears accept-menu: {does}", caller=DEE)
    await call("not available", "consultant hears accept-menu: press *", pause=60, caller=DEE)
    await call("not available any more", caller=DEE)
    await call("no code", "client hears enter-code: nothing", **shared)
    await call("wrong codes", "client hears enter-code: press 99#", **shared)
    await call("not in service", dialled="+33199009999")
    await call("nobody knows the caller", caller="")
    wrong = ("client hears enter-client-code: press 1111#", "client hears enter-pin: press 135790#")
    heard = await call("wrong PINs", *wrong, caller="+33639980032", pause=1)
    assert heard[-3:] == ["enter-client-code", "enter-pin", "pin-paused"]
    await call("paused", caller="+33639980032")
    other = (
        "client hears enter-client-code: press 2222#",
        wrong[1],
    )  # what was wrong with the first code counts on
    heard = await call("wrong PINs from a hidden number", *other, caller="")
    assert heard[-5:] == ["enter-client-code", "enter-pin", "wrong-pin", "nothing-charged", "goodbye"]
    await call("blocked", caller=BLOCKED)
    await call("too little credit", caller=POOR)
    await with_another(story)
    story.change(Client, "Eve", daily_limit=1)
    await call("the limit is reached", caller=EVE)
    story.change(Client, "Eve", closed_at=datetime(2026, 1, 1, tzinfo=UTC))
    await call("closed", caller=EVE)

    def fails(*_):
        raise LedgerError("this is a test.")

    monkeypatch.setattr(daily_limit, "left_today", fails)
    await call("a fault", caller=DEE)


async def test_in_whole_calls_everybody_hears_exactly_the_prompts_of_the_document_in_order(
    story, everybody, monkeypatch
):
    ended = set()

    async def farewell(call, end):
        ended.add((end.step, end.outcome))
        await usual(call, end)

    usual = consultation.farewell
    monkeypatch.setattr(consultation, "farewell", farewell)
    await talks_by_the_minute(story, monkeypatch)
    await who_and_whom(story, everybody)
    await with_a_package(story)
    await without_a_talk(story, monkeypatch)
    heard = story.heard
    assert heard.wrong == []
    assert {name for _, name in CLIENT} - heard.client == NEVER_HEARD_HERE
    assert {name for _, name in CONSULTANT} - heard.consultant == set()
    declared = {(step, outcome) for step, outcomes in OUTCOMES.items() for outcome in outcomes}
    assert declared - ended == NOT_LIVED_HERE


@pytest.mark.parametrize("tell_after", [False])
@pytest.mark.parametrize(
    ("script", "caller", "client", "consultant"),
    [
        (("talk 75: client hangs up",), DEE, [], []),
        (("talk 75: consultant hangs up",), DEE, [], []),
        (("talk 75: client presses #*",), DEE, [], []),
        ((), FAY, ["limit-used-up"], ["client-credit-used-up"]),
        (("talk 75: consultant's line dies",), DEE, ["line-lost"], ["call-cut"]),
    ],
    ids=["client", "consultant", "client's keys", "limit reached", "consultant's line lost"],
)
async def test_with_tell_after_switched_off_only_why_is_told_and_only_where_neither_has_ended_it(
    story, everybody, ears, script, caller, client, consultant
):
    assert everybody
    await story.world.live(story.arrive(*script, caller=caller))
    heard = {who: prompts_of(ears.of(who)) for who in ("client", "consultant")}
    after = {who: [*dropwhile(lambda name: name != "tone-start", heard[who])][1:] for who in heard}
    after = {who: [name for name in said if name != "time-left"] for who, said in after.items()}
    assert after == {"client": client, "consultant": consultant}
