"""A WAV file is complete only if every size in its header matches the file."""

import struct
import wave
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taxiphone.recordings import capture
from taxiphone.recordings.capture import RecordingStatus, Wav
from taxiphone.store.models import Call


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\1\2" * 8000)
    return path


def test_a_closed_wav_is_whole_and_its_length_is_known(wav: Path) -> None:
    assert capture.read(wav) == Wav(rate=8000, frames=8000)
    assert Wav(rate=8000, frames=8004).milliseconds == 1000


def test_a_wav_whose_header_is_not_final_is_not_whole(wav: Path) -> None:
    data = bytearray(wav.read_bytes())
    data[4:8] = data[40:44] = bytes(4)  # as MixMonitor begins it
    wav.write_bytes(data)
    assert capture.read(wav) is None


@pytest.mark.parametrize("cut", [0, 3, 12, 20, 43, 44, 45, 8000, 16043])
def test_a_wav_that_is_cut_off_is_not_whole(wav: Path, cut: int) -> None:
    wav.write_bytes(wav.read_bytes()[:cut])
    assert capture.read(wav) is None


def test_a_wav_that_has_grown_since_its_header_is_not_whole(wav: Path) -> None:
    with wav.open("ab") as file:
        file.write(b"\0\0")
    assert capture.read(wav) is None


def test_only_the_data_chunks_size_is_wrong_and_it_is_not_whole(wav: Path) -> None:
    data = bytearray(wav.read_bytes())
    data[40:44] = struct.pack("<I", 15998)
    wav.write_bytes(data)
    assert capture.read(wav) is None


def test_a_header_without_sound_is_whole_and_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
    assert capture.read(path) == Wav(rate=8000, frames=0)


def test_a_chunk_before_the_data_is_skipped(wav: Path) -> None:
    data = wav.read_bytes()
    grown = data[:36] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + data[36:]
    wav.write_bytes(grown[:4] + struct.pack("<I", len(grown) - 8) + grown[8:])
    assert capture.read(wav) == Wav(rate=8000, frames=8000)


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, b"JUNK"), (8, b"AVI "), (20, b"\7\0"), (22, b"\0\0"), (24, bytes(4)), (34, b"\x08\0")],
)
def test_a_file_other_than_16_bit_pcm_is_not_read(wav: Path, at: int, value: bytes) -> None:
    data = bytearray(wav.read_bytes())
    data[at : at + len(value)] = value
    wav.write_bytes(data)
    assert capture.read(wav) is None


def test_a_missing_file_is_not_whole(tmp_path: Path) -> None:
    assert capture.read(tmp_path / "none.wav") is None


def test_a_recording_is_asked_for_once(house: Any) -> None:
    call_id = house.call(house.client(), house.consultant())

    def ask_twice(session: Session) -> None:
        call = session.get_one(Call, call_id)
        asked = capture.ask(session, call, date(2027, 2, 20))
        assert capture.ask(session, call, date(2027, 2, 21)) is asked

    house.database.do(ask_twice)
    found = house.get(call_id).recording
    assert found is not None
    assert (found.status, found.wav) == (RecordingStatus.ASKED, f"{call_id}.wav")
    assert found.kept_until == date(2027, 2, 20), "the day that was told first"
