"""Beyond the maximum number of calls, a caller hears that all lines are busy, without being answered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select

from taxiphone import speech
from taxiphone.billing.ledger_check import check
from taxiphone.demo.platform import Timing
from taxiphone.directory import dids
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call, Posting

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

MOST_TOLD = 10  # at once; dialplan/config.py
SOUNDS = Path(speech.__file__).parent / "sounds"


@pytest.fixture(scope="module")
def timing():
    return Timing(key_seconds=20, most_calls=1)


def sound(language):
    return (SOUNDS / language / "all-lines-busy.alaw").read_bytes()


def hears(line, language):
    """Tell whether a line has heard most of the sentence, in pieces of a tenth of a second. A busy machine loses packets."""
    heard, said = bytes(line.media.heard), sound(language)
    pieces = [said[start : start + 800] for start in range(0, len(said) - 800, 800)]
    return sum(piece in heard for piece in pieces) > len(pieces) / 2


def statuses(line):
    """Return the statuses of the responses to a line's INVITE."""
    return [each.status for each in line.carrier.messages if each.get("Call-ID") == line.call_id]


def postings(wired):
    return wired.platform.database.do(lambda session: session.scalar(select(func.count(Posting.id))))


async def test_a_caller_beyond_the_last_line_hears_that_all_are_busy_and_is_not_answered(wired):
    first, second = wired(), wired()
    await first.dial()
    before = postings(second)
    for language in ("en", "fr"):
        if language == "fr":  # a caller who isn't known is spoken to in the language of the number dialled
            second.platform.database.do(
                lambda session: dids.set_number(session, second.platform.settings, second.did, language="fr")
            )
        caller = second.client_number if language == "en" else "+33639989001"
        line, answer = await second.carrier.ask(second.did, caller=caller)
        assert answer.status == 503
        assert 183 in statuses(line)
        assert 200 not in statuses(line), "the carrier charges for an answered call"
        assert hears(line, language)
        call = await second.platform.until(
            lambda session, caller=caller: session.scalar(
                select(Call).where(Call.caller == caller, Call.status == Status.CLOSED)
            ),
            "the refused call is in the list",
        )
        assert (call.outcome, call.dialled, call.review) == (Outcome.ALL_LINES_BUSY, second.did, None)
    assert postings(second) == before, "nothing was held or charged"
    assert second.platform.database.do(check) == []
    await first.finished()


async def test_of_a_flood_only_so_many_hear_it_and_a_line_that_is_free_again_takes_the_next_call(wired):
    first, second = wired(), wired()
    await first.dial()
    asked = [
        asyncio.create_task(second.carrier.ask(second.did, caller=f"+336399891{number:02d}"))
        for number in range(MOST_TOLD + 3)
    ]
    done, _ = await asyncio.wait(asked, timeout=3, return_when=asyncio.FIRST_COMPLETED)
    assert done, "refused without a word, at once"
    await first.client.hang_up()
    await first.platform.free(first.client_number)
    await second.dial()  # is answered, although others still hear that all lines are busy
    lines = await asyncio.gather(*asked)
    assert [answer.status for _, answer in lines] == [503] * len(lines)
    assert sum(183 in statuses(line) for line, _ in lines) == MOST_TOLD
    calls = select(func.count(Call.id)).where(
        Call.caller.like("+336399891%"), Call.outcome == Outcome.ALL_LINES_BUSY
    )
    await second.platform.until(lambda session: session.scalar(calls) == MOST_TOLD, "they are in the list")
    await second.finished()
