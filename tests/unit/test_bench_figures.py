"""The benchmark's arithmetic, on event logs and kernel tables written by hand."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from taxiphone.bench.arithmetic import (
    Run,
    percentile,
    processor_seconds,
    since,
    starts,
    summarise,
    table,
    talks,
)
from taxiphone.bench.calls import bench


def run(**fields):
    return Run(**{"side": "Taxiphone", "rate": 4, "calls": 2, "talked": 2, "ring": [0.7, 0.72], **fields})


@pytest.mark.parametrize(("share", "value"), [(50, 2), (75, 3), (95, 4), (99, 4), (1, 1)])
def test_a_percentile_is_one_of_the_values(share, value):
    assert percentile([4, 1, 3, 2], share) == value


def test_the_prompts_and_the_wait_for_a_key_are_no_part_of_the_ring_delay():
    figures = summarise([run(), run(ring=[0.69, 0.8])], waits=0.66)
    assert figures.ring_median == pytest.approx(40)
    assert figures.ring_max == pytest.approx(140)


def test_the_processor_time_per_call_is_the_median_of_the_runs():
    figures = summarise([run(program=0.1), run(program=0.12), run(program=9.0)], waits=0)
    assert figures.cpu_program == pytest.approx(60)
    assert figures.calls == 6


def test_a_plain_dial_has_no_last_prompt():
    assert summarise([run(last_step=[])], waits=0).last_step_median is None


def test_calls_for_which_no_phone_rang_leave_a_gap_and_no_error():
    figures = summarise([run(ring=[], talked=0)], waits=0)
    assert figures.ring_median != figures.ring_median
    assert "nan" in table([figures])


def test_the_first_start_of_a_leg_counts_by_its_id_and_by_the_number_dialled():
    lines = [
        '"CHAN_START","100.250000","bench-1","s"',
        '"CHAN_START","100.253000","1700.1","+33639982001"',
        '"CHAN_START","107.000000","1700.2","+33639982001"',
        '"CHAN_END","108.000000","1700.3","+33639982002"',
    ]
    by_leg, by_number = starts(lines)
    assert by_number["+33639982001"] - by_leg["bench-1"] == pytest.approx(0.003)
    assert "+33639982002" not in by_number


def test_a_talk_is_two_legs_in_one_bridge():
    def line(event, channel, bridge):
        extra = f'{{""bridge_id"":""{bridge}""}}'
        return f'"{event}","100.000001","{channel}","{channel}","PJSIP/x","","","","","{extra}"'

    assert talks([line("BRIDGE_ENTER", "a", "1"), line("BRIDGE_ENTER", "b", "1")]) == 1
    assert talks([line("BRIDGE_ENTER", "a", "1"), line("BRIDGE_ENTER", "b", "2")]) == 0
    assert talks([line("BRIDGE_ENTER", "a", "1"), line("BRIDGE_EXIT", "b", "1")]) == 0


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path):
    file = tmp_path / "phones.csv"
    assert since(file, 0) == []
    file.write_text("old\nnew\nhal")
    assert since(file, 4) == ["new"]


def test_the_time_of_a_process_includes_its_children_but_not_asterisk(tmp_path):
    def process(pid, parent, ticks, name="python"):
        fields = [str(parent), *["0"] * 9, str(ticks), "1", "1", "1", *["0"] * 20]
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) S {' '.join(fields)}\n")

    process(10, 1, 100)
    process(11, 10, 50, name="a (b) c")
    process(12, 10, 7000, name="asterisk")
    process(13, 12, 7000)
    process(14, 1, 7000)
    (tmp_path / "self").mkdir()
    ticks = os.sysconf("SC_CLK_TCK")
    assert processor_seconds(10, without=12, proc=tmp_path) == pytest.approx((103 + 53) / ticks)
    assert processor_seconds(12, proc=tmp_path) == pytest.approx(14006 / ticks)


@pytest.mark.parametrize("rates", ["fast", "", "0", "4,,8", "nan", "1000"])
def test_invalid_rates_are_refused_before_anything_starts(rates):
    result = CliRunner().invoke(bench, ["--rates", rates])
    assert result.exit_code == 2
    assert "calls a second" in result.output
