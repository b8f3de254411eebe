"""A request that Asterisk refuses or answers late affects only its own leg, and prevents no talk."""

from __future__ import annotations

import asyncio

import pytest

from taxiphone.billing.papers.explanation import explain
from taxiphone.errors import AriConnectionError, AriRequestError, AriTimeoutError
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call

ENDS = "talk 60: client hangs up"
FAULT = AriRequestError("Asterisk refused it: 500 Internal Error", 500)


@pytest.fixture
def backend():
    return "sqlite"


@pytest.fixture
def refusing(world):
    """Refuse every playback of a prompt on a leg: `refusing("consultant", "tone-start")`; None for any prompt."""

    def refusing(who, prompt=None):
        usual = world.asterisk.request

        async def request(method, path, query=None, body=None):
            leg, is_play, _ = path.partition("/play/")
            whose = leg.partition(".")[2] or "client"
            media = (query or {}).get("media", "")
            if (
                is_play
                and whose == who
                and (prompt is None or f"sound:taxiphone/{prompt}" in media.split(","))
            ):
                raise FAULT
            return await usual(method, path, query, body)

        world.asterisk.request = request

    return refusing


# -- the bridge ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [AriTimeoutError, AriConnectionError])
async def test_two_who_were_bridged_though_nobody_answered_so_have_talked_and_pay_for_it(
    live, world, ears, error
):
    usual = world.asterisk.request

    async def request(method, path, query=None, body=None):
        found = await usual(method, path, query, body)
        if path.endswith("addChannel"):
            await asyncio.sleep(5)
            raise error("no answer in 5 s")
        return found

    world.asterisk.request = request
    call = await live()
    assert (call.outcome, call.status) == (Outcome.TALKED, Status.RATED)
    assert call.receipt.total > 0
    assert not {"failed", "nothing-charged"} & set(ears.of("client"))


@pytest.mark.parametrize("what", ["talk", "talk/addChannel"])
async def test_a_bridge_whose_first_try_was_carried_out_but_not_answered_is_used(live, world, what):
    usual, losses = world.asterisk.request, []

    async def request(method, path, query=None, body=None):
        found = await usual(method, path, query, body)
        if method == "POST" and path.startswith("bridges/") and path.endswith(what) and not losses:
            losses.append(path)
            raise AriConnectionError("lost before it was answered")
        return found

    world.asterisk.request = request
    call = await live(ENDS)
    assert losses
    assert (call.outcome, call.billed_seconds) == (Outcome.TALKED, 60)


async def test_what_the_events_of_a_leg_tell_is_not_asked_for(live, world):
    await live(ENDS)
    asked = [request for request in world.asterisk.requests if request.startswith("GET channels/")]
    assert asked
    assert all(request.endswith("/rtp_statistics") for request in asked)


# -- what is said -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["client", "consultant"])
async def test_a_tone_that_can_not_be_played_to_one_side_does_not_prevent_the_talk(live, refusing, who):
    refusing(who, "tone-start")
    call = await live(ENDS)
    assert (call.outcome, call.billed_seconds) == (Outcome.TALKED, 60)


@pytest.mark.parametrize(
    ("who", "prompt", "other", "hears"),
    [
        ("consultant", "client-hung-up", "client", ["thank-you", "goodbye"]),
        ("client", "you-ended", "consultant", ["client-hung-up"]),
    ],
)
async def test_if_one_side_can_not_hear_the_amount_the_other_still_does(
    live, refusing, ears, who, prompt, other, hears
):
    refusing(who, prompt)
    call = await live("talk 60: client presses #*", "client hears rate-offer: press 5")
    assert call.outcome == Outcome.TALKED
    assert prompt not in ears.of(who)
    assert set(hears) <= set(ears.of(other))
    assert "talk-lasted" in ears.of(other)


@pytest.mark.usefixtures("two_phones")
async def test_if_taken_elsewhere_can_not_be_played_the_phone_is_hung_up_at_once(live, world, refusing):
    ends = []
    world.asterisk.core.listeners.append(
        lambda happening: ends.append(happening.channel.id) if happening.what == "ended" else None
    )
    refusing("consultant.2", "taken-elsewhere")
    call = await live(
        *("consultant rings: answer", "consultant 2 rings: after 1, answer"),
        *("consultant 1 hears accept-menu: after 2, press 1", "consultant 2 hears accept-menu: nothing"),
        ENDS,
    )
    assert (call.outcome, call.billed_seconds) == (Outcome.TALKED, 60)
    assert ends[0].endswith(".consultant.2")


@pytest.mark.usefixtures("two_phones")
async def test_a_phone_without_working_prompts_counts_as_not_reached_and_another_takes_the_call(
    live, refusing, ears
):
    refusing("consultant.2")
    call = await live("consultant 1 rings: after 5, answer", "consultant 2 rings: after 1, answer", ENDS)
    assert call.outcome == Outcome.TALKED
    assert "consultant 2" not in ears.heard


# -- prompts that tell a price or ask for consent ---------------------------------------------------------------------

PRICED = (
    ("client", "price-is"),
    ("client", "tax-included"),
    ("client", "recording-choice"),
    ("client", "recording-offer"),
)


@pytest.mark.parametrize("how", ["missing", "refused"])
@pytest.mark.parametrize(("who", "prompt"), PRICED)
async def test_no_consultant_is_rung_if_a_price_could_not_be_announced(
    live, world, refusing, ears, how, who, prompt
):
    if how == "refused":
        refusing(who, prompt)
    else:
        world.asterisk.sounds.missing.add(f"taxiphone/{prompt}")
    call = await live()
    assert call.outcome == Outcome.FAILED
    assert ears.of("client")[-3:] == ["failed", "nothing-charged", "goodbye"]
    assert ears.of("consultant") == []
    assert not any(request == "POST channels/create" for request in world.asterisk.requests)


@pytest.mark.parametrize("prompt", ["accept-menu", "mode-per-minute"])
async def test_a_question_that_was_not_heard_can_not_be_accepted(live, world, ears, prompt):
    world.asterisk.sounds.missing.add(f"taxiphone/{prompt}")
    call = await live("consultant rings: answer", f"consultant hears {prompt}: press 1")
    assert call.outcome == Outcome.FAILED
    assert call.receipt is None
    assert ears.of("client")[-3:] == ["failed", "nothing-charged", "goodbye"]


@pytest.mark.parametrize("prompt", ["welcome", "connecting", "tone-start", "time-left", "goodbye"])
async def test_a_prompt_that_tells_no_price_and_asks_for_nothing_may_be_missing(live, world, prompt):
    world.asterisk.sounds.missing.add(f"taxiphone/{prompt}")
    call = await live("talk 60: client hangs up")
    assert call.outcome == Outcome.TALKED


async def test_a_hold_tone_that_is_missing_does_not_make_the_program_ask_for_it_without_a_pause(live, world):
    world.asterisk.sounds.missing |= {"taxiphone/tone-hold", "taxiphone/silence"}
    call = await live(
        "talk 10: consultant holds", "talk 40: consultant comes back", "talk 60: client hangs up"
    )
    assert call.outcome == Outcome.TALKED
    assert sum("/play/" in request for request in world.asterisk.requests) < 30


@pytest.mark.parametrize("who", ["client", "consultant"])
@pytest.mark.parametrize(
    "deed", ["talk 75: {}'s line dies", "{} hears tone-start: sends nothing", "talk 75: {} hangs up"]
)
async def test_the_side_that_was_lost_or_left_is_the_one_that_is_said_to_have_left_first(
    live, database, who, deed
):
    call = await live(deed.format(who))
    story = database.read(lambda session: explain(session, session.get_one(Call, call.id)))
    assert story["talk"]["left_first"] == who
