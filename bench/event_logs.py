"""Follows Asterisk's event logs during a benchmark: the telephones' own, and those of the two sides.

The telephones' log has the time of each start and end of a leg, by the wall clock of the machine that everything runs on.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from taxiphone.bench.lines import Line
from taxiphone.billing.evidence import cel

_BRIDGED = 2


class Tail:
    """Reads the lines that are added to a file from now on, also if the file is renamed and begun anew (rotated).

    Args:
        path: the file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._rest = path, b""
        self._file: BinaryIO | None = None
        if path.exists():
            self._file = path.open("rb")
            self._file.seek(0, 2)

    def lines(self) -> list[str]:
        """Return the lines that were completed since the last time."""
        found = self._rest + self._read()
        *whole, self._rest = found.split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _read(self) -> bytes:
        # If there is a new file, the old one is complete.
        renewed = self._path.exists() and not self._is_open()
        found = b"" if self._file is None else self._file.read()
        if renewed:
            self.close()
            self._file = self._path.open("rb")
            found += self._file.read()
        return found

    def _is_open(self) -> bool:
        """Whether the file at the path is the one that is read."""
        if self._file is None:
            return False
        return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())


class Talks:
    """Counts the calls that had both legs in a bridge, from the event log of the Asterisk that bridged them.

    Args:
        path: the log.
    """

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._bridged: dict[str, set[str]] = defaultdict(set)

    def read(self) -> None:
        """Read what was added to the log."""
        self.add(self._tail.lines())

    def add(self, lines: Iterable[str]) -> None:
        """Add lines of the log."""
        for line in lines:
            row = cel.parse(line)
            if row.event == "BRIDGE_ENTER":
                self._bridged[str(row.extra.get("bridge_id"))].add(row.channel)

    @property
    def count(self) -> int:
        """The number of talks so far."""
        return sum(len(legs) >= _BRIDGED for legs in self._bridged.values())

    def close(self) -> None:
        """Close the log."""
        self._tail.close()


@dataclass
class PhoneCall:
    """A call as the telephones saw it. Times are in seconds since 1970; None: it hasn't happened.

    Attributes:
        leg: the unique id of the client's leg.
        line: who called whom.
        started: the client's INVITE was sent.
        rang: the INVITE arrived at the consultant's phone.
        hung_up: the first of the two hung up.
        consultant_leg: the unique id of the leg at the consultant's phone.
        open_legs: the legs that have not been hung up.
    """

    leg: str
    line: Line
    started: float | None = None
    rang: float | None = None
    hung_up: float | None = None
    consultant_leg: str | None = None
    open_legs: set[str] = field(default_factory=set)


class PhoneLog:
    """The calls of the telephones, and which lines are free, from the telephones' event log.

    Args:
        path: the log. Its columns: event, time, unique id, number dialled.
        lines: all lines; no line is used for two calls at once.
    """

    def __init__(self, path: Path, lines: Iterable[Line]) -> None:
        self._tail, self._free = Tail(path), deque(lines)
        self.calls: list[PhoneCall] = []
        self._by_leg: dict[str, PhoneCall] = {}
        self._by_number: dict[str, PhoneCall] = {}

    @property
    def busy(self) -> int:
        """The number of lines in use."""
        return len(self._by_number)

    def take(self, leg: str) -> PhoneCall | None:
        """Begin a call on the line that has been free for longest; None if all are in use."""
        if not self._free:
            self.read()
        if not self._free:
            return None
        call = PhoneCall(leg, self._free.popleft())
        call.open_legs.add(leg)
        self._by_leg[leg] = self._by_number[call.line.consultant] = call
        self.calls.append(call)
        return call

    def read(self) -> None:
        """Read what was added to the log."""
        self.add(self._tail.lines())

    def add(self, lines: Iterable[str]) -> None:
        """Add lines of the log."""
        for event, at, leg, number in csv.reader(lines):
            if event == "CHAN_START":
                self._begun(leg, number, float(at))
            elif event == "HANGUP":
                self._hung_up(leg, float(at))

    def give_up(self, call: PhoneCall) -> None:
        """Free the line of a call that could not be dialled."""
        self._end(call, call.leg)

    def close(self) -> None:
        """Close the log."""
        self._tail.close()

    def _begun(self, leg: str, number: str, at: float) -> None:
        call = self._by_leg.get(leg)
        if call is not None:
            call.started = at
            return
        call = self._by_number.get(number)
        if call is None or call.started is None:
            return
        call.open_legs.add(leg)
        self._by_leg[leg] = call
        if call.rang is None:
            call.rang, call.consultant_leg = at, leg

    def _hung_up(self, leg: str, at: float) -> None:
        call = self._by_leg.get(leg)
        if call is None:
            return
        if call.hung_up is None:
            call.hung_up = at
        self._end(call, leg)

    def _end(self, call: PhoneCall, leg: str) -> None:
        call.open_legs.discard(leg)
        self._by_leg.pop(leg, None)
        if not call.open_legs and self._by_number.get(call.line.consultant) is call:
            del self._by_number[call.line.consultant]
            self._free.append(call.line)
