"""Detecting a side of a talk that isn't heard, from the packets of its phone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest

from taxiphone.ari_app.channels import RtpCount
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.rtp_watchdog import Noted, RtpWatchdog
from taxiphone.settings_sections import Call
from taxiphone.simulate.clock import VirtualTimeLoop, wall_clock
from taxiphone.store.types import now

SETTINGS = Call(one_way_seconds=10, rtp_timeout_seconds=30)


@dataclass
class Phone:
    """What a phone sends: packets in the menu, and in a part of the talk."""

    menu: int = 500
    sends: tuple[float, float] = (0, 1000)
    packets_per_second: float = 50
    reports_until: float = 0  # each five seconds
    listens_only: tuple[float, float] = (0, 0)
    held: tuple[float, float] = (0, 0)
    answer: dict | None = None  # what a refresh changes


DEAD = Phone(sends=(0, 0))


class World:
    """Both phones in virtual time, with their packets and signalling."""

    def __init__(self, **phones):
        self.loop = VirtualTimeLoop()
        self.began = now()
        self.phones = {"client": Phone(), "consultant": Phone(), **phones}
        self.legs = {name: Leg(name) for name in self.phones}
        self.refreshed = []
        self.polls = 0
        for name, leg in self.legs.items():
            leg.sip_call_id = name

    @property
    def seconds(self):
        return self.loop.time()

    # as `Channels`

    async def rtp_count(self, leg):
        phone = self.phones[leg.id]
        self.polls += 1
        leg.set_on_hold(phone.held[0] <= self.seconds < phone.held[1])
        begin, end = phone.sends
        return RtpCount(
            phone.menu + int(max(0, min(self.seconds, end) - begin) * phone.packets_per_second), 1
        )

    async def poll_hold(self, leg):
        pass

    async def refresh_session(self, leg):
        self.refreshed.append(leg.id)
        vars(self.phones[leg.id]).update(self.phones[leg.id].answer or {})

    # as `MediaSignalling`

    def reports(self, call_id, ours):
        assert ours == 1
        return int(min(self.seconds, self.phones[call_id].reports_until) / 5)

    def sends_nothing(self, call_id):
        begin, end = self.phones[call_id].listens_only
        return begin <= self.seconds < end

    def silence(self, **options):
        """Return which leg is silent, whether from the start, and until which second it was heard."""

        async def silence():
            watchdog = RtpWatchdog(
                self, self, self.legs["client"], self.legs["consultant"], SETTINGS, **options
            )
            async with asyncio.timeout(200):
                return await watchdog.until_silence()

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner, wall_clock(self.loop, self.began):
            found = runner.run(silence())
        until = None if found.heard_until is None else (found.heard_until - self.began).total_seconds()
        return found.leg.id, found.from_the_start, until


@pytest.fixture
def world():
    return World


both = pytest.mark.parametrize("who", ["client", "consultant"])


@both
def test_a_side_that_was_never_heard_is_found_after_the_time_of_the_settings(world, who):
    made = world(**{who: Phone(menu=0, sends=(0, 0))})
    assert made.silence() == (who, True, None)
    assert 10 <= made.seconds <= 12.5


@both
def test_packets_before_the_answer_do_not_count_as_heard(world, who):
    made = world(**{who: DEAD})
    made.legs[who].packets_before_answer = 500
    assert made.silence() == (who, True, None)


@both
def test_a_side_that_was_heard_in_the_menu_only_is_lost_before_the_talk(world, who):
    made = world(**{who: DEAD})
    leg, from_the_start, until = made.silence()
    assert (leg, from_the_start) == (who, False)
    assert until <= 0
    assert 30 <= made.seconds <= 32.5


@both
@pytest.mark.parametrize("last", [14.0, 15.3, 61.98])
def test_a_side_that_falls_silent_is_found_with_its_last_packet(world, who, last):
    made = world(**{who: Phone(sends=(0, last))})
    leg, from_the_start, until = made.silence()
    assert (leg, from_the_start) == (who, False)
    assert until == pytest.approx(last, abs=0.03)
    assert last + 28 < made.seconds < last + 34


@both
@pytest.mark.parametrize("reason", ["held", "listens_only"])
def test_a_phone_that_holds_or_only_listens_is_not_taken_for_a_dead_line(world, who, reason):
    made = world(**{who: Phone(sends=(0, 20), **{reason: (20, 1000)})})
    with pytest.raises(TimeoutError):
        made.silence()


@both
@pytest.mark.parametrize("reason", ["held", "listens_only"])
def test_one_that_stays_silent_afterwards_is_lost_from_then_on(world, who, reason):
    made = world(**{who: Phone(sends=(0, 20), **{reason: (20, 100)})})
    leg, from_the_start, until = made.silence()
    assert (leg, from_the_start) == (who, False)
    assert until == pytest.approx(100, abs=2.1)


@both
def test_a_silent_phone_that_still_reports_is_lost_at_its_last_report(world, who):
    made = world(**{who: Phone(sends=(0, 20), reports_until=80)})
    leg, _, until = made.silence()
    assert leg == who
    assert until == pytest.approx(80, abs=2.1)


@both
def test_signalling_does_not_count_as_being_heard(world, who):
    made = world(**{who: Phone(menu=0, sends=(0, 0), reports_until=1000, listens_only=(0, 1000))})
    assert made.silence() == (who, True, None)


def test_of_two_lines_that_are_lost_the_one_that_was_silent_first_ends_the_talk(world):
    made = world(client=Phone(sends=(0, 24)), consultant=Phone(sends=(0, 20)))
    leg, _, until = made.silence()
    assert leg == "consultant"
    assert until == pytest.approx(20, abs=0.03)


def test_two_who_are_heard_are_left_alone(world):
    with pytest.raises(TimeoutError):
        world(consultant=Phone(menu=0, sends=(3, 1000))).silence()


@both
@pytest.mark.parametrize("packets_per_second", [100, 33.3, 16.7])
def test_the_last_packet_is_found_whatever_a_packet_carries(world, who, packets_per_second):
    made = world(**{who: Phone(sends=(0, 63.7), packets_per_second=packets_per_second)})
    _, _, until = made.silence()
    assert until == pytest.approx(63.7, abs=0.1)


@both
def test_after_a_hold_the_last_moment_of_it_is_known_as_exactly_as_before(world, who):
    made = world(**{who: Phone(sends=(0, 20), held=(20, 103))})
    _, _, until = made.silence()
    assert until == pytest.approx(103, abs=2.1)


def test_while_packets_arrive_they_are_counted_seldom(world):
    made = world()
    with pytest.raises(TimeoutError):
        made.silence()  # for 200 seconds
    assert made.polls <= 2 * 45


@pytest.mark.parametrize(("dead_since", "silent"), [(1000, 0), (41.5, 2.5)])
def test_how_long_a_side_has_been_silent_is_counted_when_somebody_asks(world, dead_since, silent):
    made = world(client=Phone(sends=(0, dead_since), packets_per_second=33.3))

    async def ask():
        watchdog = RtpWatchdog(made, made, made.legs["client"], made.legs["consultant"], SETTINGS)
        watching = asyncio.create_task(watchdog.until_silence())
        await asyncio.sleep(44)
        found = await watchdog.silent_for(made.legs["client"])
        watching.cancel()
        return found

    with asyncio.Runner(loop_factory=lambda: made.loop) as runner, wall_clock(made.loop, made.began):
        assert runner.run(ask()) == pytest.approx(silent, abs=0.1)


# -- a talk that was taken over ---------------------------------------------------------------------------------------


def test_what_was_noted_before_tells_the_last_packet_of_a_line_that_died_meanwhile(world):
    made = world(client=Phone(menu=3000, sends=(0, 0)))
    earlier = (
        Noted(made.began - timedelta(seconds=100), 2000),
        Noted(made.began - timedelta(seconds=110), 1500),
    )
    leg, from_the_start, until = made.silence(heard=True, earlier=(earlier, ()))
    assert (leg, from_the_start) == ("client", False)
    assert until == pytest.approx(-80, abs=0.1)  # 1,000 packets at 50 a second


def test_where_nothing_was_noted_a_line_counts_as_heard_until_the_talk_was_taken_over(world):
    _, _, until = world(client=DEAD).silence(heard=True)
    assert until == pytest.approx(0, abs=0.1)


def test_a_phone_that_began_to_only_listen_while_the_program_was_down_is_asked(world):
    made = world(client=Phone(sends=(0, 0), answer={"listens_only": (0, 1000)}))
    with pytest.raises(TimeoutError):
        made.silence(heard=True)
    assert made.refreshed == ["client"]


def test_a_talk_that_was_not_taken_over_is_not_disturbed_by_a_question(world):
    made = world(client=Phone(sends=(0, 20)))
    made.silence()
    assert made.refreshed == []
