"""The benchmark's arithmetic, on event logs and kernel tables written by hand."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from taxiphone.bench.calls import bench
from taxiphone.bench.event_logs import PhoneCall, PhoneLog, Tail, Talks
from taxiphone.bench.figures import (
    Processors,
    Run,
    beside_dial,
    counted,
    events_by_type,
    highest_held,
    percentile,
    summarise,
    table,
)
from taxiphone.bench.lines import Line
from taxiphone.bench.packets import Count, between
from taxiphone.bench.processor import machine_seconds, processor_seconds
from taxiphone.bench.short import compared, regressions
from taxiphone.bench.traffic import Recorded, match, to_price


def run(**fields):
    return Run(**{"side": "Taxiphone", "rate": 4, "calls": 2, "talked": 2, "ring": [0.7, 0.72], **fields})


def figures(**fields):
    return summarise(run(**fields), waits=0.66)


@pytest.mark.parametrize(("share", "value"), [(50, 2), (75, 3), (95, 4), (99, 4), (1, 1)])
def test_a_percentile_is_one_of_the_values(share, value):
    assert percentile([4, 1, 3, 2], share) == value


def test_the_prompts_and_the_wait_for_a_key_are_no_part_of_the_ring_delay():
    assert figures().ring_p50 == pytest.approx(40)
    assert figures(ring=[0.69, 0.8]).ring_p99 == pytest.approx(140)


def test_processor_time_and_counts_are_per_call():
    found = figures(cpu=Processors(0.2, 0.1, 0.04, 0.06), counts={"requests": 68, "Dial": 6})
    assert (found.cpu_asterisk, found.cpu_program) == (pytest.approx(100), pytest.approx(50))
    assert (found.cpu_database, found.cpu_phones) == (pytest.approx(20), pytest.approx(30))
    assert found.cpu == pytest.approx(170)
    assert found.counts == {"requests": 34, "Dial": 3}


def test_a_plain_dial_has_no_last_prompt_and_no_price():
    assert figures().last_step_p50 is figures().price_p99 is None


def test_a_rate_is_held_if_every_call_talked_and_rang_in_time():
    assert figures().held
    assert figures(talked=1).failure == "1 did not talk"
    assert figures(ring=[0.7, 0.911]).failure == "ring p99 > 250 ms"
    assert figures(ring=[]).failure == "ring p99 > 250 ms"
    assert figures(all_ended=False).failure == "calls did not end"


def test_the_highest_rate_is_the_last_one_before_the_first_failure():
    rows = [figures(rate=4), figures(rate=8), figures(rate=12, talked=0), figures(rate=17)]
    assert highest_held(rows, "Taxiphone") == 8
    assert highest_held(rows[2:], "Taxiphone") is None


def test_calls_for_which_no_phone_rang_leave_a_gap_and_no_error():
    assert "nan" in table([figures(ring=[], talked=0)])


def test_a_run_stands_beside_that_of_dial_at_the_same_rate():
    dial = summarise(run(side="Dial", ring=[0.01, 0.02], cpu=Processors(0.1)), waits=0)
    rows = [dial, figures(cpu=Processors(0.15, 0.08)), figures(rate=8)]
    assert beside_dial(rows, "Dial").splitlines()[2:] == ["| 4 | 30.0 | 40.0 | 1.50 | 0.80 | 2.30 |"]


def test_a_run_in_which_a_call_did_not_talk_has_no_costs_per_call():
    dial = summarise(run(side="Dial", cpu=Processors(0.1)), waits=0)
    failed = figures(talked=1, cpu=Processors(0.15, 0.08), counts={"reads": 2})
    assert "75.0" not in table([failed])
    assert len(beside_dial([dial, failed], "Dial").splitlines()) == 2
    assert len(counted([failed]).splitlines()) == 2


def test_counts_are_shown_by_kind_and_events_by_frequency():
    found = figures(counts={"transactions": 20, "requests": 68, "Dial": 6, "StasisStart": 4, "Other": 0})
    assert counted([found]).splitlines()[2:] == ["| 4 | 10.0 | 0.0 | 0.0 | 34.0 | 0.0 |"]
    assert events_by_type(found) == "Dial 3.0, StasisStart 2.0"


# -- event logs -----------------------------------------------------------------------------------------------------


def phone_log(tmp_path, lines=1):
    return PhoneLog(tmp_path / "phones.csv", [Line(number) for number in range(lines)])


def row(event, at, leg, number="s"):
    return f'"{event}","{at:.6f}","{leg}","{number}"'


def test_a_call_begins_with_the_clients_leg_and_rings_with_the_consultants(tmp_path):
    log = phone_log(tmp_path)
    call = log.take("bench-1")
    log.add([row("CHAN_START", 100.25, "bench-1"), row("CHAN_START", 100.253, "17.1", "+33639982000")])
    assert call.rang - call.started == pytest.approx(0.003)
    assert call.consultant_leg == "17.1"


def test_a_line_is_free_again_once_both_legs_are_hung_up(tmp_path):
    log = phone_log(tmp_path)
    call = log.take("bench-1")
    log.add([row("CHAN_START", 1, "bench-1"), row("CHAN_START", 2, "17.1", "+33639982000")])
    log.add([row("HANGUP", 3, "17.1")])
    assert (log.busy, log.take("bench-2"), call.hung_up) == (1, None, 3)
    log.add([row("HANGUP", 4, "bench-1")])
    assert (log.busy, call.hung_up) == (0, 3)
    assert log.take("bench-2").line == call.line


def test_a_leg_of_no_call_of_ours_is_ignored(tmp_path):
    log = phone_log(tmp_path)
    log.add([row("CHAN_START", 1, "17.1", "+33639982000"), row("HANGUP", 2, "17.1")])
    assert log.calls == []


def test_the_line_of_a_call_that_could_not_be_dialled_is_free_again(tmp_path):
    log = phone_log(tmp_path)
    log.give_up(log.take("bench-1"))
    assert log.busy == 0


def test_a_talk_is_two_legs_in_one_bridge(tmp_path):
    def line(event, channel, bridge):
        extra = f'{{""bridge_id"":""{bridge}""}}'
        return f'"{event}","100.000001","{channel}","{channel}","PJSIP/x","","","","","{extra}"'

    def talks(*lines):
        found = Talks(tmp_path / "none.csv")
        found.add(lines)
        return found.count

    assert talks(line("BRIDGE_ENTER", "a", "1"), line("BRIDGE_ENTER", "b", "1")) == 1
    assert talks(line("BRIDGE_ENTER", "a", "1"), line("BRIDGE_ENTER", "b", "2")) == 0
    assert talks(line("BRIDGE_ENTER", "a", "1"), line("BRIDGE_EXIT", "b", "1")) == 0


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("old\n")
    tail = Tail(file)
    with file.open("a") as added:
        added.write("new\nhal")
        added.flush()
        assert tail.lines() == ["new"]
        added.write("f\n")
        added.flush()
        assert tail.lines() == ["half"]
    tail.close()


def test_a_log_is_followed_past_its_rotation(tmp_path):
    file = tmp_path / "log.csv"
    tail = Tail(file)
    assert tail.lines() == []
    file.write_text("first\n")
    assert tail.lines() == ["first"]
    with file.open("a") as added:
        added.write("second\n")
    file.rename(tmp_path / "log.csv.1")
    file.write_text("third\n")
    assert tail.lines() == ["second", "third"]
    tail.close()


def test_a_recorded_call_is_the_last_one_that_was_begun_on_its_line():
    first = PhoneCall("bench-1", Line(0), started=10, hung_up=13)
    second = PhoneCall("bench-2", Line(0), started=20, hung_up=23)
    other = PhoneCall("bench-3", Line(1), started=20.5)
    rows = {
        "a": Recorded(Line(0).did, 10.01, None),
        "b": Recorded(Line(0).did, 20.6, None),
        "c": Recorded(Line(2).did, 20.6, None),
        "d": Recorded(Line(1).did, 20.6, None),
    }
    found = match([first, second, other], rows)
    assert found == {"a": first, "b": second, "d": other}
    assert to_price(found, {"a": 13.25, "b": 23.5, "d": 30}) == [0.25, 0.5]


# -- processor time -------------------------------------------------------------------------------------------------


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


def test_the_machine_is_idle_while_it_waits_for_the_disk(tmp_path):
    (tmp_path / "stat").write_text("cpu  10 20 30 400 100 5 6 7 0 0\ncpu0 1 1 1 1\n")
    ticks = os.sysconf("SC_CLK_TCK")
    assert machine_seconds(tmp_path) == (pytest.approx(78 / ticks), pytest.approx(578 / ticks))


@pytest.mark.parametrize("rates", ["fast", "", "0", "4,,8", "nan", "1000"])
def test_invalid_rates_are_refused_before_anything_starts(rates):
    result = CliRunner().invoke(bench, ["--rates", rates])
    assert result.exit_code == 2
    assert "calls a second" in result.output


# -- the short run of CI --------------------------------------------------------------------------------------------

COUNTS = {"transactions": 40, "reads": 24, "requests": 72, "events": 190}


def short(ring=0.1, program=0.3, dial_ring=0.005, others=0.0, **fields):
    dial = summarise(run(side="Dial", ring=[dial_ring] * 2, cpu=Processors(0.1)), waits=0)
    own = run(
        ring=[ring] * 2,
        cpu=Processors(0.2, program, others=others),
        counts={**COUNTS, **fields.pop("counts", {})},
        **fields,
    )
    return dial, summarise(own, waits=0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"program": 0.5}, ""),
        ({"program": 0.61}, "program_cpu_x_dial is 6.1, recorded was 3, the limit is 6.0"),
        ({"ring": 0.29}, ""),
        ({"ring": 0.31}, "ring_p50_ms is 310, recorded was 100, the limit is 300.0"),
        ({"ring": 0.59, "dial_ring": 0.01}, ""),
        ({"ring": 2.0, "others": 0.3}, ""),
        ({"counts": {"requests": 110}}, "requests is 55, recorded was 36, the limit is 54.0"),
        ({"counts": {"requests": 107}}, ""),
        ({"talked": 1}, "Taxiphone: only 1 of 2 calls led to a talk"),
    ],
)
def test_the_short_run_fails_only_if_a_call_costs_much_more_than_recorded(changed, said):
    recorded = compared(*short())
    assert ", ".join(regressions(*short(**changed), recorded)) == said


# -- packets --------------------------------------------------------------------------------------------------------


def test_a_stream_has_fifty_packets_a_second_and_may_miss_three_because_of_the_way_it_is_counted():
    before = {"a": Count(100.0, 5, 10, 0), "b": Count(100.1, 0, 0, 2), "gone": Count(100.0, 1, 1, 0)}
    after = {"a": Count(110.0, 505, 507, 0), "b": Count(110.1, 496, 500, 3), "new": Count(110.0, 1, 1, 0)}
    found = between(before, after)
    assert (found.legs, found.expected) == (2, 1000)
    assert (found.sent, found.received) == (996, 997)
    assert (found.missing, found.lost) == (4, 1)


def test_the_documentation_lists_every_benchmark_of_the_makefile():
    root = Path(__file__).parents[2]
    targets = re.findall(r"^(bench-[a-z0-9]+):", (root / "Makefile").read_text("utf-8"), re.MULTILINE)
    listed = re.findall(
        r"^\| `(bench-[a-z0-9]+)` \|", (root / "docs/benchmarks.md").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted(targets)
