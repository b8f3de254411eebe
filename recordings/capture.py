"""The WAV of a talk while Asterisk writes it: asked for, captured, and whole or not yet.

MixMonitor writes the sizes into the file's header only when it closes the file. Until then the file looks like
sound to nobody but us, and pydub reads it as 0.0 s without an error; so the header is read here, strictly.
"""

from __future__ import annotations

import enum
import os
import struct
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sqlalchemy.orm import Session

from taxiphone.store.models import Call, Recording

_PCM = 1
_BITS = 16
_RIFF = struct.Struct("<4sI4s")
_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")


class RecordingStatus(enum.StrEnum):
    """Where a recording stands."""

    ASKED = "asked"  # both agreed; the talk starts or goes on
    CAPTURED = "captured"  # the consultant's leg is gone, so the WAV is or will soon be closed
    CONVERTING = "converting"  # the MP3's name is chosen and being written
    READY = "ready"  # the MP3 is verified, in its place, and its fee is posted
    EMPTY = "empty"  # nothing was talked
    FAILED = "failed"  # no MP3 came of it; a WAV that is there is kept as long as an MP3
    DELETED = "deleted"  # its last day is over, or somebody deleted it; the fee stays


OPEN = (RecordingStatus.ASKED, RecordingStatus.CAPTURED, RecordingStatus.CONVERTING)


@dataclass(frozen=True, slots=True)
class Wav:
    """What a whole WAV holds.

    Attributes:
        rate: frames per second.
        frames: samples per channel.
    """

    rate: int
    frames: int

    @property
    def milliseconds(self) -> int:
        """Its length."""
        return self.frames * 1000 // self.rate


def ask(session: Session, call: Call, kept_until: date) -> Recording:
    """Note that this call's talk is recorded, and until which day it is kept; a second time finds the first."""
    found = session.get(Recording, call.id)
    if found is None:
        found = Recording(
            call_id=call.id, status=RecordingStatus.ASKED, wav=f"{call.id}.wav", kept_until=kept_until
        )
        session.add(found)
        session.flush()
    return found


def read(path: Path) -> Wav | None:
    """What a WAV of 16-bit PCM holds; None where it is missing, unfinished or something else.

    Raises:
        OSError: it is there and can't be read.
    """
    try:
        with path.open("rb") as file:
            return _read(file.read(4096), os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return None


def _read(head: bytes, size: int) -> Wav | None:
    """The chunks of a RIFF file of `size` bytes; those before the data must lie within `head`."""
    if len(head) < _RIFF.size or _RIFF.unpack_from(head) != (b"RIFF", size - 8, b"WAVE"):
        return None
    rate = block = 0
    at = _RIFF.size
    while at + _CHUNK.size <= len(head):
        name, length = _CHUNK.unpack_from(head, at)
        at += _CHUNK.size
        ends = at + length + length % 2  # a chunk of an odd size has a byte of padding
        if name == b"data":
            return Wav(rate, length // block) if ends == size and rate and length % block == 0 else None
        if name == b"fmt " and _FORMAT.size <= length and at + _FORMAT.size <= len(head):
            code, channels, rate, _, block, bits = _FORMAT.unpack_from(head, at)
            if code != _PCM or bits != _BITS or not channels or block != channels * bits // 8:
                return None
        at = ends
    return None
