"""Listens to a phone: waits until something has been heard in the current call, and reports what was heard."""

from __future__ import annotations

import asyncio
import time

import numpy as np
from hearing import RATE, Heard, Library, Places, Span

from taxiphone.demo.phone import Phone

_LOOK_SECONDS = 0.1  # the file grows every third of a second
_UNWRITTEN = 0.36  # seconds: 32 KiB
_QUIET_SECONDS = 0.6
_BEGINNING = 0.5  # seconds of a sound by which it is known
_SLACK = 0.6  # seconds: a stream that stumbles is a little longer than its sounds
_BYTES = 6 * 2 * RATE  # a second of the recording


class Ear:
    """What one phone hears after it is answered. Sounds that were waited for and heard are consumed.

    Args:
        phone: in a call.
        library: the language that it is spoken to in.
    """

    def __init__(self, phone: Phone, library: Library) -> None:
        self.phone, self.library = phone, library
        self._leg = phone.leg
        self._at = 0.0  # so far was listened
        self._places = Places()
        self._quiet = False  # nothing was written for a while
        # What was not yet written to its end, and where it began.
        self._unfinished: list[tuple[tuple[str, ...], float]] = []

    def all(self) -> Heard:
        """Return everything that it has heard in this call so far."""
        return self._since(0.0)

    async def hears(self, *names: str, seconds: float = 60) -> tuple[Span, ...]:
        """Wait until these sounds have been heard to their ends, one directly after the other.

        Raises:
            AssertionError: it was not so within that time, or the call was over before; with what was heard.
        """
        found = await self._until(names, self._length(names), self._said, until=time.monotonic() + seconds)
        if len(found) < len(names) or not found[-1].whole:
            self._unfinished.append((names, found[0].begin))
        return found

    def _length(self, names: tuple[str, ...]) -> float:
        return sum(self.library[name].length for name in names) / RATE

    def _said(self, heard: Heard, names: tuple[str, ...]) -> tuple[Span, ...]:
        found = heard.said(*names)
        if found or not self._quiet:
            return found
        # Silence: what Asterisk has not written yet of the end comes with the next sound. `check` looks at it again.
        unwritten = _UNWRITTEN
        while not found and names and unwritten > 0:
            found = heard.said(*names, missing=unwritten)
            *before, last = names
            names, unwritten = tuple(before), unwritten - self.library[last].length / RATE
        return found

    def check(self) -> None:
        """After the call: what was waited for, and was not yet written to its end then, was heard to its end.

        Raises:
            AssertionError: it was not; with what was heard.
        """
        for names, begin in self._unfinished:
            until = begin + self._length(names) + 2 * _SLACK
            heard = self._since(max(0.0, begin - _SLACK), until)
            assert heard.said(*names), (
                f"{self.phone.name} did not hear the end of {' '.join(names)}; {self.all()}"
            )
        self._unfinished.clear()

    async def begins(self, name: str, seconds: float = 60) -> Span:
        """Wait until the beginning of a sound has been heard, to press a key in the middle of it."""

        def found(heard: Heard, _names: tuple[str, ...]) -> tuple[Span, ...]:
            span = heard.began(name, _BEGINNING)
            return (span,) if span else ()

        [span] = await self._until((name,), _BEGINNING, found, until=time.monotonic() + seconds)
        return span

    async def _until(self, names, length, look, *, until) -> tuple[Span, ...]:
        last = False
        while True:
            self._follow()
            heard = self._since(self._at)
            enough = heard.until - self._at >= length - _UNWRITTEN
            if enough and (found := look(heard, names)):
                self._at = found[-1].end
                return found
            # What is as far back as these sounds are long can't be the beginning of them any more.
            self._at = max(self._at, heard.until - length - _SLACK)
            if last or time.monotonic() > until:
                wanted = " ".join(names)
                raise AssertionError(f"{self.phone.name} did not hear {wanted}; {self.all()}")
            last = self.phone.leg is not None and self.phone.leg.gone.is_set()
            await self._more(until)

    async def _more(self, until: float) -> None:
        """Wait until more was heard, nothing was heard for a while, or the call has ended."""
        size, waited = self._size(), time.monotonic()
        self._quiet = False
        while self._size() == size and time.monotonic() <= until:
            await asyncio.sleep(_LOOK_SECONDS)
            if time.monotonic() - waited > _QUIET_SECONDS:
                self._quiet = True
                return
            if self.phone.leg is not None and self.phone.leg.gone.is_set():
                return

    def _follow(self) -> None:
        """Start again with the recording of another call."""
        if self.phone.leg is not self._leg:
            self._leg, self._at, self._places = self.phone.leg, 0.0, Places()
            self._unfinished.clear()

    def _size(self) -> int:
        file = self.phone.recording
        return file.stat().st_size if file.exists() else 0

    def _since(self, begin: float, until: float | None = None) -> Heard:
        first = round(begin * RATE)
        file = self.phone.recording
        written = b""
        if file.exists():
            with file.open("rb") as recording:
                recording.seek(first * _BYTES // RATE)
                written = recording.read(
                    -1 if until is None else round((until - begin) * RATE) * _BYTES // RATE
                )
        samples = np.frombuffer(written[: len(written) // 12 * 12], "<i2")
        return Heard(samples, self.library, times=6, since=first / RATE, places=self._places)
