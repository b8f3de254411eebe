"""The benchmark's own test set: a call through each side talks and is measured, so that it can't stop working unnoticed."""

from __future__ import annotations

import pytest

from taxiphone.bench.figures import summarise
from taxiphone.bench.rig import BenchSet
from taxiphone.bench.talks import ramp
from taxiphone.bench.warm_up import warm_up

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

COUNTED = ("transactions", "commits", "reads", "requests", "StasisStart")


async def test_a_call_through_each_side_talks_and_is_measured(asterisk, tmp_path):
    both = BenchSet(tmp_path, asterisk, lines=2)
    try:
        await both.start()
        waits, runs = await warm_up(both)
    finally:
        await both.stop()
    for run in runs:
        figures = summarise(run, waits[run.side])
        assert (figures.talked, run.all_ended, len(run.ring)) == (1, True, 1)
        assert min(figures.ring_p50, figures.cpu_asterisk, figures.cpu_phones) > 0
    # Only Taxiphone has prompts, a price, transactions and requests.
    plain, own = runs
    assert waits[plain.side] == 0
    assert not any((plain.last_step, plain.to_price, plain.counts, plain.cpu.program))
    # More than five prompts of 20 ms, and half a second in which a key may skip the price.
    assert 0.6 < waits[own.side] < 1
    assert (len(own.last_step), len(own.to_price)) == (1, 1)
    assert own.cpu.program > 0
    assert all(own.counts[name] > 0 for name in COUNTED)


@pytest.mark.slow
async def test_recorded_talks_are_counted_hung_up_priced_and_converted(asterisk, tmp_path):
    both = BenchSet(tmp_path, asterisk, lines=2, recorded=True)
    try:
        await both.start()
        found = await ramp(both, step=1, most=2, hold=2, wait=60)
    finally:
        await both.stop()
    own = [step for step in found.steps if step.side == both.taxiphone.name]
    assert found.steps[0].side == both.plain.name
    # On a busy machine, a packet may be late.
    assert all(
        step.talking == step.talks and step.platform.received > 0 < step.phones.received
        for step in found.steps
    )
    assert own[0].recorded == 1
    assert own[-1].failure or own[-1].recorded == 2
    assert len(found.prices) == found.backlog.ready == own[-1].talking
    assert found.backlog.failed == 0
