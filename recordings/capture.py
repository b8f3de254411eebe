"""The WAV file that Asterisk writes during a talk.

MixMonitor writes the sizes to the file's header only when it closes the file. pydub reads an unfinished file as 0.0 s
without an error, so the header is parsed strictly here.
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
    """The status of a recording.

    Attributes:
        ASKED: both sides agreed to the recording.
        CAPTURED: a conversion failed and will be tried again.
        CONVERTING: the MP3 is being written.
        READY: the MP3 is verified and in place, and its fee is posted.
        EMPTY: there was no talk.
        FAILED: no MP3 could be made. An existing WAV is kept as long as an MP3 would be.
        DELETED: its last day is over, or it was deleted by hand. The fee is not refunded.
    """

    ASKED = "asked"
    CAPTURED = "captured"
    CONVERTING = "converting"
    READY = "ready"
    EMPTY = "empty"
    FAILED = "failed"
    DELETED = "deleted"


OPEN = (RecordingStatus.ASKED, RecordingStatus.CAPTURED, RecordingStatus.CONVERTING)


@dataclass(frozen=True, slots=True)
class Wav:
    """The properties of a complete WAV file.

    Attributes:
        rate: frames per second.
        frames: samples per channel.
    """

    rate: int
    frames: int

    @property
    def milliseconds(self) -> int:
        """The duration."""
        return self.frames * 1000 // self.rate


def ask(session: Session, call: Call, kept_until: date) -> Recording:
    """Store that this call's talk is recorded and until which day; an existing entry is returned unchanged."""
    recording = session.get(Recording, call.id)
    if recording is None:
        recording = Recording(
            call_id=call.id, status=RecordingStatus.ASKED, wav=f"{call.id}.wav", kept_until=kept_until
        )
        session.add(recording)
        session.flush()
    return recording


def read(path: Path) -> Wav | None:
    """Read the header of a WAV file with 16-bit PCM; None if the file is missing, unfinished or in another format.

    A file is finished when every size in its RIFF header agrees with the size of the file.

    Raises:
        OSError: the file exists but can't be read.
    """
    try:
        with path.open("rb") as file:
            return _read(file.read(4096), os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return None


def _read(head: bytes, size: int) -> Wav | None:
    """Parse the chunks of a RIFF file of `size` bytes. Those before the data must be within `head`."""
    if len(head) < _RIFF.size or _RIFF.unpack_from(head) != (b"RIFF", size - 8, b"WAVE"):
        return None
    rate = block = 0
    at = _RIFF.size
    while at + _CHUNK.size <= len(head):
        name, length = _CHUNK.unpack_from(head, at)
        at += _CHUNK.size
        # A chunk of odd size has a byte of padding.
        ends = at + length + length % 2
        if name == b"data":
            return Wav(rate, length // block) if ends == size and rate and length % block == 0 else None
        if name == b"fmt " and _FORMAT.size <= length and at + _FORMAT.size <= len(head):
            code, channels, rate, _, block, bits = _FORMAT.unpack_from(head, at)
            if code != _PCM or bits != _BITS or not channels or block != channels * bits // 8:
                return None
        at = ends
    return None
