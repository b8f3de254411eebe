"""From a priced call and its WAV to a recording: the fee is posted once, and only when the MP3 is ready."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.ari_app.call_record import CallRecord
from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.billing import call_row
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.rating import rate
from taxiphone.recordings import keeping
from taxiphone.recordings.convert import Converter
from taxiphone.recordings.worker import RecordingWorker
from taxiphone.store import types
from taxiphone.store.models import Call, Recording
from taxiphone.store.types import Moment, now

FEE = 500  # minor units
DEADLINE = 60  # seconds for a fact to come true


class Studio:
    """A platform with one consultant who allows recordings, and a client with credit."""

    def __init__(self, house: Any, converter: Converter) -> None:
        self.house, self.converter = house, converter
        self.settings = house.settings
        self.settings.captured.mkdir(mode=0o700, parents=True)
        self.client = house.client()
        self.consultant = house.consultant(recording_allowed=True)

    def call(self) -> str:
        call_id: str = self.house.call(self.client, self.consultant, recorded=True)
        return call_id

    def priced(self, *, seconds: int = 60) -> str:
        """A recorded call that the meter has priced."""
        call_id = self.call()
        self.price(call_id, seconds=seconds)
        return call_id

    def price(self, call_id: str, *, seconds: int = 60) -> None:
        end = now()
        start = end - timedelta(seconds=seconds)
        talk = Talk(
            start=start,
            end=end,
            microseconds=seconds * 1_000_000,
            stretches=((start, end),),
            left_first="client",
            complete=True,
        )
        found = talk if seconds else None
        self.house.database.do(
            lambda session: rate(session.connection(), call_row.read(session.connection(), call_id), found)
        )

    def wav(self, call_id: str) -> Path:
        path: Path = self.settings.captured / f"{call_id}.wav"
        return path

    def capture(self, call_id: str, seconds: float = 1.0) -> Path:
        samples = 12_000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 8000)) / 8000)
        with wave.open(str(self.wav(call_id)), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(samples.round().astype("<i2").tobytes())
        return self.wav(call_id)

    @property
    def ready(self) -> list[str]:
        """The calls whose recording is ready."""
        found = select(Recording.call_id).where(Recording.status == "ready").order_by(Recording.call_id)
        calls: list[str] = self.house.database.read(lambda session: list(session.scalars(found)))
        return calls

    def recording(self, call_id: str) -> Recording:
        found: Recording = self.house.get(call_id).recording
        return found

    def change(self, call_id: str, **columns: Any) -> None:
        def work(session: Session) -> None:
            for name, value in columns.items():
                setattr(session.get_one(Recording, call_id), name, value)

        self.house.database.do(work)

    def total(self, call_id: str) -> int:
        total: int = self.house.get(call_id).receipt.total
        return total

    def mp3s(self) -> list[str]:
        folder = self.settings.recordings
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    @asynccontextmanager
    async def working(self, *, own_process: bool = False, **options: Any) -> AsyncIterator[RecordingWorker]:
        worker = RecordingWorker(self.settings, self.house.database, **options)
        if not own_process:
            worker._converter = self.converter
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        try:
            yield worker
        finally:
            stop.set()
            await running

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not fact():
                await asyncio.sleep(0.02)

    async def until_status(self, call_id: str, status: str) -> None:
        await self.until(lambda: self.recording(call_id).status == status)


class KeptConverter(Converter):
    """A converter whose process is shared by the tests, because starting it takes longer than most of them."""

    async def close(self) -> None:
        if self._pool is not None and self._pool._pending_work_items:
            await super().close()  # in the middle of a conversion


@pytest.fixture(scope="module")
def converter() -> Iterator[Converter]:
    kept = KeptConverter()
    yield kept
    asyncio.run(Converter.close(kept))


@pytest.fixture
def studio(house: Any, converter: Converter) -> Studio:
    return Studio(house, converter)


async def test_a_recording_becomes_ready_and_only_then_its_fee_is_posted(studio: Studio) -> None:
    call_id = studio.priced()
    assert studio.total(call_id) == 155
    wav = studio.capture(call_id, 2.5)
    async with studio.working(own_process=True):
        await studio.until(lambda: studio.ready == [call_id] and not wav.exists())
    found = studio.recording(call_id)
    assert found.status == "ready"
    assert abs((found.milliseconds or 0) - 2500) <= 200
    assert found.kept_until == studio.house.get(call_id).arrived_at.date() + timedelta(days=90)
    assert (found.tries, found.error) == (0, None)
    assert studio.mp3s() == [found.mp3]
    mp3 = studio.settings.recordings / (found.mp3 or "")
    assert stat.S_IMODE(mp3.stat().st_mode) == 0o600
    assert found.sha256 == hashlib.sha256(mp3.read_bytes()).hexdigest()
    assert studio.total(call_id) == 155 + FEE
    assert studio.house.balance("hold", call_id) == 0
    assert studio.house.problems() == []


async def test_a_ready_recording_is_not_converted_or_charged_again(studio: Studio) -> None:
    first = studio.priced()
    studio.capture(first)
    async with studio.working():
        await studio.until(lambda: studio.ready == [first])
    second = studio.priced()
    studio.capture(second)
    async with studio.working():
        await studio.until(lambda: len(studio.ready) > 1)
    assert studio.ready == [first, second]
    assert len(studio.mp3s()) == 2
    assert studio.total(first) == 155 + FEE


async def test_a_call_that_is_not_priced_yet_is_waited_for(studio: Studio) -> None:
    priced, early = studio.priced(), studio.call()
    studio.capture(early)
    studio.capture(priced)
    async with studio.working() as worker:
        await studio.until_status(priced, "ready")
        assert studio.recording(early).status == "asked"
        studio.price(early)
        worker.nudge()
        await studio.until_status(early, "ready")


async def test_a_wav_that_is_still_being_written_is_left_until_it_is_whole(studio: Studio) -> None:
    unfinished, other = studio.priced(), studio.priced()
    whole = studio.capture(unfinished).read_bytes()
    begun = whole[:4] + bytes(4) + whole[8:40] + bytes(4) + whole[44:9000]
    studio.wav(unfinished).write_bytes(begun)
    studio.capture(other)
    async with studio.working():
        await studio.until_status(other, "ready")
        assert studio.wav(unfinished).read_bytes() == begun
        assert studio.recording(unfinished).status == "asked"
        studio.wav(unfinished).write_bytes(whole)
        await studio.until_status(unfinished, "ready")


async def test_a_missing_wav_is_given_up_and_its_fee_released(studio: Studio) -> None:
    credit = studio.house.balance("wallet", studio.client)
    call_id = studio.priced()
    async with studio.working(wav_timeout=timedelta(seconds=0.5)):
        await studio.until_status(call_id, "failed")
    assert "did not write" in (studio.recording(call_id).error or "")
    assert studio.total(call_id) == 155
    assert studio.house.balance("wallet", studio.client) == credit - 155
    assert studio.house.balance("hold", call_id) == 0


@pytest.mark.parametrize("hours", [1, -1])
async def test_changing_the_clock_does_not_change_how_long_a_wav_is_waited_for(
    studio: Studio, hours: int
) -> None:
    late, never, other = studio.priced(), studio.priced(), studio.priced()
    begun = types.monotonic_us()
    passed = {"seconds": 0}
    async with studio.working():
        at = now() + timedelta(hours=hours)
        with types.using_clocks(lambda: at, lambda: begun + passed["seconds"] * 1_000_000):
            studio.capture(other)
            await studio.until_status(other, "ready")  # those before it were looked at too
            assert studio.recording(late).status == "asked"
            studio.capture(late)
            await studio.until_status(late, "ready")
            passed["seconds"] = 3600
            await studio.until_status(never, "failed")


async def test_a_wav_that_is_never_finished_is_given_up_and_kept(studio: Studio) -> None:
    call_id = studio.priced()
    wav = studio.capture(call_id)
    wav.write_bytes(wav.read_bytes()[:-2])
    async with studio.working(wav_timeout=timedelta(seconds=0.5)):
        await studio.until_status(call_id, "failed")
    assert "did not finish" in (studio.recording(call_id).error or "")
    assert wav.exists()
    assert studio.total(call_id) == 155


@pytest.mark.parametrize(("seconds", "status"), [(60, "failed"), (0, "empty")])
async def test_a_wav_without_sound_is_no_recording(studio: Studio, seconds: int, status: str) -> None:
    call_id = studio.priced(seconds=seconds)
    wav = studio.capture(call_id, 0)
    async with studio.working(wav_timeout=timedelta(seconds=0.2)):
        await studio.until_status(call_id, status)
        if status == "empty":
            await studio.until(lambda: not wav.exists())
    assert studio.mp3s() == []
    assert studio.house.balance("hold", call_id) == 0


async def test_an_interrupted_conversion_is_resumed_after_a_restart(studio: Studio) -> None:
    call_id = studio.priced()
    studio.capture(call_id)
    studio.change(call_id, status="converting", mp3=f"{call_id}-chosen.mp3")
    studio.settings.recordings.mkdir(mode=0o700)
    (studio.settings.recordings / f"{call_id}-chosen.mp3").write_bytes(b"half of it")
    async with studio.working():
        await studio.until_status(call_id, "ready")
    assert studio.mp3s() == [f"{call_id}-chosen.mp3"]


async def test_a_stop_in_the_middle_leaves_it_for_the_next_run(studio: Studio) -> None:
    call_id = studio.priced()
    wav = studio.capture(call_id, 120)
    async with studio.working(own_process=True):
        await studio.until_status(call_id, "converting")
    assert studio.recording(call_id).status == "converting"
    assert wav.exists()
    assert studio.ready == []
    async with studio.working(own_process=True):
        await studio.until_status(call_id, "ready")
    assert len(studio.mp3s()) == 1


async def test_a_wav_that_outlived_its_ready_recording_is_removed(studio: Studio) -> None:
    call_id, on_its_way = studio.priced(), studio.call()
    studio.change(call_id, status="ready")
    wav, kept, strange = studio.capture(call_id), studio.capture(on_its_way), studio.capture("not-ours")
    async with studio.working():
        await studio.until(lambda: not wav.exists())
    assert kept.exists()
    assert strange.exists()


async def test_an_empty_wav_releases_the_fee_at_once(studio: Studio) -> None:
    call_id = studio.priced()
    studio.capture(call_id, 0)
    async with studio.working(wav_timeout=timedelta(days=1)):
        await studio.until_status(call_id, "failed")
    assert "recorded no sound" in (studio.recording(call_id).error or "")
    assert studio.total(call_id) == 155
    assert studio.house.balance("hold", call_id) == 0


async def test_the_wav_of_a_refused_call_is_removed_once_it_is_over_and_a_minute_old(studio: Studio) -> None:
    house = studio.house

    def refused(status: str, age: int) -> Path:
        call_id = house.call(studio.client, studio.consultant, accept=False)

        def end(session: Session) -> None:
            session.get_one(Call, call_id).status = status

        house.database.do(end)
        path = studio.capture(call_id, 0)
        written = path.stat().st_mtime - age
        os.utime(path, (written, written))
        return path

    over, young, ringing = refused("closed", 61), refused("closed", 0), refused("ringing", 61)
    recorded, strange = studio.capture(studio.priced()), studio.capture("not-ours", 0)
    for path in (recorded, strange):
        os.utime(path, (0, 0))
    async with studio.working():
        await studio.until(lambda: not over.exists() and not recorded.exists())
    assert len(studio.ready) == 1  # it was converted, and only then removed
    assert young.exists()
    assert ringing.exists()
    assert strange.exists()


async def test_a_failed_try_is_repeated_and_then_works(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = studio.priced()
    wav = studio.capture(call_id)
    with monkeypatch.context() as patched:
        patched.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
        async with studio.working(own_process=True, retry_seconds=(0.1, 600)):
            await studio.until(lambda: studio.recording(call_id).tries == 2)
    found = studio.recording(call_id)
    assert found.status == "captured"
    assert "can't be made" in (found.error or "")
    assert wav.exists()
    assert studio.total(call_id) == 155
    async with studio.working(own_process=True, retry_seconds=(0.1, 600)):
        await studio.until_status(call_id, "ready")
    assert studio.recording(call_id).error is None
    assert studio.total(call_id) == 155 + FEE


async def test_after_the_last_try_it_has_failed_and_the_wav_is_kept(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    call_id = studio.priced()
    wav = studio.capture(call_id)
    async with studio.working(own_process=True, retry_seconds=(0.05, 0.05)):
        await studio.until_status(call_id, "failed")
    assert studio.recording(call_id).tries == 3
    assert wav.exists()
    assert studio.total(call_id) == 155
    assert studio.house.balance("hold", call_id) == 0


async def test_one_recording_that_fails_does_not_keep_the_next_waiting(studio: Studio) -> None:
    bad, good = studio.priced(), studio.priced()
    studio.capture(bad)
    studio.capture(good)
    # There is a folder at the path of the first one's MP3.
    studio.change(bad, mp3=f"{bad}-x.mp3")
    (studio.settings.recordings / f"{bad}-x.mp3" / "in the way").mkdir(parents=True)
    async with studio.working():
        await studio.until_status(good, "ready")
    assert studio.recording(bad).status == "captured"


async def test_a_wav_that_cannot_be_deleted_costs_no_recording_and_no_fee_and_is_named_once(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, other = studio.priced(), studio.priced()
    wav = studio.capture(stuck)
    studio.capture(other)
    with wav.open("rb") as file:
        # The kernel lets nobody, root included, remove this name of the open file.
        fixed = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        studio.change(stuck, wav=fixed)
        async with studio.working() as worker:
            await studio.until(lambda: set(studio.ready) == {stuck, other})
            later = studio.priced()
            studio.capture(later)
            worker.nudge()
            await studio.until_status(later, "ready")
    for call_id in (stuck, other, later):
        assert studio.total(call_id) == 155 + FEE
        assert studio.house.balance("hold", call_id) == 0
    [said] = [line for line in caplog.messages if fixed in line]
    assert "can't be deleted" in said
    assert "Delete the file manually" in said


async def test_an_expired_recording_that_cannot_be_deleted_keeps_only_itself(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    past = (now() - timedelta(days=3)).date()
    stuck, expired, fresh = studio.priced(), studio.priced(), studio.priced()
    for call_id in (stuck, expired):
        studio.change(call_id, status="ready", mp3=f"{call_id}-x.mp3", kept_until=past)
    studio.settings.recordings.mkdir(mode=0o700)
    (studio.settings.recordings / f"{stuck}-x.mp3").mkdir()  # unlink() refuses a folder, for root too
    gone = studio.settings.recordings / f"{expired}-x.mp3"
    gone.write_bytes(b"mp3")
    studio.capture(fresh)
    async with studio.working():
        await studio.until_status(fresh, "ready")
        await studio.until_status(expired, "deleted")
    assert not gone.exists()
    assert studio.recording(stuck).status == "ready"
    assert studio.total(fresh) == 155 + FEE
    [said] = [line for line in caplog.messages if stuck in line]
    assert "has expired, but can't be deleted" in said


async def test_a_locked_database_is_logged_once_and_delays_the_recording(
    sqlite_house: Any, converter: Converter, caplog: pytest.LogCaptureFixture
) -> None:
    studio = Studio(sqlite_house, converter)
    call_id = studio.priced()
    studio.capture(call_id)

    def said() -> list[Any]:
        return [each for each in caplog.records if each.levelname in {"WARNING", "ERROR"}]

    async with studio.working(retry_seconds=(0.1, 0.1)):
        with studio.house.database.engine.connect() as other:
            other.exec_driver_sql("SELECT 1")  # with it begins a transaction that holds the write lock
            await studio.until(lambda: bool(said()))
        await studio.until_status(call_id, "ready")
    [record] = said()
    assert call_id in record.getMessage()
    assert "database is locked" in record.getMessage()
    assert "trying again" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert record.exc_info is None
    assert studio.total(call_id) == 155 + FEE


async def test_what_was_deleted_while_it_was_converted_stays_deleted(studio: Studio) -> None:
    call_id = studio.priced()
    studio.capture(call_id, 120)
    async with studio.working():
        await studio.until_status(call_id, "converting")
        studio.change(call_id, status="deleted")
        await studio.until(lambda: not studio.wav(call_id).exists())
        await studio.until(lambda: studio.mp3s() == [])
    assert studio.ready == []
    assert studio.total(call_id) == 155


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])  # 26 hours apart: never the same date
async def test_a_recording_is_kept_through_its_last_day_in_the_platforms_time_zone(
    studio: Studio, zone: str
) -> None:
    platform = studio.settings.platform.model_copy(update={"timezone": zone})
    studio.settings = studio.settings.model_copy(update={"platform": platform})
    today = now().astimezone(ZoneInfo(zone)).date()
    over, last_day = studio.priced(), studio.priced()
    studio.capture(over)
    studio.capture(last_day)
    async with studio.working():
        await studio.until(lambda: len(studio.ready) == 2)
    studio.change(over, kept_until=today - timedelta(days=1))
    studio.change(last_day, kept_until=today)
    async with studio.working():
        await studio.until_status(over, "deleted")
    assert studio.mp3s() == [studio.recording(last_day).mp3]
    assert studio.recording(last_day).status == "ready"
    assert studio.total(over) == 155 + FEE  # what was paid stays paid


@pytest.mark.parametrize(
    ("arrived", "zone", "last"),
    [
        ("2026-11-22T22:59:59+00:00", "Europe/Paris", "2027-02-20"),
        ("2026-11-22T23:00:00+00:00", "Europe/Paris", "2027-02-21"),
        ("2026-11-22T23:30:00+00:00", "UTC", "2027-02-20"),
        ("2026-11-23T04:59:00+00:00", "America/New_York", "2027-02-20"),
    ],
)
def test_the_last_day_counts_from_the_local_day_of_the_arrival(
    studio: Studio, arrived: str, zone: str, last: str
) -> None:
    platform = studio.settings.platform.model_copy(update={"timezone": zone})
    settings = studio.settings.model_copy(update={"platform": platform})
    assert keeping.last_day(settings, datetime.fromisoformat(arrived)).isoformat() == last


async def test_the_announced_day_is_kept_even_if_midnight_passes_and_the_setting_changes(
    studio: Studio,
) -> None:
    call_id = studio.house.call(studio.client, studio.consultant, accept=False)
    before_midnight = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)
    studio.house.database.do(
        lambda session: setattr(session.get_one(Call, call_id), "arrived_at", before_midnight)
    )
    arrived = Moment(before_midnight, 0, None)
    record = CallRecord(studio.settings, DatabaseWithTimeout(studio.house.database), call_id, arrived)
    told = record.recording_offered()
    await record.accepted(recorded=True, channel=f"{call_id}.consultant", continues=None)
    studio.settings = studio.settings.model_copy(
        update={"recording": studio.settings.recording.model_copy(update={"keep_days": 1})}
    )
    studio.price(call_id)
    studio.capture(call_id)
    async with studio.working():
        await studio.until(lambda: studio.ready == [call_id])
    assert told.isoformat() == "2027-02-20"
    assert studio.recording(call_id).kept_until == told


async def test_a_silent_recording_is_kept_and_noted(studio: Studio) -> None:
    call_id = studio.priced()
    path = studio.capture(call_id, 1)
    data = path.read_bytes()
    path.write_bytes(data[:44] + bytes(len(data) - 44))
    async with studio.working():
        await studio.until_status(call_id, "ready")
    assert studio.recording(call_id).error == "the recording is silent"
