"""Converts WAV to MP3 in a worker process, verifies the result and moves it into place atomically.

The MP3 has 16 kHz, although telephone audio has 8 kHz. At 16 kHz it is MPEG-2 Layer III (ISO 13818-3), which every player
supports. 8 kHz would be "MPEG-2.5", which is not a standard and is rejected by some players.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import imageio_ffmpeg

from taxiphone.errors import RecordingError
from taxiphone.recordings import capture

# Sampling rate of the MP3 in Hz.
RATE = 16_000
_TOLERANCE_MS = 200
# A peak below this, of 32768, is quieter than the noise of any phone line.
_SILENT_BELOW = 64
# Folder of temporary files, including pydub's, so that no sound is in /tmp.
_WORK = ".work"
_SPARE_BYTES = 8 * 1024 * 1024
# Number of attempts when the worker process dies.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Job:
    """The parameters of a conversion.

    Attributes:
        call_id: used in the MP3's title, which has no names.
        day: date of the talk, used in the title.
        wav: the source file.
        folder: folder of the MP3.
        name: file name of the MP3.
        bitrate: in kbit/s.
    """

    call_id: str
    day: str
    wav: Path
    folder: Path
    name: str
    bitrate: int


@dataclass(frozen=True, slots=True)
class Mp3:
    """A verified MP3 file.

    Attributes:
        milliseconds: duration of the decoded sound.
        sha256: hash of the file, in hexadecimal.
        silent: whether it is silent throughout.
    """

    milliseconds: int
    sha256: str
    silent: bool


def ffmpeg() -> str:
    """Return the path of ffmpeg: $IMAGEIO_FFMPEG_EXE, the one of the package imageio-ffmpeg, or the one on the PATH.

    Raises:
        RecordingError: ffmpeg was not found.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise RecordingError(
            "ffmpeg not found, so no MP3 can be made. Reinstall the Python package imageio-ffmpeg, or run: "
            "apt-get install ffmpeg"
        ) from None


def to_mp3(job: Job) -> Mp3:
    """Convert a WAV to a verified MP3. The WAV is not changed, and temporary files are removed.

    Raises:
        RecordingError: the conversion failed.
    """
    work = job.folder / _WORK
    try:
        private(job.folder)
        clear(job.folder)
        private(work)
        return _to_mp3(job, work)
    except OSError as error:
        raise RecordingError(
            f"the MP3 of call {job.call_id} can't be made: {error.strerror or error}. The WAV is kept and tried again."
        ) from error
    finally:
        clear(job.folder)


def private(folder: Path) -> None:
    """Create a folder with mode 0700, or change its mode."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def clear(folder: Path) -> None:
    """Delete temporary files of an interrupted conversion in the recordings folder."""
    shutil.rmtree(folder / _WORK, ignore_errors=True)


def _to_mp3(job: Job, work: Path) -> Mp3:
    source = capture.read(job.wav)
    if source is None:
        raise RecordingError(
            f"{job.wav} is not a finished WAV file with 16-bit PCM. The file is kept unchanged."
        )
    seconds = source.milliseconds // 1000 + 1
    # Besides the MP3, pydub writes another copy of the sound and two of the MP3.
    needed = job.wav.stat().st_size + 3 * seconds * job.bitrate * 1000 // 8 + _SPARE_BYTES
    free = shutil.disk_usage(work).free
    if free < needed:
        raise RecordingError(
            f"{job.folder} has {free >> 20} MiB free, but the MP3 of call {job.call_id} needs {needed >> 20} MiB. "
            "Free some disk space; the WAV is kept and tried again."
        )
    draft = work / job.name
    silent = _encode(job, draft, work)
    duration = _decoded_duration(draft, work)
    if abs(duration - source.milliseconds) > _TOLERANCE_MS:
        raise RecordingError(
            f"the MP3 of call {job.call_id} lasts {duration} ms, but its WAV {source.milliseconds} ms. "
            "The MP3 was discarded; the WAV is kept and tried again."
        )
    digest = _finish(draft, job.folder / job.name)
    return Mp3(milliseconds=duration, sha256=digest, silent=silent)


def _encode(job: Job, draft: Path, work: Path) -> bool:
    """Write the MP3; return whether the sound is silent throughout."""
    pydub = _pydub()
    pydub.AudioSegment.converter = ffmpeg()
    before, tempfile.tempdir = tempfile.tempdir, str(work)
    try:
        with job.wav.open("rb") as source:
            sound = pydub.AudioSegment.from_wav(source)
        with draft.open("wb+") as target:
            sound.export(
                target,
                format="mp3",
                bitrate=f"{job.bitrate}k",
                parameters=["-nostdin", "-ac", "1", "-ar", str(RATE)],
                tags={"title": f"{job.call_id} {job.day}"},
                id3v2_version="3",
            )
    except pydub.exceptions.CouldntEncodeError as error:
        last = str(error).strip().splitlines()[-1][:300]
        raise RecordingError(
            f"ffmpeg could not make the MP3 of call {job.call_id} ({last}). The WAV is kept and tried again."
        ) from None
    finally:
        tempfile.tempdir = before
    return int(sound.max) < _SILENT_BELOW


def _pydub() -> Any:
    # pydub warns about audioop, and about ffmpeg not being on the PATH, where ours need not be.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pydub  # noqa: PLC0415 - only the worker process needs it
        import pydub.exceptions  # noqa: PLC0415 - as above
    return pydub


def _decoded_duration(mp3: Path, work: Path) -> int:
    """Decode the whole MP3 and return its duration in milliseconds. Any message of ffmpeg is an error."""
    command = [ffmpeg(), "-nostdin", "-v", "error", "-xerror", "-i", str(mp3)]
    command += ["-f", "s16le", "-ac", "1", "-ar", str(RATE), "pipe:1"]
    size = 0
    with tempfile.TemporaryFile(dir=work) as stderr:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process:
            assert process.stdout is not None  # noqa: S101 - for mypy
            while chunk := process.stdout.read(1 << 20):
                size += len(chunk)
        stderr.seek(0)
        message = stderr.read(300).decode(errors="replace").strip()
    if process.returncode or message:
        raise RecordingError(
            f"the MP3 can't be decoded: {message or process.returncode}. The WAV is kept and tried again."
        )
    return size * 1000 // (2 * RATE)


def _finish(draft: Path, target: Path) -> str:
    """Sync the file to disk, move it into place atomically and return its SHA-256."""
    draft.chmod(0o600)
    with draft.open("rb+") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    draft.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return digest


class Converter:
    """Runs conversions in a worker process, so that the event loop is not blocked. A worker that dies is replaced.

    The process is started with the first job. It ends with `close` or when this process ends.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._leash: Connection | None = None

    async def convert(self, job: Job) -> Mp3:
        """Run a conversion. If cancelled, the worker process is ended immediately.

        Raises:
            RecordingError: the conversion failed, or the worker died several times.
        """
        for _ in range(_ATTEMPTS):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._opened(), _job, job)
            except BrokenProcessPool:
                # The worker was killed, ran out of memory, or took too long.
                await self.close()
            except asyncio.CancelledError:
                await self.close()
                raise
            except OSError as error:
                # This error is not from the job: there is no memory, process or semaphore (/dev/shm) available.
                await self.close()
                raise RecordingError(
                    f"the worker process for the MP3 of call {job.call_id} can't be started: {error.strerror or error}. "
                    "Check /dev/shm, memory and the limit of processes with: taxiphone doctor. "
                    "The WAV is kept and tried again."
                ) from None
        raise RecordingError(
            f"the worker process for the MP3 of call {job.call_id} died {_ATTEMPTS} times. Check that there is enough "
            "memory. The WAV is kept and tried again."
        )

    async def close(self) -> None:
        """End the worker process and wait for it."""
        pool, leash = self._pool, self._leash
        self._pool = self._leash = None
        if leash is not None:
            leash.close()
        if pool is not None:
            await asyncio.shield(asyncio.to_thread(pool.shutdown, cancel_futures=True))

    def _opened(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not "fork": this process has threads, whose locks could stay locked in the copy.
            context = multiprocessing.get_context("spawn")
            workers_end, self._leash = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(1, context, _prepare, (workers_end,))
        return self._pool


def _prepare(leash: Connection) -> None:
    """Initialize the worker process: ignore Ctrl-C, lower its priority, and exit when the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    os.nice(10)

    def watch() -> None:
        # This returns when the parent closes the other end or dies.
        leash.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _job(job: Job) -> Mp3:
    """Run a conversion in the worker process, with a time limit of ten times what it usually takes."""
    size = job.wav.stat().st_size if job.wav.exists() else 0
    signal.alarm(60 + size // (1 << 20))
    try:
        return to_mp3(job)
    finally:
        signal.alarm(0)
