"""Reads SIP messages from the files of Asterisk's PJSIP logger (libpcap format, one Ethernet frame per message)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

_FILE_HEADER, _RECORD_HEADER = 24, 16
_ETHERNET, _UDP = 14, 8
_OWN = "0.0.0.0"  # noqa: S104 - what Asterisk writes for its own address


@dataclass(frozen=True)
class Message:
    """A captured SIP message (RFC 3261).

    Attributes:
        source: IP address of who sent it.
        target: of who got it.
        text: all of it, headers and body.
        at: when it was written down.
    """

    source: str
    target: str
    text: str
    at: datetime

    @property
    def call_id(self) -> str:
        """The Call-ID of its dialog."""
        return self.header("Call-ID") or self.header("i")

    @property
    def received(self) -> bool:
        """Whether the Asterisk that wrote the file received it rather than sent it."""
        return self.target == _OWN

    @property
    def is_invite(self) -> bool:
        """Whether it is an INVITE."""
        return self.text.startswith("INVITE ")

    def header(self, name: str) -> str:
        """Return a header's value; empty if it is missing."""
        found = re.search(
            rf"^{re.escape(name)}[ \t]*:[ \t]*(.*?)\r?$", self.text, re.MULTILINE | re.IGNORECASE
        )
        return found[1] if found else ""


def messages(files: Iterable[Path]) -> list[Message]:
    """Return all messages of these captures, in order."""
    return [message for file in files for message in _messages(file.read_bytes())]


def _messages(data: bytes) -> Iterable[Message]:
    at = _FILE_HEADER
    while at + _RECORD_HEADER <= len(data):
        seconds, microseconds, length, _ = struct.unpack_from("<IIII", data, at)
        when = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
        at += _RECORD_HEADER
        packet = data[at + _ETHERNET : at + length]
        at += length
        if packet[:1] and packet[0] >> 4 == 4:  # IPv4
            body = (packet[0] & 15) * 4 + _UDP
            addresses = [".".join(map(str, packet[place : place + 4])) for place in (12, 16)]
            yield Message(*addresses, packet[body:].decode(errors="replace"), when)
