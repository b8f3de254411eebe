"""WAV to MP3, verified and moved into place in one step; runs in a worker process of its own.

The MP3 has 16 kHz, though the telephone's sound has 8: at 16 kHz it is MPEG-2 Layer III (ISO 13818-3), which every
player plays; 8 kHz would be "MPEG-2.5", which no standard knows and some players refuse.
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

RATE = 16_000  # Hz; see above
_TOLERANCE_MS = 200
_SILENT_BELOW = 64  # of 32768: quieter than the noise of any telephone
_WORK = ".work"  # pydub's own temporary files too: the sound must not lie in /tmp
_SPARE_BYTES = 8 * 1024 * 1024
_DEATHS = 3


@dataclass(frozen=True, slots=True)
class Job:
    """One conversion: everything that the worker process needs to know.

    Attributes:
        call_id: for the MP3's title; no names go into it.
        day: the talk's day, as in the title.
        wav: the source; it is only read.
        folder: where the MP3 goes.
        name: its file name.
        bitrate: kbit/s.
    """

    call_id: str
    day: str
    wav: Path
    folder: Path
    name: str
    bitrate: int


@dataclass(frozen=True, slots=True)
class Mp3:
    """A verified MP3 in its place.

    Attributes:
        milliseconds: its length, decoded.
        sha256: of the file, in hexadecimal.
        silent: nothing can be heard in it.
    """

    milliseconds: int
    sha256: str
    silent: bool


def ffmpeg() -> str:
    """The ffmpeg that converts: $IMAGEIO_FFMPEG_EXE, else the package imageio-ffmpeg's own, else the PATH's.

    Raises:
        RecordingError: there is none.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise RecordingError(
            "there is no ffmpeg, so no MP3 can be made. Install the package imageio-ffmpeg again, or: "
            "apt-get install ffmpeg"
        ) from None


def to_mp3(job: Job) -> Mp3:
    """Convert, verify, and move into place; the WAV is left alone, and nothing half-done is left behind.

    Raises:
        RecordingError: what happened, and what to do.
    """
    work = job.folder / _WORK
    try:
        private(job.folder)
        clear(job.folder)
        private(work)
        return _to_mp3(job, work)
    except OSError as error:
        raise RecordingError(
            f"the MP3 of call {job.call_id} can't be made: {error.strerror or error}. Its WAV is kept and tried again."
        ) from error
    finally:
        clear(job.folder)


def private(folder: Path) -> None:
    """Make a folder that only its owner can enter, or make it so."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def clear(folder: Path) -> None:
    """Remove what a conversion that died has left in the recordings folder."""
    shutil.rmtree(folder / _WORK, ignore_errors=True)


def _to_mp3(job: Job, work: Path) -> Mp3:
    source = capture.read(job.wav)
    if source is None:
        raise RecordingError(f"{job.wav} is not a finished WAV of 16-bit PCM; it is left as it is.")
    seconds = source.milliseconds // 1000 + 1
    # Beside the MP3, pydub writes the sound once more and the MP3 twice.
    needed = job.wav.stat().st_size + 3 * seconds * job.bitrate * 1000 // 8 + _SPARE_BYTES
    free = shutil.disk_usage(work).free
    if free < needed:
        raise RecordingError(
            f"{job.folder} has {free >> 20} MiB free and the MP3 of call {job.call_id} needs {needed >> 20}. "
            "Make room; the WAV is kept and tried again."
        )
    made = work / job.name
    silent = _encode(job, made, work)
    length = _decoded(made, work)
    if abs(length - source.milliseconds) > _TOLERANCE_MS:
        raise RecordingError(
            f"the MP3 of call {job.call_id} lasts {length} ms and its WAV {source.milliseconds} ms; "
            "it is thrown away, the WAV is kept and tried again."
        )
    digest = _finish(made, job.folder / job.name)
    return Mp3(milliseconds=length, sha256=digest, silent=silent)


def _encode(job: Job, made: Path, work: Path) -> bool:
    """Write the MP3; True where the sound is silent throughout."""
    pydub = _pydub()
    pydub.AudioSegment.converter = ffmpeg()
    before, tempfile.tempdir = tempfile.tempdir, str(work)
    try:
        with job.wav.open("rb") as source:
            sound = pydub.AudioSegment.from_wav(source)
        with made.open("wb+") as target:
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
    with (
        warnings.catch_warnings()
    ):  # it warns of audioop, and of an ffmpeg that is not on the PATH: ours need not be
        warnings.simplefilter("ignore")
        import pydub  # noqa: PLC0415 - only the worker process pays for it
        import pydub.exceptions  # noqa: PLC0415 - as above
    return pydub


def _decoded(mp3: Path, work: Path) -> int:
    """Decode the whole MP3 and give its length in milliseconds; any complaint of ffmpeg's is an error."""
    command = [ffmpeg(), "-nostdin", "-v", "error", "-xerror", "-i", str(mp3)]
    command += ["-f", "s16le", "-ac", "1", "-ar", str(RATE), "pipe:1"]
    size = 0
    with tempfile.TemporaryFile(dir=work) as complaints:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints) as process:
            assert process.stdout is not None  # noqa: S101 - for mypy; PIPE was asked for
            while chunk := process.stdout.read(1 << 20):
                size += len(chunk)
        complaints.seek(0)
        said = complaints.read(300).decode(errors="replace").strip()
    if process.returncode or said:
        raise RecordingError(
            f"the MP3 does not decode: {said or process.returncode}. The WAV is kept and tried again."
        )
    return size * 1000 // (2 * RATE)


def _finish(made: Path, place: Path) -> str:
    """Bring the file to the disk and then, in one step, to its place; give its SHA-256."""
    made.chmod(0o600)
    with made.open("rb+") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    made.replace(place)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return digest


class Converter:
    """Conversions in a worker process: the event loop never waits for one, and a worker that dies is replaced.

    The process is started with the first job; `close` ends it, and so does the death of this process.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._leash: Connection | None = None

    async def convert(self, job: Job) -> Mp3:
        """Convert; cancelled, the worker is ended at once.

        Raises:
            RecordingError: it did not work, or the worker died again and again.
        """
        for _ in range(_DEATHS):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._opened(), _job, job)
            except BrokenProcessPool:  # killed, out of memory, or too slow
                await self.close()
            except asyncio.CancelledError:
                await self.close()
                raise
            except OSError as error:
                # Not the job's, which has sentences of its own: no memory, no process, no semaphore (/dev/shm).
                await self.close()
                raise RecordingError(
                    f"no process can be started to make the MP3 of call {job.call_id}: {error.strerror or error}. "
                    "Are /dev/shm, memory and processes available to this user? See: taxiphone doctor. "
                    "The WAV is kept and tried again."
                ) from None
        raise RecordingError(
            f"the process that makes the MP3 of call {job.call_id} died {_DEATHS} times: is there enough memory? "
            "The WAV is kept and tried again."
        )

    async def close(self) -> None:
        """End the worker process, whatever it does, and wait until it is gone."""
        pool, leash = self._pool, self._leash
        self._pool = self._leash = None
        if leash is not None:
            leash.close()
        if pool is not None:
            await asyncio.shield(asyncio.to_thread(pool.shutdown, cancel_futures=True))

    def _opened(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not "fork": this process has threads, and a copy of their locks may never open again.
            context = multiprocessing.get_context("spawn")
            held, self._leash = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(1, context, _prepare, (held,))
        return self._pool


def _prepare(leash: Connection) -> None:
    """In the worker: Ctrl-C is the parent's business; voices come first; end when the parent lets go of the leash."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    os.nice(10)

    def watch() -> None:
        leash.poll(None)  # returns when the other end is closed: by `close`, or because its process is gone
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _job(job: Job) -> Mp3:
    """In the worker: one conversion; ten times what an hour of talk takes, and it is ended as hanging."""
    size = job.wav.stat().st_size if job.wav.exists() else 0
    signal.alarm(60 + size // (1 << 20))
    try:
        return to_mp3(job)
    finally:
        signal.alarm(0)
