"""Several phones, several calls, and a consultant who pauses: who is rung, who talks, and who is released when."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from taxiphone.billing.ledger import postings
from taxiphone.directory import clients, consultant_fields, consultants
from taxiphone.simulate.core import What
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call, Consultant
from taxiphone.store.types import now

OTHER = "+33639980009"
ENDS = "talk 60: client hangs up"
RECORDED = "client hears recording-choice: press 1"
TAKEN_ELSEWHERE = (
    *("consultant rings: answer", "consultant 2 rings: after 1, answer"),
    *("consultant 1 hears accept-menu: after 2, press 1", "consultant 2 hears accept-menu: nothing"),
)


@pytest.fixture
def backend():
    return "sqlite"


@pytest.fixture
def ends(world):
    """When each line ended, in seconds of virtual time, by the last part of its name."""
    found = {}

    def listen(happening):
        if happening.what is What.ENDED:
            found[happening.channel.id.partition(".")[2] or "client"] = happening.at

    world.asterisk.core.listeners.append(listen)
    return found


def forgets_the_end_on_phone_2(event):
    return event["type"] == "PlaybackFinished" and ".consultant.2" in event["playback"]["id"]


@pytest.mark.usefixtures("two_phones")
async def test_an_endless_announcement_to_a_phone_does_not_delay_the_end_of_the_call(live, world, ears):
    world.asterisk.lost = forgets_the_end_on_phone_2
    call = await live(*TAKEN_ELSEWHERE, ENDS)
    assert call.outcome == Outcome.TALKED
    assert "taken-elsewhere" in ears.of("consultant 2")


@pytest.mark.usefixtures("two_phones")
async def test_a_client_who_hangs_up_at_the_tone_frees_the_phone_that_accepted_at_once(live, ends):
    call = await live(*TAKEN_ELSEWHERE, "client hears tone-start: hang up")
    assert call.outcome == Outcome.CALLER_GONE
    assert ends["consultant"] - ends["client"] < 0.5


@pytest.mark.parametrize("recorder_refused_by", ["1", "2"])
@pytest.mark.usefixtures("two_phones")
async def test_of_two_phones_that_accept_at_once_the_one_that_refuses_the_recording_talks(
    live, ears, recorder_refused_by
):
    keys = {"1": "1", "2": "1"} | {recorder_refused_by: "2"}
    call = await live(
        RECORDED,
        *("consultant rings: answer", "consultant 2 rings: answer"),
        *(f"consultant {phone} hears accept-menu-recorded: press {key}" for phone, key in keys.items()),
        ENDS,
    )
    leg = call.id + {"1": ".consultant", "2": ".consultant.2"}[recorder_refused_by]
    assert (call.recording_asked, call.consultant_channel) == (False, leg)
    assert "consultant-refused-recording" in ears.of("client")
    talks = {"1": "consultant", "2": "consultant 2"}[recorder_refused_by]
    assert "client-hung-up" in ears.of(talks)


async def test_a_phone_that_declines_lets_the_next_one_ring(live, database, ears):
    def write(session):
        consultant = session.get_one(Consultant, 1)
        consultant_fields.set_more_phones(consultant, ["+33639980010"])

    database.do(write)
    call = await live("consultant 1 rings: decline", "consultant 2 rings: answer", ENDS)
    assert call.outcome == Outcome.TALKED
    assert set(ears.heard) == {"client", "consultant 2"}


async def test_a_consultant_who_is_paused_during_the_announcement_is_not_rung(
    live, world, database, heard, ears
):
    def pause():
        database.do(lambda session: consultants.pause(session, 1, now() + timedelta(hours=1)))

    heard("client", "price-is", pause)
    call = await live()
    assert call.outcome == Outcome.UNAVAILABLE
    assert "POST channels/create" not in world.asterisk.requests
    assert ears.of("client")[-3:] == ["consultant-unavailable", "nothing-charged", "goodbye"]


async def test_the_consultant_is_free_for_others_while_the_client_hears_why_there_is_no_consultation(
    world, arrive, settings, database
):
    def add(session):
        client = clients.add_client(session, settings, name="Dee", phones=[OTHER])
        postings.top_up(session, client.id, 5000, "EUR", "first")

    database.do(add)
    loop, at = asyncio.get_running_loop(), {}

    def listen(happening):
        if happening.what is What.HEARD:
            at.setdefault(
                (happening.channel.id, happening.sounds[0].removeprefix("taxiphone/")), happening.at
            )

    world.asterisk.core.listeners.append(listen)
    refuses = "consultant hears accept-menu: press 3"
    begin = loop.time()
    await world.live(arrive(refuses))
    connecting, refused = (at["c1", prompt] - begin for prompt in ("connecting", "refused"))
    first = asyncio.create_task(world.live(arrive(refuses)))
    await asyncio.sleep(refused - connecting + 0.5)
    second = await world.live(arrive("talk 30: client hangs up", caller=OTHER))
    assert (await first).outcome == Outcome.REFUSED
    assert at["c2", "refused"] < at["c3", "connecting"] < at["c2", "goodbye"]
    assert second.outcome == Outcome.TALKED


@pytest.mark.parametrize(
    "number", ["+33826123456", "+33899123456", "+18765551234", "+447012345678", "+33112"]
)
async def test_a_phone_that_may_not_be_rung_any_more_is_not_dialled(live, world, database, caplog, number):
    def change(session):
        session.query(Consultant).filter_by(code="1234").one().phone = number

    database.do(change)
    call = await live()
    assert call.outcome == Outcome.UNREACHABLE
    assert not any(number in request for request in world.asterisk.requests)
    assert "is not rung: it " in caplog.text
    assert number not in caplog.text


async def test_ringing_is_noted_when_the_phone_is_called_after_the_status_and_the_words(
    live, world, database
):
    seen = {}

    def look(moment):
        def reading(session):
            call = session.scalars(select(Call)).one()
            return call.status, [mark.what for mark in call.events]

        seen[moment] = database.read(reading)

    def listen(happening):
        if happening.what is What.HEARD and happening.sounds[0].endswith("connecting"):
            look("connecting")

    usual = world.asterisk.request

    async def request(method, path, query=None, body=None):
        if path.endswith("/dial"):
            look("dial")
        return await usual(method, path, query, body)

    world.asterisk.request = request
    world.asterisk.core.listeners.append(listen)
    await live("talk 30: client hangs up")
    status, marks = seen["connecting"]
    assert status == Status.RINGING
    assert "ringing" not in marks
    status, _ = seen["dial"]
    assert status == Status.RINGING
    look("the end")
    _, marks = seen["the end"]
    assert marks.index("consultant is free") < marks.index("ringing") < marks.index("consultant answered")
