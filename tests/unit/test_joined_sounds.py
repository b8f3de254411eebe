"""The sounds of a sentence are joined into one file, which is kept as long as it is used."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from taxiphone.settings import Settings
from taxiphone.speech import prompts_folder
from taxiphone.speech.joined_sounds import FOLDER, JoinedSounds, Playable

pytestmark = pytest.mark.asyncio

PRICE = ("taxiphone/price-is", "taxiphone/n/12", "taxiphone/tax-included")
PIECES = {"price-is": b"\x01" * 800, "n/12": b"\x02" * 400, "tax-included": b"\x03" * 800}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(
        platform={"cli": "+33199001200"}, trunk={"host": "192.0.2.7"}, file=tmp_path / "taxiphone.toml"
    )
    for name, piece in PIECES.items():
        record(settings, f"{name}.alaw", piece)
    prompts_folder.link_prompts(settings)
    return settings


def record(settings: Settings, name: str, sound: bytes) -> Path:
    path = settings.state / "sounds/fr" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sound)
    return path


def folder(settings: Settings) -> Path:
    return settings.asterisk_home / "data/sounds/fr" / FOLDER


def files(settings: Settings) -> set[str]:
    return {path.name for path in folder(settings).iterdir()}


def heard(settings: Settings, playable: Playable) -> bytes:
    """Return what Asterisk plays for the one sound of a sentence on a French channel."""
    (sound,) = playable.sounds
    return (settings.asterisk_home / f"data/sounds/fr/{sound}.alaw").read_bytes()


async def test_a_sentence_is_one_sound_with_all_its_parts_in_order(settings: Settings) -> None:
    playable = await JoinedSounds(settings).join("fr", PRICE)
    assert playable.missing == ()
    assert heard(settings, playable) == b"".join(PIECES.values())


async def test_a_sentence_is_made_only_once(settings: Settings) -> None:
    joined = JoinedSounds(settings)
    first = await joined.join("fr", PRICE)
    (made,) = folder(settings).iterdir()
    before = made.stat().st_ino
    assert await joined.join("fr", PRICE) == first
    assert made.stat().st_ino == before


async def test_two_calls_that_say_the_same_at_once_hear_all_of_it(settings: Settings) -> None:
    joined = JoinedSounds(settings)
    both = await asyncio.gather(joined.join("fr", PRICE), joined.join("fr", PRICE))
    assert [heard(settings, playable) for playable in both] == [b"".join(PIECES.values())] * 2
    assert len(files(settings)) == 1


async def test_a_single_sound_is_played_as_it_is(settings: Settings) -> None:
    assert await JoinedSounds(settings).join("fr", PRICE[:1]) == Playable(PRICE[:1])
    assert not folder(settings).exists()


@pytest.mark.parametrize("how", ["absent", "empty", "in no folder of this language"])
async def test_a_missing_sound_is_named_before_anything_is_played(settings: Settings, how: str) -> None:
    joined = JoinedSounds(settings)
    await joined.join("fr", PRICE)  # it was there a moment ago
    part = settings.state / "sounds/fr/n/12.alaw"
    if how == "empty":
        part.write_bytes(b"")
    elif how == "absent":
        part.unlink()
    language = "br" if how == "in no folder of this language" else "fr"
    missing = PRICE if language == "br" else PRICE[1:2]
    assert await joined.join(language, PRICE) == Playable(PRICE, missing)


async def test_a_new_recording_is_heard_in_the_next_sentence(settings: Settings) -> None:
    joined = JoinedSounds(settings)
    await joined.join("fr", PRICE)
    path = record(settings, "n/12.alaw", b"\x04" * 400)
    os.utime(path, ns=(1, 1))  # a copy may keep the old time
    assert heard(settings, await joined.join("fr", PRICE))[800:1200] == b"\x04" * 400
    assert len(files(settings)) == 1


@pytest.mark.parametrize(
    ("suffix", "sound", "seconds"),
    [
        (".wav", b"", 0.1),
        (".ulaw", b"\xff" * 800, 0.1),
        (".sln", b"\0\0" * 800, 0.1),
        (".gsm", b"\xd0" + bytes(32), 0.02),
        (".g722", b"\xfa" * 800, 0.1),
    ],
)
async def test_an_operators_recording_in_any_format_is_part_of_the_sentence(
    settings: Settings, suffix: str, sound: bytes, seconds: float
) -> None:
    (settings.state / "sounds/fr/n/12.alaw").unlink()
    if suffix == ".wav":
        header = b"RIFF\x64\x06\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x40\x06\0\0"
        sound = header + bytes(1600)
    record(settings, f"n/12{suffix}", sound)
    prompts_folder.link_prompts(settings)
    sentence = heard(settings, await JoinedSounds(settings).join("fr", PRICE))
    assert sentence[:800] == PIECES["price-is"]
    assert sentence[-800:] == PIECES["tax-included"]
    assert len(sentence) - 1600 == pytest.approx(8000 * seconds, rel=0.3)


async def test_a_recording_that_is_no_sound_counts_as_missing(settings: Settings) -> None:
    (settings.state / "sounds/fr/n/12.alaw").unlink()
    record(settings, "n/12.wav", b"not a sound")
    prompts_folder.link_prompts(settings)
    assert (await JoinedSounds(settings).join("fr", PRICE)).missing == PRICE


async def test_a_sentence_whose_file_was_deleted_is_made_again(settings: Settings) -> None:
    joined = JoinedSounds(settings)
    await joined.join("fr", PRICE)
    for path in folder(settings).iterdir():
        path.unlink()
    assert heard(settings, await joined.join("fr", PRICE)) == b"".join(PIECES.values())


async def test_without_a_place_to_write_a_sentence_is_played_sound_by_sound(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    folder(settings).write_text("in the way")
    assert await JoinedSounds(settings).join("fr", PRICE) == Playable(PRICE)
    assert "is played sound by sound" in caplog.text


async def test_the_sentences_that_were_not_said_for_the_longest_time_make_room(settings: Settings) -> None:
    joined = JoinedSounds(settings, most_bytes=4000)
    oldest = await joined.join("fr", PRICE)
    for count in (2, 3):
        await joined.join("fr", PRICE[:1] * count)
        await joined.join("fr", PRICE)  # is still in use
    assert heard(settings, oldest)
    assert sum(path.stat().st_size for path in folder(settings).iterdir()) <= 4000
    assert heard(settings, await joined.join("fr", PRICE[:1] * 2)) == PIECES["price-is"] * 2


async def test_a_sentence_that_was_not_said_for_long_is_removed_with_the_next_new_one(
    settings: Settings,
) -> None:
    joined = JoinedSounds(settings, unused_seconds=0)
    await joined.join("fr", PRICE)
    last = await joined.join("fr", PRICE[:2])
    assert files(settings) == {f"{last.sounds[0].removeprefix('joined/')}.alaw"}


async def test_what_an_earlier_process_has_left_is_removed(settings: Settings) -> None:
    await JoinedSounds(settings).join("fr", PRICE)
    joined = JoinedSounds(settings)
    joined.clear()
    assert not folder(settings).exists()
    assert heard(settings, await joined.join("fr", PRICE)) == b"".join(PIECES.values())


async def test_nobody_else_can_read_what_was_said(settings: Settings) -> None:
    await JoinedSounds(settings).join("fr", PRICE)
    (made,) = folder(settings).iterdir()
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder(settings).stat().st_mode) == 0o700
