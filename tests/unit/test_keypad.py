"""One press counts as one key, however often it is sent. The times are from events of a real Asterisk 22.10."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from taxiphone.ari_app.keypad import Keypad
from taxiphone.ari_app.router import Leg

BEGIN = datetime(2026, 11, 27, 1, 0, tzinfo=UTC)


def counted(*events, keypad=None):
    """Return the keys that count. Each event has a digit, its milliseconds after the first, and its length."""
    keypad = keypad or Keypad()
    return "".join(
        digit
        for digit, at, length in events
        if keypad.is_new_press(digit, BEGIN + timedelta(milliseconds=at), length)
    )


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([(0, 100), (1, 100), (46, 100), (47, 100), (207, 100)], id="three end packets"),
        pytest.param([(0, 100), (0, 100), (45, 100), (46, 100), (206, 100)], id="three, one sample apart"),
        pytest.param([(0, 160), (59, 100)], id="INFO and RTP at once"),
        pytest.param([(0, 160), (60, 100)], id="INFO 30 ms after the begin"),
        pytest.param([(0, 160), (53, 100)], id="INFO 50 ms after the begin"),
        pytest.param([(0, 160), (15, 100), (52, 100)], id="INFO 90 ms after the begin"),
        pytest.param([(0, 100), (45, 160)], id="INFO 20 ms after the end"),
        pytest.param([(0, 100), (48, 160)], id="INFO 50 ms after the end"),
        pytest.param([(0, 100), (95, 160)], id="INFO 100 ms after the end"),
        pytest.param([(0, 160), (136, 100), (209, 100)], id="RTP 30 ms after INFO"),
        pytest.param([(0, 100), (116, 100), (224, 100)], id="RTP 50 ms after INFO, as long"),
    ],
)
def test_the_copies_of_one_press_are_one_key(events):
    assert counted(*(("5", *event) for event in events)) == "5"


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([(0, 100), (157, 100)], id="100 ms, a pause of 50"),
        pytest.param([(0, 60), (155, 60)], id="60 ms, a pause of 90"),
        pytest.param([(0, 40), (154, 40)], id="40 ms, a pause of 110"),
        pytest.param([(0, 40), (104, 40)], id="40 ms, a pause of 60"),
        pytest.param([(0, 160), (205, 160)], id="INFO twice"),
        pytest.param([(0, 100), (257, 120)], id="unequally long"),
    ],
)
def test_two_presses_150_ms_apart_are_two_keys(events):
    assert counted(*(("5", *event) for event in events)) == "55"


def test_different_keys_are_never_copies_of_each_other():
    assert counted(("1", 0, 100), ("2", 10, 100), ("1", 20, 100)) == "121"


def test_each_key_that_a_carrier_sends_twice_counts_once_throughout_the_call():
    keypad = Keypad()
    events = [
        ("1", 0, 160),
        ("1", 58, 100),
        ("0", 400, 160),
        ("0", 452, 100),
        ("3", 900, 100),
        ("3", 948, 160),
    ]
    assert counted(*events, ("3", 1500, 160), ("3", 1558, 100), keypad=keypad) == "1033"
    assert keypad.sends_copies


def test_a_clock_that_is_set_back_drops_no_key():
    assert counted(("5", 0, 100), ("5", -3_600_000, 100)) == "55"


def test_an_event_without_a_time_is_a_key():
    keypad = Keypad()
    assert keypad.is_new_press("5", None, 100)
    assert keypad.is_new_press("5", None, 100)


async def test_a_leg_keeps_one_key_of_a_press_that_came_twice():
    leg = Leg("c1")
    for digit, at, length in (("1", "000", 160), ("1", "058", 100), ("#", "400", 160)):
        leg.apply(
            {
                "type": "ChannelDtmfReceived",
                "digit": digit,
                "duration_ms": length,
                "timestamp": f"2026-11-27T01:00:00.{at}+0000",
            }
        )
    assert [await leg.key(), await leg.key()] == ["1", "#"]
    leg.mark_gone()
    assert await leg.key() is None
