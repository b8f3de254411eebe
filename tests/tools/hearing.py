"""Compares what a phone heard with the sounds that should have been played: which ones, in which order, and when.

Of a pause in which no packet came, nothing is in a recording: seconds are those of what was heard.

A sound is found where it and a stretch of what was heard have the same shape: their normalised correlation is near 1,
whatever the loudness. A sound is compared in pieces of a quarter of a second, each near the place that the one before
it leaves. A piece in which a packet of 20 ms was lost is compared without that packet, and a piece in which a packet
came late is compared in halves. So a sound is found although the stream stumbled, and a sound that a key has cut is
found as far as it went. tests/unit/test_hearing.py says how sure that is.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from taxiphone.settings import Settings
from taxiphone.speech import prompts_folder

RATE = 8000
_PIECE = 2000  # samples: a quarter of a second
_LEAST = 600  # a last piece shorter than this is left to the one before it
_BLOCK = 8192  # samples of a recording that are looked through at a time,
_STEP = _BLOCK - _PIECE - _LEAST  # ... and how far the next ones begin after them
_HALVED = 2  # so often is a piece cut in two, where it is not found as a whole
_ALIKE = 0.95  # a piece that is heard has this correlation at least; A-law, resampled twice, has 0.9995
_PERHAPS = 0.75  # ... and half a sample beside it still this: there it is worth to look closer
_DRIFT = 320  # samples by which a piece may come early or late: two packets
_EXACT = 4  # samples within which a piece nearly always is where it is expected
_PACKET = 160  # samples: 20 ms, what one lost RTP packet takes away
_PLACES = 20  # samples between two places where a packet may have been lost
_FEW = 3  # pieces: one lost packet may have hit all of fewer
_GAP = 0.25  # seconds at most between two sounds that are played one after the other
_PHASE = 2  # so many samples of the recording are between two phases
_FAINT = 30.0  # root mean square, of 32768: below is silence, and silence is alike to nothing
_SHARE = 0.85  # of a sound's energy must have been heard, for it to have been heard,
_OF_EACH = 0.4  # ... and of each of its pieces, but for a single one in its middle, where the stream stumbled

Samples = np.ndarray


@dataclass(frozen=True)
class Span:
    """A sound that was heard, with times in seconds since the start of the recording.

    Attributes:
        name: of the sound.
        begin: of it.
        end: where it stopped: at its own end, or where it was cut.
        whole: whether it was heard to its end.
    """

    name: str
    begin: float
    end: float
    whole: bool

    def __str__(self) -> str:
        return f"{self.begin:.2f} {self.name}" + ("" if self.whole else f" (cut at {self.end:.2f})")


@dataclass(frozen=True, eq=False)
class _Piece:
    offset: int  # in its sound
    samples: Samples
    energy: float

    @functools.cached_property
    def halves(self) -> tuple[_Piece, _Piece]:
        """Split it in two."""
        middle = len(self.samples) // 2
        return _piece(self.samples[:middle], self.offset), _piece(self.samples[middle:], self.offset + middle)

    @functools.cached_property
    def ends(self) -> tuple[_Piece, _Piece]:
        """Its first and its last third: one lost packet leaves one of them as it is."""
        third = len(self.samples) // 3
        return _piece(self.samples[:third], self.offset), _piece(
            self.samples[-third:], self.offset + len(self.samples) - third
        )


class Sound:
    """A sound as played by Asterisk."""

    def __init__(self, name: str, samples: Samples) -> None:
        self.name, self.length = name, len(samples)
        whole = samples.astype(np.float64)
        cuts = [*range(0, max(1, len(whole) - _LEAST), _PIECE), len(whole)]
        pieces = [_piece(whole[begin:end], begin) for begin, end in itertools.pairwise(cuts)]
        # Pauses say nothing: they are in every sound.
        self.pieces = [piece for piece in pieces if piece.energy > len(piece.samples) * _FAINT**2]
        self.energy = sum(piece.energy for piece in self.pieces)
        self.parts = (
            [half for piece in self.pieces for half in piece.halves] if len(self.pieces) < _FEW else []
        )
        if not self.pieces:
            raise ValueError(f"{name} is silent, and silence can't be found")


def _piece(samples: Samples, offset: int) -> _Piece:
    return _Piece(offset, samples, float(np.sum(samples**2)))


def alaw(data: bytes) -> Samples:
    """Decode A-law (ITU-T G.711) to samples."""
    code = np.frombuffer(data, np.uint8).astype(np.int32) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = np.where(
        exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0)
    )
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


class Places:
    """Where pieces of sounds perhaps are in one recording: a later look at it searches only what has been added."""

    def __init__(self) -> None:
        self._known: dict[_Piece, tuple[int, int, list[int]]] = {}

    def of(self, piece: _Piece, track: _Track, first: int) -> list[int]:
        """Everywhere that a piece perhaps is in a stretch of the recording.

        Args:
            piece: of a sound.
            track: the stretch.
            first: the sample of the recording with which it begins.
        """
        until = first + len(track) - len(piece.samples) + 1
        begun, done, found = self._known.get(piece, (first, first, []))
        if not begun <= first <= done:
            begun, done, found = first, first, []
        if until > done:
            found = found + [first + place for place in track.peaks(piece, done - first)]
            self._known[piece] = begun, until, found
        return [place - first for place in found if first <= place < until]


class Library(Mapping[str, Sound]):
    """The sounds of one language as they are played: the operator's own or else the shipped ones, and people's names."""

    def __init__(self, settings: Settings, language: str) -> None:
        self._files = prompts_folder.sounds(settings, language)
        self._own = prompts_folder.own_sounds(settings)
        self.language = language

    def __getitem__(self, name: str) -> Sound:
        name = name.removeprefix("taxiphone/")
        return _sound(self._files.get(name) or self._own / f"{name}.alaw")

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


@functools.lru_cache(maxsize=2000)
def _sound(path: Path) -> Sound:
    if path.suffix != ".alaw":
        raise ValueError(f"{path} is not A-law")
    return Sound(path.stem, alaw(path.read_bytes()))


class Heard:
    """What a phone heard.

    Args:
        samples: mono, 16 bit.
        library: the sounds that it may have heard.
        times: how often 8 kHz their rate is.
        since: seconds of its recording before these samples.
        places: what earlier looks at the same recording have found.
    """

    def __init__(
        self,
        samples: Sequence[int],
        library: Library,
        *,
        times: int = 1,
        since: float = 0.0,
        places: Places | None = None,
    ) -> None:
        self.library = library
        self._places = Places() if places is None else places
        self._first = round(since * RATE)
        # Where the stream stumbled, what follows lies between two samples: other phases of the recording hit them.
        self._phases = [
            _Track(np.asarray(samples[phase::times], np.float64)) for phase in range(0, times, _PHASE)
        ]
        self.until = since + len(self._phases[0]) / RATE
        self._found: dict[str, list[Span]] = {}

    # -- what a test asks -----------------------------------------------------------------------------------------

    def said(self, *names: str, missing: float = 0.0, since: float = -1.0) -> tuple[Span, ...]:
        """Find these sounds, heard to their ends, in this order, one directly after the other; empty if they weren't.

        Args:
            names: of the sounds.
            missing: so many seconds of their end need not have been heard.
            since: they began after this second.
        """
        for first in self._ends(names[0], missing if len(names) == 1 else 0.0):
            chain = self._chain(first, names[1:], missing)
            if chain and first.begin >= since:
                return chain
        return ()

    def began(self, name: str, least: float = 0.5) -> Span | None:
        """Find the last time that a sound was heard, to its end or for at least `least` seconds before it was cut off."""
        found = [span for span in self._beginnings(name) if span.whole or span.end - span.begin >= least]
        return max(found, key=lambda span: span.begin, default=None)

    def spans(self, name: str) -> list[Span]:
        """Find every time that a sound was heard to its end."""
        return [span for span in self._beginnings(name) if span.whole]

    def transcript(self) -> list[Span]:
        """Find everything heard from the library, in order. This takes some seconds; it is for a failed test's message.

        Sounds that begin alike are one line, of the one that was heard longest; those of the same words are all there.
        """
        found = [
            span for name in self.library if _audible(self.library, name) for span in self._beginnings(name)
        ]
        found.sort(key=lambda span: span.begin)
        return [
            span
            for span in found
            if not any(
                other is not span
                and other.begin - _GAP < span.begin
                and other.end > span.end - _PIECE / RATE
                and (other.whole, other.end - other.begin)
                > (span.whole, span.end - span.begin + _DRIFT / RATE)
                for other in found
            )
        ]

    def __str__(self) -> str:
        return f"heard until {self.until:.2f} s: " + " | ".join(map(str, self.transcript()))

    # -- how it is found ------------------------------------------------------------------------------------------

    def _chain(self, first: Span, names: tuple[str, ...], missing: float) -> tuple[Span, ...]:
        chain = [first]
        for place, name in enumerate(names, 1):
            following = [
                span
                for span in self._ends(name, missing if place == len(names) else 0.0)
                if -_DRIFT / RATE <= span.begin - chain[-1].end <= _GAP
            ]
            if not following:
                return ()
            chain.append(min(following, key=lambda span: abs(span.begin - chain[-1].end)))
        return tuple(chain)

    def _ends(self, name: str, missing: float) -> list[Span]:
        """Find every time that a sound was heard to its end, or nearly to its end."""
        length = self.library[name].length / RATE
        return [
            span
            for span in self._beginnings(name)
            if span.whole or (missing and span.end - span.begin >= length - missing)
        ]

    def _beginnings(self, name: str) -> list[Span]:
        name = name.removeprefix("taxiphone/")
        if name not in self._found:
            self._found[name] = list(self._find(name, self.library[name]))
        return self._found[name]

    def _find(self, name: str, sound: Sound) -> Iterable[Span]:
        """Find the first piece anywhere, then each further piece near the place that the previous one predicts."""
        found: list[Span] = []
        # Where the sound's own beginning is missing (the phone was not heard yet), its middle or end leads to it.
        for anchor in dict.fromkeys((0, len(sound.pieces) // 2, len(sound.pieces) - 1)):
            self._look_at(sound.pieces[anchor], name, sound, found, whole_only=anchor > 0)
        if not any(span.whole for span in found):
            for piece in sound.parts:
                self._look_at(piece, name, sound, found, whole_only=True)
        return sorted(found, key=lambda span: span.begin)

    def _look_at(
        self, piece: _Piece, name: str, sound: Sound, found: list[Span], *, whole_only: bool
    ) -> None:
        """Add every span of a sound to which a piece of it leads."""
        for place in self._places.of(piece, self._phases[0], self._first):
            span = self._follow(name, sound, place - piece.offset, whole_only=whole_only)
            if span is not None and not any(abs(span.begin - other.begin) < _GAP for other in found):
                found.append(span)

    def _follow(self, name: str, sound: Sound, begin: int, *, whole_only: bool) -> Span | None:
        """Tell how much of a sound that starts at a place was heard, and whether it is complete."""
        energy, at, end, missed, whole = 0.0, begin, begin, False, True
        first, last = sound.pieces[0], sound.pieces[-1]
        for piece in sound.pieces:
            heard, at = self._heard_of(piece, at)
            if heard >= _OF_EACH * piece.energy:
                energy += heard
                end = at + piece.offset + len(piece.samples)
                missed = False
            elif missed or piece in (first, last):
                whole = False  # cut here, or another sound that only begins like this one
                break
            else:
                missed = True  # the stream stumbled, if the next is heard
        whole = whole and energy >= _SHARE * sound.energy
        if not whole and (whole_only or end == begin):
            return None
        finish = at + sound.length if whole else end
        return Span(name, (begin + self._first) / RATE, (finish + self._first) / RATE, whole)

    def _heard_of(self, piece: _Piece, at: int, halve: int = _HALVED) -> tuple[float, int]:
        """Return the energy of a piece that was heard, and where its sound starts if it was expected at `at`."""
        if piece.energy <= len(piece.samples) * _FAINT**2:
            return 0.0, at
        found = self._near(piece, at + piece.offset)
        if found is not None:
            return piece.energy, found - piece.offset
        if halve == _HALVED and (found := self._without_a_packet(piece, at + piece.offset)) is not None:
            return piece.energy, found - piece.offset
        if not halve:
            return 0.0, at
        energy = 0.0
        for half in piece.halves:
            heard, place = self._heard_of(half, at, halve - 1)
            if heard:
                energy, at = energy + heard, place
        return energy, at

    def _near(self, piece: _Piece, place: int) -> int | None:
        """Find a piece near a place, within the allowed drift."""
        for drift in (_EXACT, _DRIFT):
            for track in self._phases:
                low, alike = track.alike(piece, place - drift, place + drift + 1)
                if len(alike) and alike.max() >= _ALIKE:
                    return low + int(np.argmax(alike))
        return None

    def _without_a_packet(self, piece: _Piece, place: int) -> int | None:
        """Find a piece that was heard without one packet, by its last sample, where the rest of its sound continues.

        Without the packet, the following audio comes earlier, or silence replaces the packet.
        """
        if place + len(piece.samples) - _PACKET - _DRIFT > len(self._phases[0]):
            return None  # it has not been heard yet
        for track in self._phases:
            pairs = {(place, place), (place, place - _PACKET)}
            for end, sign in zip(piece.ends, (1, -1), strict=True):
                low, alike = track.alike(
                    end,
                    place + end.offset - piece.offset - _DRIFT,
                    place + end.offset - piece.offset + _DRIFT + 1,
                )
                if len(alike) and alike.max() >= _ALIKE:
                    here = low + int(np.argmax(alike)) - (end.offset - piece.offset)
                    pairs |= {(here, here), (here, here - _PACKET) if sign > 0 else (here + _PACKET, here)}
            alike, after = max((track.alike_but_for_a_packet(piece, *pair), pair[1]) for pair in pairs)
            if alike >= _ALIKE:
                return after
        return None


class _Track:
    """A recording at the telephone's rate, prepared for searching."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._spectra: dict[int, Samples] = {}
        self._roots: dict[int, Samples] = {}

    def __len__(self) -> int:
        return len(self._samples)

    @functools.cached_property
    def _power(self) -> Samples:
        return _sums(self._samples**2)

    def _spectra_from(self, low: int) -> Samples:
        """Return the spectra of its blocks from a sample on; each overlaps the next by the longest piece (overlap-save)."""
        if low not in self._spectra:
            count = -(-(len(self._samples) - low) // _STEP)
            padded = np.zeros(count * _STEP + _BLOCK - _STEP, np.float32)
            padded[: len(self._samples) - low] = self._samples[low:]
            blocks = np.lib.stride_tricks.sliding_window_view(padded, _BLOCK)[::_STEP]
            self._spectra[low] = np.fft.rfft(blocks)
        return self._spectra[low]

    def peaks(self, piece: _Piece, low: int = 0) -> list[int]:
        """Find candidate places of a piece from a sample on: the best one of each run of similar stretches."""
        places = len(self._samples) - len(piece.samples) + 1 - low
        if places <= 0:
            return []
        # Single precision is enough, and twice as quick; a block stays in the processor's cache.
        spectrum = np.conj(np.fft.rfft(piece.samples.astype(np.float32), _BLOCK))
        product = np.fft.irfft(self._spectra_from(low) * spectrum, _BLOCK)[:, :_STEP].reshape(-1)[:places]
        alike = product / self._root(len(piece.samples))[low:]
        least = _PERHAPS * math.sqrt(piece.energy)
        found = np.flatnonzero(alike >= least)
        if not len(found):
            return []
        runs = np.split(found, np.flatnonzero(np.diff(found) > _PIECE // 4) + 1)
        return [low + int(run[np.argmax(alike[run])]) for run in runs]

    def alike(self, piece: _Piece, low: int, high: int) -> tuple[int, Samples]:
        """Return the normalised correlation of a piece with each stretch between two places, and the first place."""
        length = len(piece.samples)
        low, high = max(0, low), min(len(self._samples) - length + 1, high)
        if high <= low:
            return 0, np.zeros(0)
        product = np.correlate(self._samples[low : high + length - 1], piece.samples, "valid")
        energies = np.maximum(self._energies(low, high, length), _quiet(length))
        return low, product / np.sqrt(energies * piece.energy)

    def alike_but_for_a_packet(self, piece: _Piece, before: int, after: int) -> float:
        """The highest correlation of a piece with what was heard, where one packet of it may be anything.

        Args:
            piece: what should have been heard.
            before: where it begins by what comes before the packet.
            after: where it begins by what comes after it.
        """
        length = len(piece.samples)
        wide = _PACKET + _PLACES  # so that one of the places leaves all of the packet out
        begins = np.arange(_PLACES - wide, length, _PLACES)
        ends = np.minimum(begins + wide, length)
        begins = np.maximum(begins, 0)
        products, heard, played = np.zeros((3, len(begins)))
        for place, summed in (
            (before, lambda sums: sums[begins]),
            (after, lambda sums: sums[-1] - sums[ends]),
        ):
            low = min(length, max(0, -place))
            high = max(low, min(length, len(self._samples) - place))
            stretch = np.zeros(length)
            stretch[low:high] = self._samples[place + low : place + high]
            products += summed(_sums(stretch * piece.samples))
            heard += summed(_sums(stretch**2))
            played += summed(_sums(piece.samples**2))
        alike = products / np.sqrt(np.maximum(heard, _quiet(length)) * np.maximum(played, 1.0))
        # Where nothing else of the piece is loud enough, the packet was all of it.
        return float(np.max(np.where(played <= _quiet(length), 1.0, alike)))

    def _root(self, length: int) -> Samples:
        """Return the root of the energy of every stretch of this length. Nearly all pieces have the same length."""
        if length not in self._roots:
            energies = self._energies(0, len(self._samples) - length + 1, length)
            self._roots[length] = np.sqrt(np.maximum(energies, _quiet(length))).astype(np.float32)
        return self._roots[length]

    def _energies(self, low: int, high: int, length: int) -> Samples:
        return self._power[low + length : high + length] - self._power[low:high]


def _sums(values: Samples) -> Samples:
    """Of the first none, one, two ... of these values."""
    return np.concatenate(([0.0], np.cumsum(values)))


def _quiet(length: int) -> float:
    return length * _FAINT**2


def _audible(library: Library, name: str) -> bool:
    try:
        library[name]
    except ValueError:
        return False
    return True
