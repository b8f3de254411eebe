"""`make bench-mp3`: how fast a long recording becomes a verified MP3, and how much memory that takes.

The recording is made of the program's own prompts, so it has speech and pauses. It is converted as in `serve`: encoded, decoded
and compared, in a worker process. Beside it, ffmpeg alone encodes the same file with the same parameters.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Self

import click

from taxiphone import speech
from taxiphone.bench.figures import markdown, number
from taxiphone.bench.report import Report, report_options
from taxiphone.commands import console
from taxiphone.errors import TaxiphoneError
from taxiphone.recordings.convert import RATE, Converter, Job, ffmpeg
from taxiphone.settings_sections import Recording

_WAV_RATE = 8000
_SAMPLE_SECONDS = 0.05
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1 << 20


@dataclass
class Usage:
    """Measures this process's children: `with Usage() as used: ...`.

    Attributes:
        seconds: how long it took.
        cpu: their CPU seconds.
        memory: the most memory that they had in use at the same time, in bytes, looked at every 50 ms.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._begin, self._before = time.monotonic(), _cpu()
        self._thread = threading.Thread(target=self._watch, name="memory")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = time.monotonic() - self._begin, _cpu() - self._before
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self.memory = max(self.memory, _memory(os.getpid()))


@click.command()
@click.option(
    "--hours",
    type=click.FloatRange(0.001, 24),
    default=3.0,
    show_default=True,
    help="Duration of the recording.",
)
@report_options
def bench(hours: float, append: Path | None, note: str | None) -> None:
    """Measure how fast a recording becomes an MP3, and the memory that this takes."""
    report = Report("MP3: `make bench-mp3`", f'make bench-mp3 BENCH="--hours {hours:g}"', append, note)
    with tempfile.TemporaryDirectory(prefix="taxiphone-bench-") as folder:
        wav = Path(folder) / "recording.wav"
        console.note(f"making a recording of {hours:g} h")
        _record(wav, hours * 3600)
        bitrate = Recording().bitrate
        job = Job("261127-bench2", "2026-11-27", wav, Path(folder) / "recordings", "recording.mp3", bitrate)
        console.note("Taxiphone encodes and verifies it")
        with Usage() as ours:
            asyncio.run(_convert(job))
        console.note("ffmpeg alone encodes it")
        with Usage() as bare:
            target = str(Path(folder) / "bare.mp3")
            options = ["-nostdin", "-v", "error", "-i", str(wav), "-b:a", f"{bitrate}k", "-ar", str(RATE)]
            subprocess.run([ffmpeg(), *options, target], check=True)
    rows = [
        (
            *(name, number(used.seconds), number(used.cpu)),
            *(number(hours * 3600 / used.seconds, 0), number(used.memory / _MIB, 0)),
        )
        for name, used in (("Taxiphone: encoded, decoded, compared", ours), ("ffmpeg alone: encoded", bare))
    ]
    head = ("a recording of " + f"{hours:g} h", "seconds", "CPU seconds", "x real time", "peak MiB")
    report.publish([markdown(head, rows)])


async def _convert(job: Job) -> None:
    converter = Converter()
    try:
        await converter.convert(job)
    finally:
        await converter.close()


def _record(wav: Path, seconds: float) -> None:
    """Write a WAV as MixMonitor does: 16-bit PCM at 8 kHz, with the prompts one after the other."""
    prompts = sorted((Path(speech.__file__).parent / "sounds" / "en").glob("*.alaw"))
    options = ["-nostdin", "-v", "error", "-f", "alaw", "-ar", str(_WAV_RATE), "-ac", "1", "-i", "pipe:0"]
    command = [ffmpeg(), *options, "-bitexact", "-c:a", "pcm_s16le", str(wav)]
    left = round(seconds * _WAV_RATE)
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None  # noqa: S101 - for mypy
        for prompt in cycle(prompts):
            left -= process.stdin.write(prompt.read_bytes()[:left])
            if left <= 0:
                break
        process.stdin.close()
    if process.returncode:
        raise TaxiphoneError("ffmpeg could not make the recording; its output is above.")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory(parent: int) -> int:
    """The resident memory of all descendants of a process, in bytes."""
    total = 0
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{parent}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return 0  # it has ended
    for child in children:
        try:
            total += int(Path(f"/proc/{child}/statm").read_text().split()[1]) * _PAGE
        except OSError:
            continue
        total += _memory(child)
    return total


if __name__ == "__main__":
    # The worker process imports this module under its own name.
    from taxiphone.bench.mp3 import bench as command

    try:
        command(prog_name="python -m taxiphone.bench.mp3")
    except TaxiphoneError as error:
        console.say(f"bench: {error}")
        raise SystemExit(error.exit_code) from None
