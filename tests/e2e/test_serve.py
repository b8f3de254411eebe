"""`taxiphone serve` as a process: killed, stopped, drained, started twice; and a trunk with registration."""

from __future__ import annotations

import asyncio
import math
import os
import re
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from taxiphone.billing.ledger_check import check
from taxiphone.demo.network import ADDRESS
from taxiphone.demo.platform import Timing
from taxiphone.demo.story import CLIENT_NUMBER, DID, Set, press_until
from taxiphone.dialplan.asterisk.home import find_process
from taxiphone.errors import SetupError
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.models import Call, CallEvent, Posting

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def own(asterisk, tmp_path):
    """A platform and a network for a single test."""
    made = Set(tmp_path / "set", asterisk, timing=Timing(ring_seconds=10, accept_seconds=4, key_seconds=1))
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
        await made.platform.stop_stray_asterisk()


async def talk(own):
    """Let client and consultant talk, and return the call's id."""
    call_id = await ring(own)
    await own.consultant.answer()
    await own.platform.marked(call_id, "consultant answered")
    await press_until(own.platform, call_id, own.consultant, "1", "accepted")
    await own.platform.marked(call_id, "bridged")
    return call_id


async def ring(own):
    await own.client.dial(DID)
    call_id = await own.platform.new_call(set())
    await own.platform.marked(call_id, "price told")
    await press_until(own.platform, call_id, own.client, "#", "price heard")
    await own.platform.marked(call_id, "recording offered")
    await press_until(own.platform, call_id, own.client, "2", "recording asked")
    await own.consultant.ringing()
    return call_id


def postings(own, call_id):
    return own.platform.database.do(
        lambda session: session.scalar(
            select(func.count())
            .select_from(Posting)
            .where(Posting.call_id == call_id, Posting.kind == "charge")
        )
    )


async def kill(own):
    own.platform.signal(signal.SIGKILL)
    assert await own.platform.ended() == -signal.SIGKILL


async def test_a_talk_whose_program_was_killed_is_priced_once_from_the_log(own):
    call_id = await talk(own)
    await asyncio.sleep(1)
    await kill(own)
    await asyncio.sleep(1)  # the talk continues without the program
    await own.client.hang_up()
    await asyncio.sleep(1.5)  # the consultant is left alone in the bridge, as nobody is there to hang up
    await own.consultant.hang_up()
    await own.platform.start()
    call = await own.platform.finished(call_id)
    assert (call.status, call.outcome) == (Status.RATED, Outcome.TALKED)
    talked = (call.talk_to - call.talk_from).total_seconds()
    assert 1.9 < talked < 3.2, "the time alone in the bridge is not billed"
    assert call.billed_seconds == math.ceil(talked)
    assert postings(own, call_id) == 1
    await own.platform.stop()
    await own.platform.start()
    assert postings(own, call_id) == 1
    assert (
        own.platform.database.do(lambda session: session.scalar(select(func.count()).select_from(Call))) == 1
    )


async def test_a_talk_that_outlives_its_program_is_taken_over(own):
    call_id = await talk(own)
    await kill(own)
    await own.platform.start()
    await own.platform.marked(call_id, "taken over")
    await own.consultant.hang_up()
    call = await own.platform.finished(call_id)
    assert (call.status, call.outcome) == (Status.RATED, Outcome.TALKED)
    await own.client.ended(30)
    await own.platform.marked(call_id, "ended")
    assert await own.platform.channels() == 0


def allow_seven_calls(own):
    """Change a setting that is written to Asterisk's configuration."""
    text = own.platform.file.read_text(encoding="utf-8")
    own.platform.file.write_text(text.replace("[call]", "[call]\nmost_calls = 7"), encoding="utf-8")


def asterisk_of(own):
    """Return the process id of Asterisk and its limit of calls."""
    etc = own.platform.settings.asterisk_home / "etc"
    text = (etc / "extensions.conf").read_text(encoding="utf-8")
    return find_process(etc / "asterisk.conf"), re.search(r"GROUP_COUNT\(all@calls\)} > (\d+)", text)[1]


async def test_an_asterisk_without_calls_that_was_left_behind_is_started_anew_where_its_files_have_changed(
    own,
):
    pid, most = asterisk_of(own)
    await kill(own)
    await own.platform.start()
    assert asterisk_of(own) == (pid, most), "nothing has changed"
    await kill(own)
    allow_seven_calls(own)
    await own.platform.start()
    assert asterisk_of(own)[0] != pid
    assert asterisk_of(own)[1] == "7"
    await own.client.dial(DID)
    await own.platform.marked(await own.platform.new_call(set()), "identified")


async def test_an_asterisk_with_a_talk_keeps_its_old_files_and_that_is_logged(own):
    call_id = await talk(own)
    pid, _ = asterisk_of(own)
    await kill(own)
    allow_seven_calls(own)
    await own.platform.start()
    await own.platform.marked(call_id, "taken over")
    assert asterisk_of(own)[0] == pid
    assert any("extensions.conf" in line and "taxiphone serve" in line for line in own.platform.said)
    await own.consultant.hang_up()
    await own.platform.finished(call_id)


async def test_a_call_that_was_ringing_when_the_program_was_killed_costs_nothing(own):
    call_id = await ring(own)
    await kill(own)
    await own.platform.start()
    await asyncio.gather(own.client.ended(5), own.consultant.ended(5))
    call = await own.platform.finished(call_id)
    assert call.status == Status.CLOSED
    assert await own.platform.channels() == 0


async def test_who_calls_while_the_program_is_away_hears_that_it_is(own):
    await kill(own)
    await own.client.dial(DID)
    await own.client.connected()
    await own.client.ended(20)
    assert own.client.recording.stat().st_size > 16_000, "an apology of some seconds was heard"
    await own.platform.start()
    call = await own.platform.finished(await own.platform.new_call(set()))
    assert (call.outcome, call.caller, call.dialled) == (Outcome.APOLOGY, CLIENT_NUMBER, DID)
    assert "call back" in call.review
    assert await own.platform.channels() == 0


def speaks_of_a_lost_connection(own):
    """Tell whether the log says that the connection to Asterisk is lost and that talks continue."""
    return re.search(
        "lost|away|can't be reached|go on|answers again", (own.platform.folder / "serve.log").read_text()
    )


async def test_a_stop_ends_the_talk_and_prices_it_and_says_nothing_of_a_lost_connection(own):
    call_id = await talk(own)
    await asyncio.sleep(1)
    assert await own.platform.stop() == 0
    await asyncio.gather(own.client.ended(1), own.consultant.ended(1))
    call = own.platform.database.do(lambda session: session.get_one(Call, call_id))
    assert call.status == Status.RATED
    assert call.billed_seconds in {1, 2, 3}
    home = str(own.platform.settings.asterisk_home)
    listed = subprocess.run(["pgrep", "-f", home], capture_output=True, text=True, check=False)  # noqa: S607, ASYNC221 - a quick look
    assert listed.stdout == "", "no Asterisk of ours is left"
    assert not speaks_of_a_lost_connection(own)


async def test_with_drain_the_talk_goes_on_to_its_end_and_no_new_call_is_taken(own):
    await own.platform.stop()
    await own.platform.start("--drain")
    call_id = await talk(own)
    own.platform.signal(signal.SIGTERM)
    await asyncio.sleep(1)
    second = own.network.phone("second", "+33639980009", 1500)
    await second.dial(DID)
    await second.ended(20)
    assert not own.client.leg.gone.is_set()
    await own.client.hang_up()
    assert await own.platform.ended() == 0
    calls = own.platform.database.do(lambda session: session.scalars(select(Call)).all())
    assert {(call.id == call_id, call.status, call.outcome) for call in calls} == {
        (True, Status.RATED, Outcome.TALKED),
        (False, Status.CLOSED, Outcome.APOLOGY),
    }
    assert len(calls) == 2


async def test_a_call_beyond_the_limit_is_refused_unanswered_even_if_the_program_is_dead(asterisk, tmp_path):
    made = Set(tmp_path / "set", asterisk, timing=Timing(key_seconds=5, most_calls=1))
    try:
        await made.start()
        await made.client.dial(DID)
        call_id = await made.platform.new_call(set())
        await made.platform.marked(call_id, "identified")
        for name, number in (("second", "+33639980009"), ("third", "+33639980010")):
            further = made.network.phone(name, number, 1500)
            await further.dial(DID)
            await further.ended(15)  # after the sentence
            assert (further.leg.dialled, further.leg.cause) == ("CONGESTION", 34)
            assert not made.client.leg.gone.is_set()
            if name == "second":
                await kill(made)
        await made.client.hang_up()
        await made.platform.start()
        await made.platform.finished(call_id)
        busy = select(Call.caller).where(Call.outcome == Outcome.ALL_LINES_BUSY).order_by(Call.caller)
        refused = await made.platform.until(
            lambda session: len(found := session.scalars(busy).all()) == 2 and found,
            "both refused calls are in the list",
        )
        assert refused == ["+33639980009", "+33639980010"]
    finally:
        await made.stop()
        await made.platform.stop_stray_asterisk()


async def test_a_second_signal_ends_a_draining_server(own):
    await own.platform.stop()
    await own.platform.start("--drain")
    call_id = await talk(own)
    own.platform.signal(signal.SIGTERM)
    await asyncio.sleep(0.5)
    own.platform.signal(signal.SIGTERM)
    assert await own.platform.ended() == 0
    call = own.platform.database.do(lambda session: session.get_one(Call, call_id))
    assert call.status == Status.RATED


async def test_a_second_server_on_the_same_state_is_refused(own):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "taxiphone", "--config", str(own.platform.file), "serve"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert "another `taxiphone serve` is running" in err.decode()
    assert "Traceback" not in err.decode()
    call_id = await talk(own)
    await own.client.hang_up()
    assert (await own.platform.finished(call_id)).status == Status.RATED


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("sip_port", socket.SOCK_DGRAM),
        ("ami_port", socket.SOCK_STREAM),
        ("http_port", socket.SOCK_STREAM),
        ("agi_port", socket.SOCK_STREAM),
    ],
)
async def test_a_port_in_use_is_named_and_readiness_is_not_announced(asterisk, tmp_path, key, kind):
    made = Set(tmp_path / "set", asterisk)
    made.platform.write('host = "127.0.0.2"')
    port = getattr(made.platform.settings.asterisk, key)
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        try:
            with pytest.raises(SetupError):
                await made.platform.start()
            said = " ".join((made.platform.folder / "serve.log").read_text().split())
            assert re.search(rf"127\.0\.0\.1:{port}.*\b{key}\b", said)
            assert "Traceback" not in said
            assert not any(line.startswith("Ready") for line in made.platform.said)
            assert await made.platform.ended() == 1
        finally:
            await made.platform.stop()
            await made.platform.stop_stray_asterisk()
            made.platform.database.close()


async def test_a_trunk_by_registration_carries_calls_both_ways(asterisk, tmp_path):
    made = Set(tmp_path / "set", asterisk, account=("platform", "a;secret"), timing=Timing(key_seconds=1))
    try:
        await made.start()
        await made.registered()
        call_id = await talk(made)
        await made.consultant.hang_up()
        call = await made.platform.finished(call_id)
        await made.client.ended(30)
        assert (call.status, call.caller) == (Status.RATED, CLIENT_NUMBER)
    finally:
        await made.stop()
        await made.platform.stop_stray_asterisk()
    assert ADDRESS == "127.0.0.2"


async def test_a_talk_during_which_asterisk_dies_is_billed_only_as_far_as_proven(own):
    call_id = await talk(own)
    await asyncio.sleep(0.5)
    os.kill(
        find_process(own.platform.settings.asterisk_home.resolve() / "etc" / "asterisk.conf"), signal.SIGKILL
    )
    assert await own.platform.ended() == 1
    call = own.platform.database.do(lambda session: session.get_one(Call, call_id))
    assert call.status in {Status.RATED, Status.CLOSED}
    assert "has no end of this talk" in call.review
    assert (call.billed_seconds or 0) <= 1
    assert own.platform.database.do(check) == []
    log = (own.platform.folder / "serve.log").read_text()
    assert "asterisk ended unexpectedly" in " ".join(log.split())
    assert not speaks_of_a_lost_connection(own), "and not that talks go on"


async def test_a_failed_start_leaves_talks_in_progress_alone(own):
    call_id = await talk(own)
    await kill(own)
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", own.platform.settings.asterisk.agi_port)
    with pytest.raises(SetupError, match="FastAGI can't listen"):
        await own.platform.start()
    taken.close()
    await taken.wait_closed()
    assert not own.client.leg.gone.is_set()
    await own.platform.start()
    await own.platform.marked(call_id, "taken over")
    await own.client.hang_up()
    assert (await own.platform.finished(call_id)).status == Status.RATED


async def test_a_number_that_calls_again_and_again_hears_that_the_line_is_busy(asterisk, tmp_path):
    made = Set(tmp_path / "set", asterisk, timing=Timing(key_seconds=5, most_calls_per_minute=2))
    try:
        await made.start()
        for time in range(4):
            await made.client.dial(DID)
            if time < 2:
                await made.client.connected()
                await made.client.hang_up()
            await made.client.ended(10)
            assert (made.client.leg.cause == 17) is (time >= 2)
        assert await made.platform.channels() == 0
        outcomes = select(func.coalesce(Call.outcome, "open"))
        calls = await made.platform.until(
            lambda session: (found := session.scalars(outcomes).all()) and "open" not in found and found,
            "all calls have ended",
        )
        assert calls == [Outcome.CALLER_GONE] * 2
    finally:
        await made.stop()
        await made.platform.stop_stray_asterisk()


async def test_a_verbose_log_in_a_file_has_each_step_of_each_call_a_line_each_in_utc(own, monkeypatch):
    await own.platform.stop()
    file = own.platform.folder / "serve.log"
    file.write_text("")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("COLUMNS", "40")
    began = datetime.now(UTC)
    await own.platform.start()  # with --verbose
    call_id = await talk(own)
    await own.client.hang_up()
    await own.platform.finished(call_id)
    await own.platform.marked(call_id, "ended")
    await own.platform.stop()
    marks = own.platform.database.do(
        lambda session: session.scalars(
            select(CallEvent).where(CallEvent.call_id == call_id).order_by(CallEvent.id)
        ).all()
    )
    steps = [
        f"call {call_id}: {mark.what}" + ("" if mark.detail is None else f" ({mark.detail})")
        for mark in marks
        if mark.what != "alive"
    ]
    lines = file.read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"(\S+Z) (INFO|WARNING|ERROR) (\S.*)", line) for line in lines]
    assert all(found), "each line is a message of its own"
    said = [each[3] for each in found]
    assert len(steps) > 8
    assert [line for line in said if line in steps] == steps
    assert all(
        began - timedelta(seconds=1) < datetime.fromisoformat(each[1]) <= datetime.now(UTC) for each in found
    )
