"""Extracts the sources of rejected SIP requests from Asterisk's security log, in a form that is safe for fail2ban.

In the security log, `AccountID` is the user part of the From header, percent-decoded, truncated to 36 bytes and not
escaped. With a quote and a line break in it, an attacker can end the line early and name any address, such as the
carrier's, which fail2ban's stock filter would then ban. `SessionID` is the Call-ID: any bytes except line breaks.
Therefore an event counts only with its fixed beginning and its fixed end, `LocalAddress` and `RemoteAddress`, which are
longer than `AccountID` can be. Everything between them is ignored.

`refused.log` has the events in the format of the stock filter, one per line, without any text from outside. Only the
standard library is imported.
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
# Maximum number of bytes of the security log read at once. If more is written in a second, the rest is skipped.
_MOST_READ = 4_000_000
# Maximum number of lines per source at once, which is enough for fail2ban. The last line has the number of the others.
_MOST_LINES = 20

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
    """A rejected request: the event, and the source as written by Asterisk."""

    event: str
    family: str
    transport: str
    address: str


def parse(lines: Iterable[bytes]) -> Iterator[Refused]:
    """Parse lines of Asterisk's security log, which may contain injected line breaks."""
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
    """Format the lines of `refused.log` for new requests, with a limit per source.

    Args:
        refused: the requests.
        at: the time in seconds since 1970.
    """
    date = datetime.fromtimestamp(at).astimezone().isoformat(" ", "milliseconds")[:23]
    lines = []
    for source, count in Counter(refused).items():
        number_of_lines = min(count, _MOST_LINES)
        for number in range(1, number_of_lines + 1):
            requests = count - number_of_lines + 1 if number == number_of_lines else 1
            lines.append(
                f'[{date}] SECURITY[{os.getpid()}] taxiphone: SecurityEvent="{source.event}",Service="PJSIP",'
                f'Requests="{requests}",RemoteAddress="{source.family}/{source.transport}/{source.address}/0"'
            )
    return lines


def count(lines: Iterable[str]) -> Counter[str]:
    """Count the requests per address in lines of `refused.log`."""
    sources: Counter[str] = Counter()
    for line in lines:
        match = _WRITTEN.search(line)
        if match:
            sources[match[2]] += int(match[1])
    return sources


def size_of(log: Path) -> int:
    """Return the size of a log in bytes; 0 if it does not exist."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


class Tail:
    """Reads lines appended to a file that may be truncated at any time.

    Args:
        path: the file. Its existing content is skipped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._offset = size_of(path)

    def lines(self) -> list[bytes]:
        """Return the complete lines appended since the last call, at most the latest 4 MB."""
        size = size_of(self._path)
        if size < self._offset:
            self._offset, self._rest = 0, b""
        if size - self._offset > _MOST_READ:
            self._offset, self._rest = size - _MOST_READ, b""
        if size == self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            read = file.read(_MOST_READ)
        self._offset += len(read)
        *lines, self._rest = (self._rest + read).split(b"\n")
        self._rest = self._rest[-_MOST_READ:]
        return lines


class Follower:
    """Writes `refused.log` from the security log.

    Args:
        security: Asterisk's security log.
        refused: the file to append to.
    """

    def __init__(self, security: Path, refused: Path) -> None:
        self._tail, self._refused = Tail(security), refused

    def follow(self, at: float) -> None:
        """Append the requests that were logged since the last call.

        Raises:
            OSError: a file can't be read or written.
        """
        lines = written(parse(self._tail.lines()), at)
        # fail2ban does not start if the file is missing.
        if lines or not self._refused.exists():
            with self._refused.open("a", encoding="ascii") as file:
                file.writelines(f"{line}\n" for line in lines)
