"""Talks for tests: started by keys, with voices from the first second on, and checked by what was heard."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
from hearing import RATE
from sqlalchemy import select

from taxiphone.store.models import Call, Receipt

_BLOCK = 400  # samples: 50 ms
_SHARE = 0.3  # of a block's power: then it is the tone, alone or beside another, and no voice
_FAINT = 500.0  # root mean square, of 32768: below, nobody speaks
_BETWEEN = 0.35  # seconds that a tone is away while its phone presses a key


async def begin(call, *, package=None, record=None, then=None):
    """Dial, skip the price, choose, and let the consultant accept. Both speak from the moment they answer.

    Args:
        call: a scene.
        package: True: the package is chosen, False: by the minute; None: there is no choice.
        record: True: recorded, False: not; None: nobody is asked.
        then: what happens just before the consultant accepts.
    """
    them = call.them
    call_id = await call.dial()
    await voice(call.client)
    await call.platform.marked(call_id, "price told")
    await them.press(call_id, call.client, "#", "price heard")
    if package is not None:
        await call.client_ear.begins("mode-choice")
        await them.press(call_id, call.client, "2" if package else "1", "mode")
    if record is not None:
        await call.platform.marked(call_id, "recording offered", 30)
        await them.press(call_id, call.client, "1" if record else "2", "recording asked")
    await accept(call, then=then)


async def accept(call, *, then=None):
    """Let the consultant answer, speak and press 1, and return when the talk has started."""
    await call.consultant.ringing(30)
    await call.consultant.answer()
    await voice(call.consultant)
    await call.platform.marked(call.call_id, "consultant answered")
    if then is not None:
        await then()
    await call.them.press(call.call_id, call.consultant, "1", "accepted")
    await talking(call)


async def talking(call):
    """Wait until one of the two hears the other, which means that they are bridged."""
    await call.platform.marked(call.call_id, "bridging")
    async with asyncio.timeout(10):
        while not (
            stretches(call.client.samples()[-RATE:], call.consultant.hertz)
            or stretches(call.consultant.samples()[-RATE:], call.client.hertz)
        ):
            await asyncio.sleep(0.1)


async def voice(phone):
    """Let a phone send its tone as soon as it is in a call."""
    await phone.connected()
    await phone.speak()


async def at_once(*stories: Awaitable[None]) -> None:
    """Run several stories concurrently to their ends, then raise the first failure."""
    results = await asyncio.gather(*stories, return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    for error in failed[1:]:
        failed[0].add_note(f"and another of them: {error}")
    if failed:
        raise failed[0]


# -- the bill ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bill:
    """A call that was priced."""

    call: Call
    receipt: Receipt

    @property
    def talked(self) -> float:
        """The duration in seconds, according to Asterisk."""
        return (self.call.talk_to - self.call.talk_from).total_seconds()


async def priced(call) -> Bill:
    """Wait until the meter has priced a talk."""
    row = await call.platform.finished(call.call_id, 30)
    receipt = call.platform.database.do(
        lambda session: session.scalar(select(Receipt).where(Receipt.call_id == call.call_id))
    )
    return Bill(row, receipt)


def cents(price: str, seconds: int) -> int:
    """Return the price per minute of this many seconds, in cents, rounded once."""
    return int((Decimal(price) * 100 * seconds / 60).quantize(Decimal(1), ROUND_HALF_UP))


def clients_bill(call, bill: Bill):
    """Return what the client hears about the price of a talk that wasn't recorded."""
    speech = call.speech
    return (
        *speech.talk_lasted(bill.call.billed_seconds),
        *speech.it_costs(bill.receipt.total, "EUR"),
        *speech.credit_left(call.them.wallet(), "EUR"),
    )


def consultants_bill(call, bill: Bill):
    """Return what the consultant hears about it."""
    speech = call.consultants_speech
    return (
        *speech.talk_lasted(bill.call.billed_seconds),
        *speech.your_share(bill.receipt.consultant_share, "EUR"),
    )


async def let_go(call):
    """Hang up both phones, if necessary, and wait until every leg has ended."""
    await asyncio.gather(call.client.hang_up(), call.consultant.hang_up())
    await call.client.ended(5)
    await call.platform.marked(call.call_id, "ended")


# -- the tone ---------------------------------------------------------------------------------------------------------


def tone(phone, hertz: int) -> list[tuple[float, float]]:
    """Return the start and end of each stretch of a tone that a phone heard, in seconds; a key makes no gap."""
    return stretches(phone.samples(), hertz)


def stretches(samples, hertz: int, between: float = _BETWEEN) -> list[tuple[float, float]]:
    """Return the start and end of each stretch of a tone in samples, in seconds, ignoring gaps shorter than `between`."""
    count = len(samples) // _BLOCK
    blocks = np.asarray(samples[: count * _BLOCK], np.float64).reshape(count, _BLOCK)
    wave = np.exp(-2j * np.pi * hertz * np.arange(_BLOCK) / RATE)
    power = np.mean(blocks**2, axis=1)
    amplitude = 2 * np.abs(blocks @ wave) / _BLOCK
    there = (power > _FAINT**2) & (amplitude**2 / 2 >= _SHARE * power)
    found: list[tuple[float, float]] = []
    for number in np.flatnonzero(there):
        begin, end = number * _BLOCK / RATE, (number + 1) * _BLOCK / RATE
        if found and begin - found[-1][1] <= between:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def gaps(found: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the gaps between the stretches of a tone."""
    return [(before[1], after[0]) for before, after in itertools.pairwise(found)]
