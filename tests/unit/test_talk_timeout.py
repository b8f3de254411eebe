"""Asterisk's talk time-out when the wall clock is changed: which cases are distinguished, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import pytest
from clocks import moment

from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.talk_timeout import TalkTimeout
from taxiphone.store import types


class Told:
    """Replaces the requests to Asterisk and records them."""

    def __init__(self) -> None:
        self.seconds: list[tuple[str, str]] = []

    async def set_variables(self, leg: Leg, values: Mapping[str, str]) -> bool:
        assert list(values)[-1] == "TIMEOUT(absolute)"
        self.seconds.append((leg.id, values["TIMEOUT(absolute)"]))
        return True


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def cut(told: Told) -> TalkTimeout:
    return TalkTimeout(told.set_variables, Leg("client"), Leg("consultant"))


def at(second: float, step: float = 0) -> AbstractContextManager[None]:
    here = moment(second, step)
    return types.using_clocks(lambda: here.at, lambda: here.monotonic_us)


@pytest.mark.parametrize(
    ("step", "early"), [(0, False), (0.5, False), (500, False), (600, True), (-600, False)]
)
async def test_only_a_step_beyond_the_end_ends_a_talk_too_early(
    cut: TalkTimeout, step: float, early: bool
) -> None:
    with at(0):
        await cut.after(600)
    with at(10, step):
        assert cut.came_too_early() is early
        assert (cut.stepped() is not None) is (abs(step) > 1)


async def test_an_end_at_its_second_is_not_too_early_after_a_step(told: Told, cut: TalkTimeout) -> None:
    with at(0):
        await cut.after(600)
    with at(10, 500):
        await cut.after(590)
        assert cut.stepped() is None
    with at(600, 500):
        assert not cut.came_too_early()
    assert told.seconds[2:] == [("client", "590.0"), ("consultant", "595.0")]


async def test_setting_the_timeout_again_before_the_hang_up_arrives_does_not_hide_the_reason(
    cut: TalkTimeout,
) -> None:
    with at(0):
        await cut.after(600)
    with at(10, 3600):
        await cut.after(590)  # the step is noticed, and Asterisk has hung up already
        assert cut.came_too_early()
    with at(60, 3600):  # it has not expired: the talk continues, and somebody hangs up later
        assert not cut.came_too_early()


async def test_a_timeout_that_is_right_within_the_time_that_bridging_takes_need_not_be_set_again(
    cut: TalkTimeout,
) -> None:
    assert not cut.is_set_to(600, later=1)
    with at(0):
        await cut.after(601)
    with at(0.3):
        assert cut.is_set_to(600, later=1)
    with at(1.5):
        assert not cut.is_set_to(600, later=1)  # it would end the talk before its last second
    with at(60):
        assert cut.is_set_to(540.5, later=1)
        assert not cut.is_set_to(300, later=1)  # the client has chosen to end earlier
