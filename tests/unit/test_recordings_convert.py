"""Converting a real WAV to a verified MP3, with the real ffmpeg in a real worker process."""

from __future__ import annotations

import array
import asyncio
import hashlib
import math
import os
import signal
import stat
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import pytest

from taxiphone.errors import RecordingError
from taxiphone.recordings import convert
from taxiphone.recordings.convert import Converter, Job

RATE = 8000


def tone(path: Path, seconds: float, *, hertz: int = 440, level: int = 12_000, rate: int = RATE) -> Path:
    """A WAV with one tone, as MixMonitor would write it: 16 bit, mono."""
    samples = (round(level * math.sin(2 * math.pi * hertz * n / rate)) for n in range(round(seconds * rate)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(array.array("h", samples).tobytes())
    return path


def job(tmp_path: Path, seconds: float = 2.0, **fields: Any) -> Job:
    wav = tmp_path / "261122-7gq4mk.wav"
    if not wav.exists():
        tone(wav, seconds)
    whole = {
        "call_id": "261122-7gq4mk",
        "day": "2026-11-22",
        "wav": wav,
        "folder": tmp_path / "recordings",
        "name": "261122-7gq4mk-aa.mp3",
        "bitrate": 32,
        **fields,
    }
    return Job(**whole)


def decode(mp3: Path) -> array.array[int]:
    """Decode a file to audio at 8 kHz, as a player does."""
    command = [
        convert.ffmpeg(),
        "-v",
        "error",
        "-i",
        str(mp3),
        "-f",
        "s16le",
        "-ar",
        str(RATE),
        "-ac",
        "1",
        "-",
    ]
    return array.array("h", subprocess.run(command, capture_output=True, check=True).stdout)


def strength(samples: array.array[int], hertz: int) -> float:
    """How strong one frequency is in the middle second (Goertzel), 0 to about 1."""
    middle = samples[len(samples) // 2 - RATE // 2 : len(samples) // 2 + RATE // 2]
    real = sum(x * math.cos(2 * math.pi * hertz * n / RATE) for n, x in enumerate(middle))
    imaginary = sum(x * math.sin(2 * math.pi * hertz * n / RATE) for n, x in enumerate(middle))
    return 2 * math.hypot(real, imaginary) / len(middle) / 32768


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("seconds", [0.02, 0.5, 3.21, 20.0])
def test_the_mp3_lasts_as_long_as_the_wav(tmp_path: Path, seconds: float) -> None:
    made = convert.to_mp3(job(tmp_path, seconds))
    assert abs(made.milliseconds - seconds * 1000) <= 200
    mp3 = tmp_path / "recordings" / "261122-7gq4mk-aa.mp3"
    assert abs(len(decode(mp3)) / RATE - seconds) <= 0.2
    assert made.sha256 == hashlib.sha256(mp3.read_bytes()).hexdigest()
    assert not made.silent


def test_the_same_sound_is_in_the_mp3(tmp_path: Path) -> None:
    tone(tmp_path / "261122-7gq4mk.wav", 3, hertz=1000)
    convert.to_mp3(job(tmp_path))
    samples = decode(tmp_path / "recordings" / "261122-7gq4mk-aa.mp3")
    assert strength(samples, 1000) == pytest.approx(12_000 / 32768, rel=0.15)
    assert strength(samples, 700) < 0.01


def test_the_mp3_is_of_a_kind_that_every_player_plays_and_names_nobody(tmp_path: Path) -> None:
    convert.to_mp3(job(tmp_path))
    mp3 = tmp_path / "recordings" / "261122-7gq4mk-aa.mp3"
    said = subprocess.run(
        [convert.ffmpeg(), "-hide_banner", "-i", str(mp3)], capture_output=True, text=True, check=False
    ).stderr
    assert "16000 Hz, mono" in said
    assert "32 kb/s" in said
    assert "261122-7gq4mk 2026-11-22" in said


def test_files_are_their_owners_only_and_nothing_else_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    convert.to_mp3(job(tmp_path))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "261122-7gq4mk-aa.mp3").stat().st_mode) == 0o600
    assert left_in(folder) == ["261122-7gq4mk-aa.mp3"]
    assert (tmp_path / "261122-7gq4mk.wav").exists()


def test_a_second_conversion_replaces_the_first(tmp_path: Path) -> None:
    first = convert.to_mp3(job(tmp_path))
    (tmp_path / "recordings" / convert._WORK).mkdir()
    (tmp_path / "recordings" / convert._WORK / "left by a conversion that died").touch()
    assert convert.to_mp3(job(tmp_path)).sha256 == first.sha256
    assert left_in(tmp_path / "recordings") == ["261122-7gq4mk-aa.mp3"]


def test_a_silent_wav_is_not_a_failure_and_is_noted(tmp_path: Path) -> None:
    tone(tmp_path / "261122-7gq4mk.wav", 2, level=3)
    assert convert.to_mp3(job(tmp_path)).silent


def test_an_unfinished_wav_is_not_touched(tmp_path: Path) -> None:
    wav = tone(tmp_path / "261122-7gq4mk.wav", 2)
    data = bytearray(wav.read_bytes())
    data[4:8] = data[40:44] = bytes(4)
    wav.write_bytes(data)
    with pytest.raises(RecordingError, match="not a finished WAV"):
        convert.to_mp3(job(tmp_path))
    assert wav.read_bytes() == data
    assert left_in(tmp_path / "recordings") == []


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo no such codec >&2; exit 1", "no such codec"),
        ("exit 0", "decode|lasts"),  # it says that all went well, and wrote nothing
    ],
)
def test_an_ffmpeg_that_fails_leaves_the_wav_and_no_mp3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o700)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(broken))
    with pytest.raises(RecordingError, match=says):
        convert.to_mp3(job(tmp_path))
    assert (tmp_path / "261122-7gq4mk.wav").exists()
    assert left_in(tmp_path / "recordings") == []


def test_a_missing_ffmpeg_is_reported_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(RecordingError, match=r"WAV is kept and tried again\.$"):
        convert.to_mp3(job(tmp_path))


def test_an_mp3_shorter_than_the_talk_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = tmp_path / "ffmpeg"  # encodes the first second only, and decodes as it should
    half.write_text(
        f'#!/bin/sh\ncase "$*" in *libmp3lame*|*.mp3|*"-f mp3"*) exec {convert.ffmpeg()} -t 1 "$@";; esac\n'
        f'exec {convert.ffmpeg()} "$@"\n'
    )
    half.chmod(0o700)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(half))
    with pytest.raises(RecordingError, match=r"lasts 10.. ms, but its WAV 4000 ms"):
        convert.to_mp3(job(tmp_path, 4))
    assert left_in(tmp_path / "recordings") == []


@pytest.mark.parametrize("limit", [100_000, 1000])
def test_a_write_refused_by_the_disk_is_reported_and_leaves_the_wav(tmp_path: Path, limit: int) -> None:
    # The limit on a file's size refuses a write in the middle, as a full disk does, with or without root.
    work = job(tmp_path, 10)
    program = (
        "import datetime, pathlib, resource, sys\n"
        "from pathlib import PosixPath\n"
        "from taxiphone.errors import RecordingError\n"
        "from taxiphone.recordings.convert import Job, to_mp3\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"try:\n    to_mp3({work!r})\n"
        "except RecordingError as error:\n    sys.exit(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("kept and tried again.")
    assert "Traceback" not in done.stderr
    assert work.wav.stat().st_size == 44 + 2 * 10 * RATE
    assert left_in(work.folder) == []


def test_a_disk_without_room_is_seen_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(RecordingError, match="MiB free"):
        convert.to_mp3(job(tmp_path))


# -- the worker process ---------------------------------------------------------------------------------------------


async def test_the_event_loop_keeps_running_while_the_worker_converts(tmp_path: Path) -> None:
    converter = Converter()
    task = asyncio.create_task(converter.convert(job(tmp_path, 60)))
    turns = 0
    while not task.done():
        await asyncio.wait({task}, timeout=0.01)
        turns += 1
    assert abs((await task).milliseconds - 60_000) <= 200
    assert turns >= 20, "a loop that waits for ffmpeg comes round once or twice"
    await converter.close()


def _worker(converter: Converter) -> int:
    assert converter._pool is not None
    return next(iter(converter._pool._processes))


async def _until_it_works(folder: Path) -> None:
    async with asyncio.timeout(30):
        while not (folder / convert._WORK).exists():
            await asyncio.sleep(0.005)


async def test_a_killed_worker_is_replaced_and_the_mp3_is_made(tmp_path: Path) -> None:
    converter = Converter()
    work = job(tmp_path, 120)
    task = asyncio.create_task(converter.convert(work))
    await _until_it_works(work.folder)
    killed = _worker(converter)
    os.kill(killed, signal.SIGKILL)
    assert abs((await task).milliseconds - 120_000) <= 200
    assert _worker(converter) != killed
    assert left_in(work.folder) == [work.name]
    await converter.close()


async def test_a_worker_that_dies_each_time_is_given_up_in_a_sentence(tmp_path: Path) -> None:
    converter = Converter()
    work = job(tmp_path, 120)
    task = asyncio.create_task(converter.convert(work))
    killed: set[int] = set()
    async with asyncio.timeout(60):
        while not task.done():
            await asyncio.wait({task}, timeout=0.01)
            if converter._pool is not None and converter._pool._processes:
                pid = _worker(converter)
                if pid not in killed:
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)
    with pytest.raises(RecordingError, match="died 3 times"):
        await task
    assert len(killed) == 3
    assert work.wav.exists()
    await converter.close()


def test_where_no_semaphore_can_be_made_a_sentence_says_so_and_the_wav_stays(tmp_path: Path) -> None:
    wav = tone(tmp_path / "261122-7gq4mk.wav", 1)
    program = tmp_path / "without_shm.py"
    program.write_text(
        "import asyncio, pathlib, resource\n"
        "from taxiphone.server.checks import check_recordings\n"
        "from taxiphone.recordings.convert import Converter, Job\n"
        "from taxiphone.errors import RecordingError\n"
        "async def main():\n"
        f"    job = Job('261122-7gq4mk', '2026-11-22', pathlib.Path({str(wav)!r}), pathlib.Path({str(tmp_path / 'mp3')!r}),"
        " 'a.mp3', 32)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # as where /dev/shm is missing: sem_open(3) fails\n"
        "    print(check_recordings.worker_process())\n"
        "    try:\n"
        "        await Converter().convert(job)\n"
        "    except RecordingError as error:\n"
        "        print(error)\n"
        "asyncio.run(main())\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, sentence = done.stdout.splitlines()
    assert "ok=False" in found
    assert "no semaphore can be created" in found
    assert sentence.startswith("the worker process for the MP3 of call 261122-7gq4mk can't be started: ")
    assert "Traceback" not in done.stderr
    assert wav.exists()


async def test_a_cancelled_conversion_ends_its_worker(tmp_path: Path) -> None:
    converter = Converter()
    work = job(tmp_path, 120)
    task = asyncio.create_task(converter.convert(work))
    await _until_it_works(work.folder)
    pid = _worker(converter)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(pid)


async def test_the_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    wav = tone(tmp_path / "261122-7gq4mk.wav", 1)
    program = tmp_path / "parent.py"
    program.write_text(
        "import asyncio, pathlib\n"
        "from taxiphone.recordings.convert import Converter, Job\n"
        "async def main():\n"
        "    converter = Converter()\n"
        f"    here = pathlib.Path({str(tmp_path)!r})\n"
        f"    await converter.convert(Job('a', 'b', pathlib.Path({str(wav)!r}), here / 'out', 'a.mp3', 32))\n"
        "    print(next(iter(converter._pool._processes)), flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(program), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    worker = int(await asyncio.wait_for(parent.stdout.readline(), 60))
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(10):
        while alive(worker):
            await asyncio.sleep(0.02)
