"""If Asterisk never wrote the end of a talk, the talk is priced while the program runs, and is never free."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from click.testing import CliRunner
from clocks import TO_THE_BRIDGE, moment, noted

from taxiphone.billing.metering.meter import Meter
from taxiphone.commands.ledger import ledger as ledger_command
from taxiphone.server.abandoned import AbandonedCalls
from taxiphone.store import types
from taxiphone.store.calls import Status
from taxiphone.store.models import Call


@pytest.fixture
def ended(house: Any) -> str:
    """Return a call with a talk of a minute, whose end is only in the call events and not in the log."""
    call_id: str = house.call(house.client(), house.consultant())
    house.write(*house.talk(call_id)[:TO_THE_BRIDGE])
    marks = {"bridging": -0.01, "bridged": 0.002, "parted": 60.001, "left": 60.001, "ended": 60.1}
    noted(house, call_id, **{what: moment(at) for what, at in marks.items()})
    stands(house, call_id, Status.ENDED)
    return call_id


def stands(house: Any, call_id: str, status: Status) -> None:
    house.database.do(lambda s: setattr(s.get_one(Call, call_id), "status", status))


async def watched(house: Any, until: Any, found: set[str]) -> None:
    async def without_legs() -> set[str]:
        return found

    calls = AbandonedCalls(Meter(house.settings, house.database), poll_seconds=0.01)
    task = asyncio.create_task(calls.watch(without_legs))
    async with asyncio.timeout(60):
        while not until():
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_it_is_priced_while_the_program_runs(house: Any, ended: str) -> None:
    await watched(house, lambda: house.get(ended).status == Status.RATED, {ended})
    found = house.get(ended)
    assert (found.billed_seconds, found.receipt.total) == (60, 155)
    assert found.review.startswith(
        "Asterisk's log has no end of this talk: it was priced up to the last proof"
    )
    assert house.balance("hold", ended) == 0
    assert house.problems() == []


async def test_a_talk_that_the_log_has_nothing_of_is_priced_from_what_the_program_saw(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant())
    noted(house, call_id, bridging=moment(-0.01), bridged=moment(0), alive=moment(10), parted=moment(83.4))
    stands(house, call_id, Status.ENDED)
    await watched(house, lambda: house.get(call_id).status == Status.RATED, {call_id})
    found = house.get(call_id)
    assert (found.billed_seconds, found.receipt.total) == (84, 217)
    assert found.review.startswith("Asterisk's log has nothing about this talk")
    assert house.problems() == []


def test_a_talk_whose_beginning_was_lost_is_not_closed_for_nothing(house: Any, ended: str) -> None:
    other = house.call(house.client(code="7002"), 1)
    house.write(*house.talk(other)[TO_THE_BRIDGE:])  # as where the file before was compressed and thrown away
    noted(house, other, bridging=moment(-0.01), bridged=moment(0), parted=moment(60), left=moment(60))
    Meter(house.settings, house.database).read_once()
    found = house.get(other)
    assert (found.status, found.receipt.total) == (Status.RATED, 155)
    assert "nothing about this talk" in found.review
    assert house.get(ended).status == Status.ENDED


async def test_a_call_that_can_not_be_priced_is_retried_once_a_minute_and_not_reported_as_priced(
    house: Any, ended: str, caplog: pytest.LogCaptureFixture
) -> None:
    house.database.do(lambda s: setattr(s.get_one(Call, ended), "tariff", {"currency": "EUR"}))
    looks = 0

    async def without_legs() -> set[str]:
        nonlocal looks
        looks += 1
        return {ended}

    meter = Meter(house.settings, house.database)
    task = asyncio.create_task(AbandonedCalls(meter, poll_seconds=0.01).watch(without_legs))
    async with asyncio.timeout(60):
        while looks < 10:
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert house.get(ended).unpriced is not None
    assert caplog.text.count("can't be priced") == 1
    assert "what the program saw of it was priced" not in caplog.text
    assert meter.abandoned([ended]) == []


async def test_one_whose_legs_are_known_to_have_gone_is_priced_without_being_polled_for(
    house: Any, ended: str
) -> None:
    async def nobody() -> set[str]:
        return set()

    calls = AbandonedCalls(Meter(house.settings, house.database))
    calls.add({ended})
    task = asyncio.create_task(calls.watch(nobody))
    async with asyncio.timeout(60):
        while house.get(ended).status != Status.RATED:
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert house.get(ended).receipt.total == 155


async def test_one_that_can_not_be_priced_yet_is_tried_again(
    house: Any, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter(house.settings, house.database)
    price, failures = meter.abandoned, [OSError("the log can't be read")]

    def fails_once(call_ids: Any) -> list[str]:
        if failures:
            raise failures.pop()
        return price(call_ids)

    monkeypatch.setattr(meter, "abandoned", fails_once)
    calls = AbandonedCalls(meter)
    calls.add({ended})
    with pytest.raises(OSError, match="the log"):
        await calls.price()
    await calls.price()
    assert house.get(ended).status == Status.RATED


def release(house: Any, *arguments: str) -> str:
    app = house.app
    result = CliRunner().invoke(ledger_command, ["release-holds", *arguments], obj=app)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_release_holds_prices_what_a_restart_would_price(house: Any, ended: str) -> None:
    before, later = (
        house.balance("hold", ended),
        moment(900, step=-3600),
    )  # a wall clock that was set changes nothing
    with types.using_clocks(lambda: later.at, lambda: later.monotonic_us):
        told = release(house, "--call", ended)
    found = house.get(ended)
    assert (found.status, found.receipt.total) == (Status.RATED, 155)
    assert house.balance("wallet", found.client_id) == 10_000 - 155
    assert f"{(before - 155) / 100:.2f}" in told
    assert house.problems() == []


def test_release_holds_reads_the_log_first(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant())
    stands(house, call_id, Status.ENDED)
    house.database.do(lambda s: s.query(Call).update({"arrived_at": moment(0).at}))
    house.write(*house.talk(call_id))
    assert "No holds to release." in release(house)
    assert house.get(call_id).receipt.total == 155


def test_release_holds_leaves_the_files_of_the_log_to_serve(sqlite_house: Any) -> None:
    house = sqlite_house
    call_id = house.call(house.client(), house.consultant())
    house.write(*house.talk(call_id))
    Meter(house.settings, house.database).read_once()
    log = house.settings.cel_file
    former = log.rename(log.with_name(f"{log.name}.20261126T120000000000Z"))
    release(house)  # perhaps as root: serve could not read what that makes
    assert [each.name for each in log.parent.iterdir()] == [former.name]
    Meter(house.settings, house.database).read_once()
    assert [each.name for each in log.parent.iterdir()] == [f"{former.name}.gz"]
