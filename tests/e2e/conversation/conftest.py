"""Scenes of a call in one or two languages: phones that listen, and the sentences that they should hear."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from decimal import Decimal

import pytest
import talks
from ears import Ear
from hearing import Library
from sip_trace import Message, messages
from sqlalchemy import select

from taxiphone.demo.phone import Phone
from taxiphone.directory import clients, pins
from taxiphone.recordings import keeping
from taxiphone.speech import names
from taxiphone.speech.sentences import Speech
from taxiphone.store.models import Client, Consultant
from taxiphone.store.types import now

LANGUAGES = ("en", "fr")
# More calls in one process than these lose sound on a machine of two cores.
AT_ONCE = 4
_CAPTURING = asyncio.Lock()  # a file is there once Asterisk has been told of it
PIN = "826401"
REFUSED = ("nothing-charged", "goodbye")


@dataclass
class Scene:
    """A client and a consultant as `cast` makes them, and what each is told in their own language.

    Attributes:
        them: phones, numbers and codes.
        speech: what the client hears.
        consultants_speech: what the consultant hears.
    """

    them: object
    speech: Speech
    consultants_speech: Speech
    client_ear: Ear
    consultant_ear: Ear
    call_id: str = ""

    @property
    def platform(self):
        return self.them.platform

    @property
    def settings(self):
        return self.platform.settings

    @property
    def client(self) -> Phone:
        return self.them.client

    @property
    def consultant(self) -> Phone:
        return self.them.consultant

    # -- who they are ---------------------------------------------------------------------------------------------

    @functools.cached_property
    def client_code(self) -> str:
        """The code that the client enters when calling from another number."""
        return self.platform.database.read(
            lambda session: clients.client_calling(session, self.client.number).code
        )

    def set_client(self, **columns):
        """Change the client's row."""
        self._set(select(Client).where(Client.code == self.client_code), columns)

    def set_consultant(self, **columns):
        """Change the consultant's row."""
        self._set(select(Consultant).where(Consultant.code == self.them.consultant_code), columns)

    def _set(self, query, columns):
        def work(session):
            row = session.scalars(query).one()
            for name, value in columns.items():
                setattr(row, name, value)

        self.platform.database.do(work)

    def set_pin(self):
        """Let the client sign in with a PIN."""
        self.set_client(pin_hash=pins.hash_pin(PIN))

    @property
    def consultants_name(self):
        """Return a text as the client hears it."""
        code = self.them.consultant_code
        return names.spoken(self.settings, "consultant", code, self.speech.language) or self.speech.digits(
            code
        )

    @property
    def clients_name(self):
        """Return a text as the consultant hears it."""
        speech = self.consultants_speech
        return names.spoken(self.settings, "client", self.client_code, speech.language) or speech.digits(
            self.client_code
        )

    # -- what they do ---------------------------------------------------------------------------------------------

    async def dial(self, did=None, **options) -> str:
        self.call_id = await self.them.dial(did, **options)
        return self.call_id

    async def press(self, keys: str, **options) -> None:
        """Press keys on the client's phone."""
        await self.client.press(keys, **options)

    async def accept(self, keys: str = "1", menu: str = "accept-menu") -> None:
        """Let the consultant answer, hear the menu, and press a key."""
        await self.consultant.ringing(30)
        await self.consultant.answer()
        await self.consultant_ear.begins(menu)
        await self.consultant.press(keys)

    async def finished(self):
        """Return the call's row after its end, and check that everything waited for was heard to its end."""
        row = await self.them.finished(self.call_id)
        self.client_ear.check()
        self.consultant_ear.check()
        return row

    # -- what they hear -------------------------------------------------------------------------------------------

    async def hears(self, *what, seconds=60):
        """Wait until the client has heard prompts (by name) and composed sounds, one directly after the other."""
        return await self.client_ear.hears(*_sounds(self.speech, what), seconds=seconds)

    async def consultant_hears(self, *what, seconds=60):
        """Do the same for the consultant."""
        return await self.consultant_ear.hears(*_sounds(self.consultants_speech, what), seconds=seconds)

    def ear(self, phone: Phone) -> Ear:
        """Do the same for another phone."""
        return Ear(phone, self.consultant_ear.library)

    # -- sentences with values in them ----------------------------------------------------------------------------

    def price(self, price="1.55"):
        """Return the first announcements about the price."""
        speech = self.speech
        return (
            *speech.consultant_is(self.consultants_name),
            *speech.prompt("press-hash-to-skip"),
            *speech.prompt("price-is"),
            *speech.price_per_minute(Decimal(price), "EUR"),
            *speech.prompt("tax-included"),
        )

    def recording_offer(self, fee=500):
        """Return the announcements before the recording question."""
        speech = self.speech
        day = keeping.last_day(self.settings, now())
        return (
            *speech.prompt("recording-offer"),
            *speech.amount(fee, "EUR"),
            *speech.prompt("tax-included"),
            *speech.prompt("recording-kept-until"),
            *speech.date(day),
        )

    # -- what went over the wire ----------------------------------------------------------------------------------

    async def sip(self, phone: Phone) -> list[Message]:
        """Return every SIP message that a phone received in all its calls."""
        async with _CAPTURING:
            files = await self.them.everyone.network.capture_sip()
        return [
            message for message in messages(files) if message.received and message.call_id in phone.dialogs
        ]


def _sounds(speech, what):
    for each in what:
        if isinstance(each, str):
            yield from speech.prompt(each)
        else:
            yield from each


@pytest.fixture(scope="module")
def library(everyone):
    """The sounds of a language, read once for all calls of a module: `library("fr")`."""
    return functools.cache(lambda language: Library(everyone.platform.settings, language))


@pytest.fixture
def scene(cast, library):
    """Create a scene: `scene("fr", consultant_language="en", price="1.55", ...)`."""

    def make(language="en", *, consultant_language=None, **options) -> Scene:
        consultants = consultant_language or language
        them = cast(language=language, **options)
        made = Scene(
            them,
            Speech(language),
            Speech(consultants),
            Ear(them.client, library(language)),
            Ear(them.consultant, library(consultants)),
        )
        if consultants != language:
            made.set_consultant(language=consultants)
        return made

    return make


@pytest.fixture
def in_both_languages(scene):
    """Run stories in French and English, a few at once: `await in_both_languages(story, another, price="1.55")`."""

    async def live(*stories, **options):
        scenes = [scene(language, **options) for language in LANGUAGES for _ in stories]

        async def told(story, one):
            try:
                await story(one)
            except BaseException as error:
                error.add_note(f"in {one.speech.language}, {getattr(story, 'keywords', '')}")
                raise

        each_twice = [*zip(stories * len(LANGUAGES), scenes, strict=True)]
        for first in range(0, len(each_twice), AT_ONCE):
            await talks.at_once(*(told(*each) for each in each_twice[first : first + AT_ONCE]))
        await scenes[0].them.nothing_left()
        return scenes

    return live


@pytest.fixture(autouse=True)
async def traced(everyone):
    """Capture every SIP message of the module's calls."""
    if not everyone.network.captures:
        await everyone.network.capture_sip()
