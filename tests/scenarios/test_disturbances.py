"""Whatever either side does at any prompt, only talk is charged and nothing is left behind.

The disturbances are generated, not picked: a story is lived once, and each prompt that was heard in it, by either side, is then
disturbed in each way. What must hold of every call stands in tests/tools/witness.py. The first story in which a prompt is
heard tries most at it, the later ones less, for they would find the same; `make test-all` tries everything everywhere.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from witness import Terms, Witness, wallets, wrong

from taxiphone.ari_app import menu
from taxiphone.billing import ledger_check
from taxiphone.billing.ledger import balances, postings
from taxiphone.billing.ledger.keys import new_key
from taxiphone.directory import clients, consultants, dids, pins
from taxiphone.settings_sections import Call as CallSettings
from taxiphone.simulate.script import CLIENT, CONSULTANT, Does, deed
from taxiphone.speech.prompt_texts import SHIPPED
from taxiphone.store.models import ClientNumber, SignIn

SHARED, NOAS, LOUS, MIAS = "+33199001235", "+33199001236", "+33199001237", "+33199001238"
DEE, UNKNOWN, HIDDEN = "+33639980005", "+33639980099", ""
CODE, PIN = "58230917", "480257"
LATER = 7200  # seconds after which no dropped call can be continued and no pause remains
PRICE = Decimal("1.55")
TEXTS = SHIPPED.texts("en")
PIECES = {piece: name for name, pieces in TEXTS.templates.items() for piece in pieces}
PACKAGE_ENDS, TIME_LEFT = TEXTS.templates["package-ends"][0], TEXTS.templates["time-left"][0]


@dataclass(frozen=True)
class Story:
    """The script of an undisturbed call.

    Attributes:
        name: what it is about.
        script: who does what.
        dialled: the number.
        caller: from which.
        credit: of the client, in cents, before each call.
        package: whether the consultant has one, of two minutes.
        cut: seconds of a talk before it whose line was cut.
        settings: other ones of [call].
    """

    name: str
    script: tuple[str, ...]
    dialled: str
    caller: str = DEE
    credit: int = 5000
    package: bool = False
    cut: int = 0
    settings: CallSettings = field(default_factory=CallSettings)


SIGNED_IN = (f"client hears enter-client-code: press {CODE}", f"client hears enter-pin: press {PIN}#")
PACKAGE, RECORDED = "client hears mode-choice: press 2", "client hears recording-choice: press 1"
RATED = "client hears rate-offer: press 5"

STORIES = (
    Story(
        "recorded, by the minute",
        ("client hears enter-code: press 1234#", RECORDED, RATED, "talk 75: consultant hangs up"),
        SHARED,
    ),
    Story(
        "hidden number, package, the recording refused",
        (
            *SIGNED_IN,
            *("client hears enter-code: press 5678#", PACKAGE, RECORDED),
            *("consultant hears accept-menu-recorded: press 2", "talk 150: consultant hangs up", RATED),
        ),
        SHARED,
        caller=HIDDEN,
        package=True,
    ),
    Story(
        "unknown number, to be added",
        (*SIGNED_IN, "client hears add-number-offer: press 1", "talk 40: client hangs up"),
        LOUS,
        caller=UNKNOWN,
    ),
    Story(
        "three phones at once",
        (
            *("consultant 1 rings: ignore", "consultant 2 rings: busy", "consultant 3 rings: answer"),
            *(RECORDED, "consultant 3 hears accept-menu-recorded: press 1"),
            *("talk 20: client presses 0", "talk 40: consultant presses 0", "talk 60: client hangs up"),
        ),
        MIAS,
    ),
    Story(
        "one phone after the other",
        (
            *("consultant 1 rings: busy", "consultant 2 rings: answer", "consultant 3 rings: answer"),
            *("consultant 2 hears accept-menu-recorded: nothing", RECORDED),
            "consultant 3 hears accept-menu-recorded: press 1",
            *("talk 20: consultant presses 0", "talk 40: client presses 0", "talk 60: consultant hangs up"),
        ),
        LOUS,
    ),
    Story(
        "a line that was cut",
        ("client hears resume-offer: press 1", "talk 90: client hangs up"),
        NOAS,
        package=True,
        cut=45,
    ),
    Story("the credit ends", (RATED,), LOUS, credit=233),
    Story("ended by keys", ("talk 20: client presses #*", RATED), LOUS),
    Story(
        "ended with the package",
        (PACKAGE, f"client hears {PACKAGE_ENDS}: press 9"),
        NOAS,
        package=True,
    ),
    Story(
        "nobody is told afterwards",
        (RECORDED, "talk 40: consultant hangs up"),
        LOUS,
        settings=CallSettings(tell_after=False),
    ),
)

# `{right}` are the keys with which the story continues, at this prompt or at the next question.
DISTURBANCES = {
    "hangs up": "hang up",
    "silence": "nothing",
    "wrong key": "press 7",
    "too early or at once": "after 0.01, press {right}",
    "line dies": "line dies",
    "hangs up late": "after 3, hang up",
    "too late": "after 20, press {right}",
    "twice": "press {right}{right}",
    "many at once": "press 123456789*0#",
    "hash": "press #",
    "star": "press *",
    "one": "press 1",
    "line drops": "line drops",
}
# Where nothing is asked, all keys are the same.
UNASKED = ("hangs up", "too early or at once", "many at once", "line dies", "line drops")
ASKED = {question.name for question in menu.QUESTIONS} | {PACKAGE_ENDS}


@pytest.fixture
def settings(story, settings):
    return settings.model_copy(update={"call": story.settings})


def fill(session, settings):
    """Add a client without credit, and consultants with a package, and with three phones in sequence or at once."""
    phones = (f"+3363998{number:04d}" for number in itertools.count(100))
    for name, code, did, more, fields in (
        ("Noa", "5678", NOAS, 0, {"package_price": Decimal(5), "package_minutes": 2}),
        ("Lou", "4321", LOUS, 2, {}),
        ("Mia", "8765", MIAS, 2, {}),
    ):
        consultant = consultants.add_consultant(
            session,
            settings,
            name=name,
            phone=next(phones),
            more_phones=[next(phones) for _ in range(more)],
            price_per_minute=PRICE,
            code=code,
            recording_allowed=True,
            **fields,
        )
        consultant.ring_at_once = name == "Mia"
        dids.add_number(session, settings, number=did, consultant_code=code)
    dee = clients.add_client(session, settings, name="Dee", phones=[DEE])
    dee.code, dee.pin_hash = CODE, pins.hash_pin(PIN)
    session.flush()
    return dee.id


class Disturbed:
    """The consecutive calls of one story in one world."""

    def __init__(self, story, world, arrive, database, client):
        self.story, self.world, self.arrive, self.database = story, world, arrive, database
        self.client = client
        self.terms = Terms(PRICE, Decimal(5), 2) if story.package else Terms(PRICE)
        self.wrong, self.calls = [], 0

    async def live(self, what, script, **more):
        """Run a call from the same initial state, and return its listener."""
        await asyncio.sleep(LATER)
        self.database.do(self._anew)
        if self.story.cut:
            before = await self._call(PACKAGE, f"talk {self.story.cut}: client's line drops")
            self.terms = Terms(PRICE, Decimal(5), 2, before.talked)
            await asyncio.sleep(20)
        had, tasks = self.database.read(wallets), asyncio.all_tasks()
        witness = await self._call(*script, **more)
        self.calls += 1
        self.wrong += [f"{what}: {each}" for each in (*self._left(tasks), *self._problems(witness, had))]
        return witness

    async def _call(self, *script, **more):
        arrived = self.arrive(*script, dialled=self.story.dialled, caller=self.story.caller, **more)
        witness = Witness(arrived.call.client_leg.id)
        witness.call_id = arrived.id
        listeners = self.world.asterisk.core.listeners
        listeners.append(witness)
        begin = asyncio.get_running_loop().time()
        async with asyncio.timeout(86_400):
            await self.world.live(arrived)
        listeners.remove(witness)
        witness.length = asyncio.get_running_loop().time() - begin
        return witness

    def _anew(self, session):
        """Restore the client to the state before the story: credit, numbers and PIN failures."""
        session.query(SignIn).delete()
        session.query(ClientNumber).filter(ClientNumber.number == UNKNOWN).delete()
        missing = self.story.credit - balances.balance(session, postings.WALLET, self.client)
        if missing > 0:
            postings.top_up(session, self.client, missing, "EUR", new_key())

    def _problems(self, witness, had):
        def look(session):
            found = wrong(session, witness.call_id, witness, self.terms, had, client=self.client, pin=PIN)
            return [*found, *(ledger_check.check(session) if found or not self.calls % 25 else ())]

        return self.database.read(look)

    def _left(self, before):
        asterisk = self.world.asterisk.core
        if tasks := asyncio.all_tasks() - before:
            yield f"tasks are left: {tasks}"
        if asterisk.known or asterisk.bridges or len(self.world.router):
            yield f"left: channels {asterisk.known}, bridges {asterisk.bridges}, {len(self.world.router)} legs"

    def told(self):
        problems = [*self.wrong, *map(str, self.database.read(ledger_check.check))]
        if not problems:
            return ""
        return f"{len(problems)} in {self.calls} calls of {self.story.name!r}:\n  " + "\n  ".join(problems)


@pytest.fixture
def disturbed(story, world, arrive, database, settings):
    client = database.do(lambda session: fill(session, settings))
    return Disturbed(story, world, arrive, database, client)


def prompts(witness, who):
    """Return the prompts that a person heard on any phone, each once; for a template, its first piece."""
    heard = [
        each.value
        for each in witness.events
        if each.what == "heard" and each.who.startswith(who) and each.value in TEXTS.clips
    ]
    asked = [sound for sound in heard if TEXTS.clips[sound].is_prompt]
    first = {PIECES.get(sound, sound): sound for sound in reversed(asked)}
    return [sound for sound in dict.fromkeys(asked) if first[PIECES.get(sound, sound)] == sound]


def right_keys(story, who, heard):
    """Return for each prompt the story's keys there, or at the next prompt that has any, or 1."""
    keys, found = "1", {}
    pressed = {
        each.hears: each.keys
        for each in map(deed, story.script)
        if each.who == who and each.does is Does.PRESS and each.hears
    }
    for prompt in reversed(heard):
        keys = found[prompt] = pressed.get(prompt, keys)
    return found


LEARNT = {}
"""Of each story, what both hear in it; lived once in each process."""


async def learn(disturbed):
    """Run the story undisturbed."""
    story = disturbed.story
    if story.name not in LEARNT:
        witness = await disturbed.live("undisturbed", story.script)
        LEARNT[story.name] = {who: prompts(witness, who) for who in (CLIENT, CONSULTANT)}
    return LEARNT[story.name]


def enough(number, prompt, new):
    """Return the disturbances to try at the prompt with this number. Other prompts try the rest in turn.

    All, where it asks for something and is heard for the first time; two, where it asks for nothing. What was heard in
    an earlier story is disturbed in one way, and of what asks for nothing only every third prompt.
    """
    if new:
        return (
            DISTURBANCES
            if prompt in ASKED
            else [UNASKED[(2 * number + each) % len(UNASKED)] for each in (0, 1)]
        )
    return [] if prompt not in ASKED and number % 3 else [list(DISTURBANCES)[number % len(DISTURBANCES)]]


async def disturb(disturbed, who, which):
    """Run the story once for each prompt and each disturbance that `which` returns."""
    story = disturbed.story
    heard = (await learn(disturbed))[who]
    right = right_keys(story, who, heard)
    for prompt in heard:
        kept = [line for line in story.script if (deed(line).who, deed(line).hears) != (who, prompt)]
        for name in which(prompt):
            line = f"{who} hears {prompt}: {DISTURBANCES[name].format(right=right[prompt])}"
            await disturbed.live(f"{who}, {name}, {prompt}", (*kept, line), between_keys=0.02)
    assert disturbed.told() == ""


@pytest.mark.parametrize("who", [CLIENT, CONSULTANT])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_whatever_is_done_at_a_prompt_nothing_is_charged_but_talk_and_nothing_is_left(
    disturbed, story, who, world, arrive, database
):
    place = STORIES.index(story)
    known = set()
    for earlier in STORIES[:place]:
        lived = Disturbed(earlier, world, arrive, database, disturbed.client)
        known |= set((await learn(lived))[who])
        assert lived.told() == ""
    count = itertools.count(place)  # each story begins with another one
    await disturb(disturbed, who, lambda prompt: enough(next(count), prompt, prompt not in known))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("who", [CLIENT, CONSULTANT])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_everything_is_done_at_every_prompt_of_every_story(disturbed, who):
    await disturb(disturbed, who, lambda _: DISTURBANCES)


@pytest.mark.parametrize("every", [30, pytest.param(10, marks=pytest.mark.slow)])  # seconds
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_a_hang_up_at_any_moment_of_the_call_leaves_nothing(disturbed, story, every):
    length = (await disturbed.live("undisturbed", story.script)).length
    begin = 10 * STORIES.index(story)  # so that each story has other moments
    for who, later in ((CLIENT, 0), (CONSULTANT, 15)):
        for second in range((begin + later) % every, int(length), every):
            await disturbed.live(f"{who}, {second} s", (*story.script, f"at {second}: {who} hangs up"))
    assert disturbed.told() == ""


@pytest.mark.parametrize("story", STORIES[:1], ids=lambda story: story.name)
@pytest.mark.parametrize("key", ["1", "#", "9", "*"])
async def test_a_key_that_comes_before_any_question_chooses_nothing(disturbed, key):
    witness = await disturbed.live(
        "key before", (f"client hears welcome: press {key * 3}", *STORIES[0].script, "consultant rings: busy")
    )
    assert "price-is" in witness.heard(CLIENT)
    assert disturbed.told() == ""
