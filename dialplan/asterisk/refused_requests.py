"""Asterisk's security log, made safe to act on: which addresses sent SIP requests that were refused.

A refused request's `AccountID` is the user of its From, percent-decoded, cut to 36 bytes and written as it is: with a
quote and a line break in it, a stranger ends the line early and names an address of their choice, such as the
carrier's, and fail2ban's stock filter would have that one banned. `SessionID` is its Call-ID, any bytes but line breaks.
So an event counts only by its fixed beginning and its fixed end, `LocalAddress` then `RemoteAddress`, which are longer
than what fits into `AccountID`; what is between them is not looked at and not written on.

`refused.log` has the events in the format that the stock filter reads, each on one line, without anything a stranger
chose. Only the standard library is imported.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

FILE = "refused.log"
_MOST_READ = 4_000_000  # bytes of the security log at once; more than that in a second is passed over
_MOST_LINES = 20  # of one source at once: enough for fail2ban; further requests are counted in the last line

_BEGIN = re.compile(
    rb"\[[0-9-]{10} [0-9:.]{8,12}\] SECURITY\[[0-9]+\] res_security_log\.c: "
    rb'SecurityEvent="(InvalidAccountID|FailedACL)",'
    rb'EventTV="[^"]*",Severity="[A-Za-z]+",Service="PJSIP",'
)
_ANY_BEGIN = re.compile(
    rb"\[[0-9-]{10} [0-9:.]{8,12}\] SECURITY\[[0-9]+\] res_security_log\.c: SecurityEvent="
)
_END = re.compile(
    rb',LocalAddress="IPV[46]/[A-Z]+/[0-9A-Fa-f:.]+/[0-9]+",'
    rb'RemoteAddress="(IPV[46])/([A-Z]+)/([0-9A-Fa-f:.]+)/[0-9]+"'
    rb'(?:,ACLName="[^"]*")?$'
)
_WRITTEN = re.compile(r'Requests="([0-9]+)",RemoteAddress="IPV[46]/[A-Z]+/([0-9A-Fa-f:.]+)/0"$')


@dataclass(frozen=True)
class Refused:
    """A refused request: the kind of event, and the source as Asterisk writes it (family, transport, address)."""

    event: str
    family: str
    transport: str
    address: str


def parse(lines: Iterable[bytes]) -> Iterator[Refused]:
    """The refused requests in lines of Asterisk's security log, the line breaks that strangers put in included."""
    event = ""
    for line in lines:
        begun = _BEGIN.match(line)
        if begun:
            event = begun[1].decode()
        elif _ANY_BEGIN.match(line):
            event = ""
        ended = _END.search(line)
        if event and ended:
            yield Refused(event, *(part.decode() for part in ended.groups()))
            event = ""


def written(refused: Iterable[Refused], at: float) -> list[str]:
    """The lines of `refused.log` for requests that came just now: one each, bounded for each source.

    Args:
        refused: the requests.
        at: the time, in seconds since 1970.
    """
    date = datetime.fromtimestamp(at).astimezone().isoformat(" ", "milliseconds")[:23]
    lines = []
    for source, count in Counter(refused).items():
        here = min(count, _MOST_LINES)
        for number in range(here):
            requests = count - here + 1 if number == here - 1 else 1
            lines.append(
                f'[{date}] SECURITY[{os.getpid()}] taxiphone: SecurityEvent="{source.event}",Service="PJSIP",'
                f'Requests="{requests}",RemoteAddress="{source.family}/{source.transport}/{source.address}/0"'
            )
    return lines


def count(lines: Iterable[str]) -> Counter[str]:
    """How many requests of each address the lines of `refused.log` tell of."""
    sources: Counter[str] = Counter()
    for line in lines:
        found = _WRITTEN.search(line)
        if found:
            sources[found[2]] += int(found[1])
    return sources


def size_of(log: Path) -> int:
    """A log's size in bytes; 0 where there is none."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


class Tail:
    """Reads what is appended to a file that may be emptied at any time.

    Args:
        path: the file; what it holds already is passed over.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._place = size_of(path)

    def lines(self) -> list[bytes]:
        """The whole lines that have come since the last time, 4 MB of them at most: the latest."""
        size = size_of(self._path)
        if size < self._place:
            self._place, self._rest = 0, b""
        if size - self._place > _MOST_READ:
            self._place, self._rest = size - _MOST_READ, b""
        if size == self._place:
            return []
        with self._path.open("rb") as file:
            file.seek(self._place)
            read = file.read(_MOST_READ)
        self._place += len(read)
        *lines, self._rest = (self._rest + read).split(b"\n")
        self._rest = self._rest[-_MOST_READ:]
        return lines


class Follower:
    """Writes `refused.log` from the security log.

    Args:
        security: Asterisk's log of the level `security`.
        refused: the file to append to.
    """

    def __init__(self, security: Path, refused: Path) -> None:
        self._tail, self._refused = Tail(security), refused

    def follow(self, at: float) -> None:
        """Write on what has come since the last time.

        Raises:
            OSError: a file can't be read or written.
        """
        lines = written(parse(self._tail.lines()), at)
        if lines or not self._refused.exists():  # fail2ban does not start without the file
            with self._refused.open("a", encoding="ascii") as file:
                file.writelines(f"{line}\n" for line in lines)
