"""Virtual time jumps when every task waits, and stands still while a thread works."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from taxiphone.simulate import clock
from taxiphone.store.types import now


def test_an_hour_of_waiting_is_over_at_once_and_was_an_hour():
    async def main(loop):
        begin, wall = loop.time(), now()
        await asyncio.sleep(3600)
        return loop.time() - begin, (now() - wall).total_seconds()

    before = time.monotonic()
    assert clock.run(main) == (3600, 3600)
    assert time.monotonic() - before < 3600


def test_time_outs_come_in_the_order_of_their_times():
    async def main(loop):
        order = []
        for seconds in (5, 1, 3):
            loop.call_later(seconds, order.append, seconds)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4):
                await asyncio.Event().wait()
        return order

    assert clock.run(main) == [1, 3]


def test_time_stands_still_while_a_thread_works():
    async def main(loop):
        go_on = threading.Event()
        work = asyncio.create_task(asyncio.to_thread(go_on.wait))
        asleep = asyncio.create_task(asyncio.sleep(60))
        for _ in range(1000):
            await asyncio.sleep(0)
        still = loop.time()
        go_on.set()
        await work
        worked = loop.time()
        await asleep
        return still, worked, loop.time()

    assert clock.run(main) == (0, 0, 60)


def test_a_thread_that_nothing_waits_for_still_stops_time():
    async def main(loop):
        go_on, done = threading.Event(), []

        def work():
            go_on.wait()
            done.append(loop.time())

        waiting = asyncio.create_task(asyncio.to_thread(work))
        await asyncio.sleep(0)
        waiting.cancel()
        loop.call_soon(go_on.set)
        await asyncio.sleep(60)
        return done

    assert clock.run(main) == [0]


def test_time_waits_for_a_person_who_is_asked():
    async def main(loop):
        asked = []

        async def ask():
            await asyncio.sleep(0)
            asked.append(loop.time())

        def before_jump():
            if asked:
                return False
            loop.stand_still(asyncio.ensure_future(ask()))
            return True

        loop.before_jump = before_jump
        await asyncio.sleep(10)
        return asked

    assert clock.run(main) == [0]


def test_the_wall_clock_is_this_machines_again_afterwards():
    async def main(_):
        await asyncio.sleep(86_400 * 365)
        return now()

    assert clock.run(main) > now()
