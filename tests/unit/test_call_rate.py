"""The number of calls per minute from one number is limited."""

from __future__ import annotations

from taxiphone.ari_app.call_rate import CallRate


def test_a_call_beyond_the_limit_per_minute_is_refused_and_does_not_count() -> None:
    rate = CallRate(3)
    assert [rate.allows("+33639980001", at) for at in (0, 1, 2, 3, 59)] == [True, True, True, False, False]
    assert rate.allows("+33639980002", 3)
    assert [rate.allows("+33639980001", at) for at in (60, 60.5, 61)] == [True, False, True]


def test_callers_with_a_hidden_number_do_not_hinder_each_other() -> None:
    rate = CallRate(1)
    assert all(rate.allows("", 0) for _ in range(100))


def test_a_flood_of_numbers_does_not_fill_the_memory() -> None:
    rate = CallRate(1)
    for number in range(30_000):
        assert rate.allows(str(number), 0)
    assert len(rate._calls) == 10_000
