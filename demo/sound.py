"""Writes tones as sound files and measures them in recordings (Goertzel's algorithm).

All audio is 8 kHz, 16 bit, mono.
"""

from __future__ import annotations

import array
import math
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

RATE = 8000
# Samples of a block of 50 ms, which distinguishes tones that are 20 Hz apart.
_BLOCK = 400
# Minimum level of a tone. Ours are played at -12 dBFS.
_PRESENT_DBFS = -30.0
# Minimum share of the block's power. Speech has some power at every frequency, but never this much at one.
_PRESENT_SHARE = 0.2


@dataclass(frozen=True)
class Heard:
    """A tone in a recording.

    Attributes:
        hertz: its frequency.
        level: its highest level in dBFS.
        first: when it starts, in seconds; None if it is absent.
        last: when it ends, in seconds; None if it is absent.
    """

    hertz: int
    level: float
    first: float | None
    last: float | None

    @property
    def seconds(self) -> float:
        """The time from its start to its end."""
        return 0.0 if self.first is None or self.last is None else self.last - self.first

    @property
    def present(self) -> bool:
        """Whether the tone is present."""
        return self.first is not None


def write_tone(path: Path, hertz: int, seconds: float, *, dbfs: float = -12.0) -> None:
    """Write a tone as a WAV file, or without a header in A-law if the file's name ends in `.alaw`."""
    peak = 32767 * 10 ** (dbfs / 20)
    samples = array.array(
        "h", (round(peak * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(int(RATE * seconds)))
    )
    if path.suffix == ".alaw":
        path.write_bytes(bytes(map(_alaw, samples)))
        return
    if sys.byteorder == "big":
        samples.byteswap()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def _alaw(sample: int) -> int:
    """Encode a sample (ITU-T G.711)."""
    # 13 bits: the sign, and a magnitude that is the same for n and -n - 1.
    sign, magnitude = (0xD5, sample >> 3) if sample >= 0 else (0x55, ~sample >> 3)
    segment = max(magnitude.bit_length() - 5, 0)
    return (segment << 4 | magnitude >> max(segment, 1) & 0xF) ^ sign


def read_wav(path: Path) -> array.array[int]:
    """Return the samples of a WAV file."""
    with wave.open(str(path), "rb") as file:
        samples = array.array("h", file.readframes(file.getnframes()))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def find_tone(samples: array.array[int], hertz: int) -> Heard:
    """Find a tone, in blocks of 50 ms."""
    blocks = [samples[at : at + _BLOCK] for at in range(0, len(samples) - _BLOCK + 1, _BLOCK)]
    amplitudes = [_amplitude(block, hertz) for block in blocks]
    levels = [_dbfs(amplitude) for amplitude in amplitudes]
    present = [
        number
        for number, (block, amplitude) in enumerate(zip(blocks, amplitudes, strict=True))
        if levels[number] >= _PRESENT_DBFS and amplitude * amplitude / 2 >= _PRESENT_SHARE * _power(block)
    ]
    step = _BLOCK / RATE
    return Heard(
        hertz,
        round(max(levels, default=-math.inf), 1),
        present[0] * step if present else None,
        (present[-1] + 1) * step if present else None,
    )


def _amplitude(block: array.array[int], hertz: int) -> float:
    """Return the amplitude of a frequency in a block (Goertzel 1958), in units of the 16-bit scale."""
    turn = 2 * math.cos(2 * math.pi * hertz / RATE)
    before = last = 0.0
    for sample in block:
        before, last = last, sample + turn * last - before
    power = before * before + last * last - turn * before * last
    return 2 * math.sqrt(max(power, 0.0)) / len(block)


def _power(block: array.array[int]) -> float:
    return sum(sample * sample for sample in block) / len(block)


def _dbfs(amplitude: float) -> float:
    return 20 * math.log10(amplitude / 32767) if amplitude >= 1 else -90.0
