"""The tests' audio recognition finds every sound, doesn't confuse sounds, and finds nothing in noise.

Over all sounds of both languages (318 and 314, in one recording of seven minutes each, at half to one and a half
times their loudness, with noise 40 dB below them) one is missed, whose end is no louder than the noise, and the
only ones taken for each other are words that sound the same, or are a part of each other: cent and cents, minute
and minutes, six and sixth, pence and tenth, a C and an E, a P and a T, une and vingt et une, août in "coûte". By
its beginning alone a sentence is known after two and a half seconds at the latest. The tests here do it with the
numbers, which are shortest, and with the sentences that are nearest to each other.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hearing import RATE, Heard, Library, alaw

from taxiphone.speech import prompts_folder

PACKET = RATE // 50


@pytest.fixture(params=["en", "fr"])
def library(request, tmp_path):
    return Library(SimpleNamespace(state=tmp_path), request.param)


def samples(library, name):
    path = prompts_folder.SHIPPED / library.language / f"{name}.alaw"
    return alaw(path.read_bytes()).astype(float)


def recorded(library, names, seed=1):
    """Return a recording of these sounds with random loudness, pauses and noise, and their start times in seconds."""
    random = np.random.default_rng(seed)
    parts, begins, at = [], {}, 0
    for name in names:
        pause = int(random.integers(2500, 6000))
        sound = samples(library, name)
        parts += [np.zeros(pause), sound * random.uniform(0.5, 1.5)]
        begins[name] = (at + pause) / RATE
        at += pause + len(sound)
    heard = np.concatenate(parts)
    return np.clip(heard + random.normal(0, 15, len(heard)), -32768, 32767).astype(np.int16), begins


def test_a_law_is_read_as_itu_t_g_711_says():
    assert [int(value) for value in alaw(bytes([0xD5, 0x55, 0xAA, 0x2A]))] == [8, -8, 32256, -32256]


def test_every_number_is_found_where_it_is_and_nowhere_else(library):
    names = [f"n/{n}" for n in range(100)]
    heard, begins = recorded(library, names)
    found = Heard(heard, library)
    for name in names:
        assert [round(span.begin, 2) for span in found.spans(name)] == [round(begins[name], 2)], name


@pytest.mark.parametrize(
    "pair",
    [
        ("recording-yes", "recording-no"),
        ("talk-recorded", "recording-yes"),
        ("blocked", "account-closed"),
        ("not-heard", "other-not-heard"),
        ("accept-menu", "accept-menu-recorded"),
        ("recording-paused", "recording-resumed"),
        ("no-answer", "not-accepted"),
        ("enter-code", "enter-pin"),
    ],
)
def test_sentences_that_start_or_end_alike_are_distinguished(library, pair):
    for said, other in (pair, pair[::-1]):
        heard, begins = recorded(library, [said])
        place = round(begins[said] * RATE) + len(samples(library, said)) // 2
        for each in (heard, *(without_a_packet(heard, place, lost) for lost in ("silent", "missing"))):
            found = Heard(each, library)
            assert found.said(said)
            assert not found.said(other)


def test_words_that_follow_each_other_are_a_sentence_and_with_another_between_them_they_are_not(library):
    words = ["price-is", "n/1", "n/55", "word/per-minute", "tax-included"]
    heard = np.concatenate([np.zeros(4000), *(samples(library, word) for word in words), np.zeros(4000)])
    found = Heard(heard, library)
    [first, *_, last] = found.said(*words)
    assert first.begin == pytest.approx(0.5, abs=0.01)
    assert last.end == pytest.approx(len(heard) / RATE - 0.5, abs=0.01)
    assert not found.said("price-is", "n/55", "word/per-minute")
    assert not found.said(*words[::-1])


def test_a_sound_that_a_key_has_cut_is_found_as_far_as_it_went(library):
    sound = samples(library, "welcome")
    found = Heard(
        np.concatenate([np.zeros(3000), sound[: len(sound) // 2], samples(library, "n/7")]), library
    )
    assert not found.said("welcome")
    span = found.began("welcome")
    assert not span.whole
    assert span.end - span.begin == pytest.approx(len(sound) / 2 / RATE, abs=0.26)
    assert found.said("n/7")


@pytest.mark.parametrize("milliseconds", [10, 20, 30])
def test_a_packet_that_comes_late_changes_nothing(library, milliseconds):
    sound = samples(library, "connecting")
    late = np.zeros(milliseconds * RATE // 1000)
    for place in range(8000, len(sound) - 8000, 3333):
        found = Heard(np.concatenate([np.zeros(800), sound[:place], late, sound[place:]]), library)
        assert found.said("connecting"), place


def without_a_packet(sound, place, lost):
    """Return a sound without one RTP packet of 20 ms: the rest follows at once, or silence replaces it."""
    silence = np.zeros(PACKET if lost == "silent" else 0)
    return np.concatenate([sound[:place], silence, sound[place + PACKET :]])


@pytest.mark.parametrize("lost", ["silent", "missing"])
@pytest.mark.parametrize("name", ["n/1", "n/5", "n/40", "word/hour", "tone-start", "tax-included"])
def test_a_packet_that_is_lost_changes_nothing_even_in_a_short_sound(library, name, lost):
    sound = samples(library, name)
    for place in range(0, len(sound) - PACKET, 2 * PACKET + 1):
        broken = without_a_packet(sound, place, lost)
        found = Heard(np.concatenate([np.zeros(800), broken, np.zeros(800)]), library)
        assert found.said(name), place


def test_of_numbers_that_each_lost_a_packet_every_one_is_found_where_it_is_and_nowhere_else(library):
    names, random = [f"n/{n}" for n in range(2, 40)], np.random.default_rng(5)
    parts, begins, at = [], {}, 0
    for name in names:
        sound = samples(library, name)
        place = int(random.integers(0, len(sound) - PACKET))
        parts += [np.zeros(3000), without_a_packet(sound, place, random.choice(["silent", "missing"]))]
        begins[name] = (at + 3000) / RATE
        at += sum(map(len, parts[-2:]))
    heard = np.concatenate(parts)
    found = Heard(heard + random.normal(0, 15, len(heard)), library)
    for name in names:
        assert [span.begin for span in found.spans(name)] == [pytest.approx(begins[name], abs=0.025)], name


def test_in_noise_in_a_tone_and_in_silence_nothing_is_heard(library):
    random = np.random.default_rng(2)
    second = np.arange(RATE * 10) / RATE
    for heard in (
        random.normal(0, 3000, RATE * 10),
        8000 * np.sin(2 * np.pi * 440 * second),
        np.zeros(RATE * 10),
        np.zeros(0),
    ):
        found = Heard(heard, library)
        assert not any(found.began(name) for name in ("welcome", "connecting", "price-is", "n/5", "n/80"))


def test_half_a_sample_between_two_is_bridged_by_another_phase_of_a_recording(library):
    sound = samples(library, "press-hash-to-skip")
    fine = np.interp(np.arange(len(sound) * 6) / 6, np.arange(len(sound)), sound)
    for shift in range(6):
        assert Heard(np.concatenate([np.zeros(600 + shift), fine]), library, times=6).said(
            "press-hash-to-skip"
        )
