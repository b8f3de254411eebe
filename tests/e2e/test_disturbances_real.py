"""Concurrent calls on a real Asterisk, each disturbed somewhere: only talk is charged, and nothing is left.

What is done in which call, and where, is drawn by a fixed seed from all prompts x all disturbances;
tests/scenarios/test_disturbances.py tries them all, on a simulated one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from taxiphone.billing.evidence import cel
from taxiphone.billing.ledger_check import check
from taxiphone.errors import AriError
from taxiphone.store.calls import FINAL, talk_bridge
from taxiphone.store.models import Call, Receipt, Recording

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

CALLS, AT_ONCE, SEED = 24, 8, 20261122
TALK_SECONDS, LONGEST_SECONDS = 1.5, 60
FEE = 500

# Prompts that announce or ask something, with the keys that let the call continue.
CLIENTS = {
    "received": "",
    "price told": "#",
    "recording offered": "2",
    "ringing": "",
    "consultant answered": "",
    "accepted": "",
    "bridging": "",
    "left": "5",
}
CONSULTANTS = {"consultant answered": "1", "accepted": "", "bridging": "", "left": ""}
PROMPTS = [("client", mark) for mark in CLIENTS] + [("consultant", mark) for mark in CONSULTANTS]
DISTURBANCES = (
    "hang up",
    "drop",
    "silence",
    "wrong key",
    "too early",
    "too late",
    "twice",
    "many at once",
)


@dataclass(frozen=True)
class Drawn:
    """A randomly chosen disturbance: who does what, and at which prompt."""

    who: str
    mark: str
    what: str

    def __str__(self):
        return f"{self.who}, {self.what}, {self.mark}"


def drawn():
    """Choose enough disturbances to include each prompt and each kind."""
    lots = random.Random(SEED)  # noqa: S311 - no secret: the same calls each time
    every = [Drawn(who, mark, what) for (who, mark), what in itertools.product(PROMPTS, DISTURBANCES)]
    lots.shuffle(every)
    left, chosen = {*PROMPTS} | {*DISTURBANCES}, []
    for each in every:
        if left & {(each.who, each.mark), each.what}:
            chosen.append(each)
            left -= {(each.who, each.mark), each.what}
    return [*chosen, *(each for each in every if each not in chosen)][:CALLS]


class Life:
    """One call with its two people and one disturbance by one of them."""

    def __init__(self, them, disturbance):
        self.them, self.disturbance = them, disturbance
        self.call_id = ""
        self.offered_keys = ""  # what the client pressed while the recording was offered

    async def live(self):
        self.call_id = await self.them.dial()
        people = [asyncio.create_task(work) for work in (self._client(), self._consultant())]
        try:
            await self.them.platform.marked(self.call_id, "ended", LONGEST_SECONDS)
            await self.them.platform.finished(self.call_id)
        finally:
            for task in people:
                task.cancel()
            await asyncio.gather(*people, return_exceptions=True)
        await asyncio.gather(self.them.client.hang_up(), self.them.consultant.hang_up())

    async def _client(self):
        for mark, keys in CLIENTS.items():
            await self.them.platform.marked(self.call_id, mark, LONGEST_SECONDS)
            if mark == "bridging":
                await self.them.client.speak()
            await self._do("client", self.them.client, mark, keys)
            if mark == "bridging":
                await asyncio.sleep(TALK_SECONDS)
                stays = (self.disturbance.who, self.disturbance.mark) == ("client", "left")
                await (self.them.consultant if stays else self.them.client).hang_up()

    async def _consultant(self):
        phone = self.them.consultant
        await phone.ringing(LONGEST_SECONDS)
        await phone.answer()
        for mark, keys in CONSULTANTS.items():
            await self.them.platform.marked(self.call_id, mark, LONGEST_SECONDS)
            if mark == "bridging":
                await phone.speak()
            await self._do("consultant", phone, mark, keys)

    async def _do(self, who, phone, mark, right):
        what = self.disturbance.what if (who, mark) == (self.disturbance.who, self.disturbance.mark) else ""
        if what == "drop":
            await phone.drop()
            return
        if what == "hang up" or (not what and mark == "left"):  # nobody else waits for the rest
            await phone.hang_up()
            return
        if what == "too late":
            await asyncio.sleep(4)
        elif not what:
            await asyncio.sleep(0.5)  # as a person does; and before it, what they press may come too early
        other = right or "1"
        keys = {
            "silence": "",
            "wrong key": "7",
            "too early": other,
            "too late": other,
            "twice": other * 2,
            "many at once": "321*0#9",
        }.get(what, right)
        if mark == "recording offered":
            self.offered_keys = keys
        if keys:
            with contextlib.suppress(AriError):
                await phone.press(keys, length=60, pause=40)


def talked(settings, call_id):
    """Return the seconds that both were in the bridge, according to Asterisk's log."""
    inside, since, seconds = set(), None, Decimal(0)
    for line in settings.cel_file.read_text(encoding="utf-8").splitlines():
        row = cel.parse(line)
        if row.extra.get("bridge_id") != talk_bridge(call_id):
            continue
        if row.event == "BRIDGE_ENTER":
            inside.add(row.channel)
            since = row.at if len(inside) == 2 else since
        elif row.event == "BRIDGE_EXIT":
            if len(inside) == 2:
                seconds += Decimal((row.at - since) // timedelta(microseconds=1)) / 1_000_000
            inside.discard(row.channel)
    return seconds


def wrong(life):
    """What is wrong with a call that is over."""
    them, call_id = life.them, life.call_id

    def look(session):
        call = session.get_one(Call, call_id)
        receipt = session.scalar(select(Receipt).where(Receipt.call_id == call_id))
        recording = session.scalar(select(Recording).where(Recording.call_id == call_id))
        return call, receipt, recording

    call, receipt, recording = them.platform.database.read(look)
    seconds = talked(them.platform.settings, call_id)
    billed = math.ceil(seconds)
    talk = (155 * billed * 2 + 60) // 120
    fee = FEE if recording is not None and recording.status == "ready" else 0
    if call.status not in FINAL:
        yield f"it stands at {call.status}"
    if them.credit - them.wallet() != talk + fee:
        yield f"{them.credit - them.wallet()} is paid for {seconds:.3f} s, which cost {talk}, and {fee} for the recording"
    if (0 if receipt is None else receipt.total) != talk + fee:
        yield f"the receipt says {receipt and receipt.total} for {seconds:.3f} s"
    asked = next((key for key in life.offered_keys if key in "12"), "")
    if call.recording_asked and asked != "1":
        yield f"a recording was chosen by {life.offered_keys!r}"


async def test_calls_that_are_disturbed_anywhere_cost_no_more_than_their_talk_and_leave_nothing(cast):
    lives = [Life(cast(), disturbance) for disturbance in drawn()]
    gate = asyncio.Semaphore(AT_ONCE)

    async def live(life):
        async with gate:
            await life.live()

    await asyncio.gather(*(live(life) for life in lives))
    everyone = lives[0].them
    await everyone.platform.until(
        lambda session: (
            session.scalar(
                select(Recording.call_id).where(Recording.status.not_in(["ready", "failed"])).limit(1)
            )
            is None
        ),
        "every recording is ready",
    )
    problems = [f"{life.disturbance}: {each}" for life in lives for each in wrong(life)]
    assert problems == [], "\n".join(problems)
    assert everyone.platform.database.read(check) == []
    await everyone.nothing_left()
