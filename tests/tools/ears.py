"""An ear at a telephone: waits until something has been heard in the call that is going on, or says what was."""

from __future__ import annotations

import asyncio
import time

import numpy as np
from hearing import RATE, Heard, Library, Span

from taxiphone.demo.phone import Phone

_LOOK_SECONDS = 0.1  # the file grows every third of a second
_UNWRITTEN = 0.36  # seconds: 32 KiB
_QUIET_SECONDS = 0.6
_BEGINNING = 0.5  # seconds of a sound by which it is known
_SLACK = 0.6  # seconds: a stream that stumbles is a little longer than its sounds
_BYTES = 6 * 2 * RATE  # a second of the recording


class Ear:
    """What one telephone hears, from its answer on; what was waited for and heard is behind it.

    Args:
        phone: in a call.
        library: the language that it is spoken to in.
    """

    def __init__(self, phone: Phone, library: Library) -> None:
        self.phone, self.library = phone, library
        self._leg = phone.leg
        self._at = 0.0  # so far was listened
        self._quiet = False  # nothing was written for a while
        self._expected: list[tuple[str, ...]] = []

    def all(self) -> Heard:
        """All that it has heard in this call so far."""
        return self._since(0.0)

    async def hears(self, *names: str, seconds: float = 60) -> tuple[Span, ...]:
        """Wait until these sounds have been heard, each to its end and one directly after the other.

        Raises:
            AssertionError: it was not so within that time, or the call was over before; with what was heard.
        """
        length = sum(self.library[name].length for name in names) / RATE
        found = await self._until(names, length, self._said, until=time.monotonic() + seconds)
        self._expected.append(names)
        return found

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
        """After the call: all that was waited for was heard to its very end, in this order.

        Raises:
            AssertionError: it was not; with what was heard.
        """
        if not self._expected:
            return
        heard, at = self.all(), -1.0
        for names in self._expected:
            found = heard.said(*names, since=at)
            assert found, f"{self.phone.name} did not hear the end of {' '.join(names)}; {heard}"
            at = found[-1].end - _SLACK
        self._expected.clear()

    async def begins(self, name: str, seconds: float = 60) -> Span:
        """Wait until the beginning of a sound has been heard, so that a key comes in the middle of it."""

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
        """Wait until more was heard, or nothing for a while, or the call is over."""
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
        """Another call: another recording."""
        if self.phone.leg is not self._leg:
            self._leg, self._at = self.phone.leg, 0.0
            self._expected.clear()

    def _size(self) -> int:
        file = self.phone.recording
        return file.stat().st_size if file.exists() else 0

    def _since(self, begin: float) -> Heard:
        first = round(begin * RATE)
        file = self.phone.recording
        written = b""
        if file.exists():
            with file.open("rb") as recording:
                recording.seek(first * _BYTES // RATE)
                written = recording.read()
        samples = np.frombuffer(written[: len(written) // 12 * 12], "<i2")
        return Heard(samples, self.library, times=6, since=first / RATE)
