"""Callers can't flood the program's log."""

from __future__ import annotations

import logging

import pytest

from taxiphone.server.log_limit import RepeatLimit


@pytest.fixture
def heard():
    """Log through the filter: `heard.log`, `heard.lines`, `heard.at`, the time."""

    class Heard(logging.Handler):
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []
            self.at = 0.0
            self.addFilter(RepeatLimit(3, lambda: self.at))
            self.log = logging.Logger("taxiphone.test")  # noqa: LOG001 - one of this test's own
            self.log.addHandler(self)

        def emit(self, record: logging.LogRecord) -> None:
            self.lines.append(record.getMessage())

    return Heard()


def test_each_kind_of_line_is_limited_per_minute_and_the_rest_is_counted(heard) -> None:
    for second in range(60):
        heard.at = second
        heard.log.warning("call %s could not be rung", second)
    assert heard.lines == ["call 0 could not be rung", "call 1 could not be rung", "call 2 could not be rung"]


def test_the_next_minute_says_how_many_were_left_out(heard) -> None:
    for number in range(9):
        heard.at = 61.0 if number == 8 else 0.0
        heard.log.warning("call %s failed: 100%%", number)
    assert heard.lines[3:] == [
        "call 8 failed: 100% (5 more messages like this were suppressed in the minute before)"
    ]


def test_other_lines_and_those_that_somebody_asked_for_are_not_left_out(heard) -> None:
    for _ in range(9):
        heard.log.warning("one")
        heard.log.info("each step of each call")
    heard.log.error("another")
    assert heard.lines.count("one") == 3
    assert heard.lines.count("each step of each call") == 9
    assert heard.lines[-1] == "another"
