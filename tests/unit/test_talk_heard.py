"""Up to when a talk was heard, and whether it dropped: tables of ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiphone.billing.pricing.talk import BOTH, Event, Talk, dropped, heard, is_over, talk

BEGIN = datetime(2026, 11, 22, 18, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(microseconds=round(seconds * 1_000_000))


def found(*more: tuple[str, float, str, Any], end: float | None = None) -> Talk:
    """Derive a talk that starts at 0 s from rows (event, seconds, leg, cause)."""
    events = [Event("BRIDGE_ENTER", BEGIN, leg, bridge="talk") for leg in ("client", "consultant")]
    if end is not None:
        events.append(Event("BRIDGE_EXIT", at(end), "client", bridge="talk"))
    for event, seconds, leg, cause in more:
        bridge = "talk" if event.startswith("BRIDGE") else None
        events.append(Event(event, at(seconds), leg, bridge=bridge, cause=cause))
    made = talk(events, "client", "consultant", "talk")
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("cause", "nobody_asked"),
    [(None, False), (0, False), (16, False), (17, False), (19, False), (21, False), (31, False)]
    + [(cause, True) for cause in (18, 20, 27, 38, 41, 44, 102, 127)],
)
def test_a_talk_is_dropped_by_the_cause_of_who_left_first(cause: int | None, nobody_asked: bool) -> None:
    assert dropped(found(("HANGUP", 60.0005, "client", cause), end=60)) is nobody_asked


@pytest.mark.parametrize(
    ("rows", "by"),
    [
        ([("BRIDGE_EXIT", 60.2, "consultant", None), ("HANGUP", 60.3, "consultant", 41)], None),
        ([("HANGUP", 60.3, "client", 38), ("HANGUP", 60.4, "consultant", 16)], 38),
        ([("HANGUP", 90.0, "client", 38)], None),  # taken out, told what it cost, and then its line failed
        ([("HANGUP", 61.0, "client", 38)], 38),
        ([("HANGUP", 61.000001, "client", 38)], None),
        ([("BRIDGE_EXIT", 60, "consultant", None), ("HANGUP", 60.1, "consultant", 16)], 16),
        (
            [
                ("BRIDGE_EXIT", 60, "consultant", None),
                ("HANGUP", 60.1, "consultant", 16),
                ("HANGUP", 60.2, "client", 41),
            ],
            41,
        ),
    ],
)
def test_only_the_hang_up_that_ended_the_talk_counts(rows: Any, by: int | None) -> None:
    made = found(*rows, end=60)
    assert made.ended_by == by
    assert dropped(made) is (by not in {None, 16})


def test_a_hang_up_without_a_row_of_the_bridge_is_the_end_too() -> None:
    made = found(("HANGUP", 12.5, "consultant", 41))
    assert (made.left_first, made.ended_by, made.complete) == ("consultant", 41, True)


def test_a_talk_without_an_end_is_dropped() -> None:
    made = found(("APP_END", 70, "client", None))
    assert (made.complete, made.ended_by) == (False, None)
    assert dropped(made)


@pytest.mark.parametrize(
    ("until", "timeout", "cause", "seconds"),
    [
        (None, None, 16, 60),
        (None, 30, 16, 60),  # an ordinary hang-up
        (None, 30, 44, 30),  # Asterisk hung up after 30 s of silence, and nobody saw that begin
        (None, 90, 44, 0),  # never before its beginning
        (None, None, 44, 60),
        (41.25, 30, 44, 41.25),  # the program saw the last packet, so nothing is guessed
        (41.25, 30, 16, 41.25),
        (61, 30, 16, 60),
        (-5, 30, 16, 0),
    ],
)
def test_a_talk_is_heard_until_a_side_falls_silent(
    until: float | None, timeout: int | None, cause: int, seconds: float
) -> None:
    made = found(("HANGUP", 60.001, "client", cause), end=60)
    cut = heard(made, until=None if until is None else at(until), rtp_timeout=timeout)
    assert cut.microseconds == round(seconds * 1_000_000)
    assert (cut.start, cut.end) == (BEGIN, at(seconds))
    assert (cut.left_first, cut.ended_by) == (made.left_first, made.ended_by)


def test_stretches_after_the_silence_are_gone_and_the_one_around_it_is_cut() -> None:
    stretches = tuple((at(begin), at(end)) for begin, end in ((0, 10), (20, 30), (40, 50)))
    made = Talk(BEGIN, at(50), 30_000_000, stretches, BOTH, complete=True)
    assert heard(made, until=at(25)).microseconds == 15_000_000
    assert heard(made, until=at(35)).stretches == stretches[:2]
    assert heard(made, until=at(35)).end == at(30)


@given(st.integers(-100, 5000), st.lists(st.integers(1, 500), min_size=2, max_size=9))
def test_what_is_heard_is_never_more_than_the_talk_and_grows_with_the_moment(
    until: int, lengths: list[int]
) -> None:
    moments = [at(sum(lengths[:n])) for n in range(len(lengths) + 1)]
    stretches = tuple(zip(moments[::2], moments[1::2], strict=False))
    total = sum((end - start) // timedelta(microseconds=1) for start, end in stretches)
    made = Talk(stretches[0][0], stretches[-1][1], total, stretches, "client", complete=True)
    cut, later = heard(made, until=at(until)), heard(made, until=at(until + 1))
    assert 0 <= cut.microseconds <= later.microseconds <= made.microseconds
    assert cut.microseconds == sum((e - s) // timedelta(microseconds=1) for s, e in cut.stretches)


@pytest.mark.parametrize(
    ("talked", "parted", "over"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_call_is_over_once_the_talk_is_and_the_program_says_so(
    talked: bool, parted: bool, over: bool
) -> None:
    events = [Event("BRIDGE_EXIT", BEGIN, "client", bridge="talk")]
    assert is_over(events, "client", "consultant", talked=talked, parted=parted) is over
