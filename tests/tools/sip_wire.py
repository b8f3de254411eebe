"""A SIP stack without rules: a UDP socket that sends any bytes as SIP and keeps everything that comes back.

Asterisk and sipp can't be made to send what no decent stack sends (bytes that are no UTF-8, a redirect to another technology,
one request on two ways). The tests that need such a carrier or phone build their messages with this.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import secrets
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

Address = tuple[str, int]
_branches = itertools.count(1)


@dataclass(frozen=True)
class Message:
    """A received SIP message: its bytes, its sender, and its text with every byte as one character."""

    data: bytes
    source: Address

    @property
    def text(self) -> str:
        return self.data.decode("latin-1")

    @property
    def start(self) -> str:
        """The first line."""
        return self.text.split("\r\n", 1)[0]

    @property
    def method(self) -> str:
        """The method of a request; empty for a response."""
        return "" if self.start.startswith("SIP/2.0") else self.start.split(" ", 1)[0]

    @property
    def status(self) -> int:
        """The status of a response; 0 for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0") else 0

    def header(self, name: str) -> str:
        """Return the first header of this name; empty if there is none."""
        found = re.search(
            rf"^{re.escape(name)}[ \t]*:[ \t]*(.*?)\r$", self.text, re.MULTILINE | re.IGNORECASE
        )
        return found[1] if found else ""

    def headers(self, name: str) -> list[str]:
        """Return all headers of this name, in order."""
        return re.findall(
            rf"^{re.escape(name)}[ \t]*:[ \t]*(.*?)\r$", self.text, re.MULTILINE | re.IGNORECASE
        )

    @property
    def to_tag(self) -> str:
        """The tag of the To header; empty before a dialog."""
        found = re.search(r";tag=([^;\s]+)", self.header("To"))
        return found[1] if found else ""


class Wire(asyncio.DatagramProtocol):
    """One UDP socket.

    Attributes:
        received: everything that came, in order.
        address: where it listens.
    """

    def __init__(self) -> None:
        self.received: list[Message] = []
        self.address: Address = ("", 0)
        self._came = asyncio.Event()
        self._taken: set[int] = set()
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.address = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if data.strip():
            self.received.append(Message(data, addr))
            self._came.set()

    def send(self, message: bytes, to: Address) -> None:
        """Send one datagram."""
        self._transport.sendto(message, to)

    async def next(self, wanted: Callable[[Message], bool], seconds: float = 10) -> Message:
        """Wait for the first matching message that hasn't been taken yet.

        Raises:
            TimeoutError: none came in time, with the first lines of what came.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for place, message in enumerate(self.received):
                        if place not in self._taken and wanted(message):
                            self._taken.add(place)
                            return message
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            came = [message.start for message in self.received]
            raise TimeoutError(f"not within {seconds:g} s; there came: {came}") from None

    def requests(self, method: str) -> list[Message]:
        """Return all received requests of a method, without retransmissions."""
        found = {message.header("Via"): message for message in self.received if message.method == method}
        return list(found.values())


@contextlib.asynccontextmanager
async def wire(host: str, port: int = 0) -> AsyncIterator[Wire]:
    """Open a socket at this address, and close it at the end."""
    transport, made = await asyncio.get_running_loop().create_datagram_endpoint(Wire, local_addr=(host, port))
    try:
        yield made
    finally:
        transport.close()


def sdp(host: str, port: int = 40000) -> bytes:
    """Return an SDP offer or answer with A-law and telephone events (RFC 4566, 4733)."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 101\r\n"
        "a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
    ).encode()


def answer(
    request: Message, status: int, reason: str, *more: bytes, tag: str = "phone", body: bytes = b""
) -> bytes:
    """Return a response to a request, with further headers and a body (SDP, if there is one)."""
    to = request.header("To")
    if ";tag=" not in to and status > 100:
        to += f";tag={tag}"
    lines = [
        f"SIP/2.0 {status} {reason}".encode(),
        *(f"Via: {via}".encode("latin-1") for via in request.headers("Via")),
        f"From: {request.header('From')}".encode("latin-1"),
        f"To: {to}".encode("latin-1"),
        f"Call-ID: {request.header('Call-ID')}".encode("latin-1"),
        f"CSeq: {request.header('CSeq')}".encode("latin-1"),
        *more,
    ]
    return _whole(lines, body)


@dataclass
class Caller:
    """A dialog of the caller's side. Every header may be given as bytes.

    Attributes:
        wire: its socket.
        to: whom its messages go to.
        uri: the request URI.
        from_: the From header without its tag.
        to_: the To header without its tag.
        call_id: of the dialog.
        tag: of From.
        to_tag: of To, once there is a dialog.
        sequence: the CSeq of the last request.
    """

    wire: Wire
    to: Address
    uri: bytes
    from_: bytes
    to_: bytes
    call_id: bytes = field(default_factory=lambda: secrets.token_hex(8).encode())
    tag: bytes = field(default_factory=lambda: secrets.token_hex(4).encode())
    to_tag: bytes = b""
    sequence: int = 0
    target: bytes = b""
    branch: bytes = b""

    def request(
        self,
        method: bytes,
        *more: bytes,
        body: bytes = b"",
        kind: bytes = b"application/sdp",
        branch: bytes = b"",
    ) -> bytes:
        """Build the dialog's next request; ACK and CANCEL belong to the last INVITE."""
        if method not in {b"ACK", b"CANCEL"}:
            self.sequence += 1
        host, port = self.wire.address
        self.branch = branch or (
            self.branch
            if method == b"CANCEL"
            else b"z9hG4bK%d%s" % (next(_branches), secrets.token_hex(4).encode())
        )
        lines = [
            b"%s %s SIP/2.0" % (method, self.target or self.uri),
            b"Via: SIP/2.0/UDP %s:%d;rport;branch=%s" % (host.encode(), port, self.branch),
            b"Max-Forwards: 70",
            b"From: %s;tag=%s" % (self.from_, self.tag),
            b"To: %s%s" % (self.to_, b";tag=" + self.to_tag if self.to_tag else b""),
            b"Call-ID: " + self.call_id,
            b"CSeq: %d %s" % (self.sequence, method),
            b"Contact: <sip:caller@%s:%d>" % (host.encode(), port),
            *more,
        ]
        if body:
            lines.append(b"Content-Type: " + kind)
        return _whole(lines, body)

    def send(self, method: bytes, *more: bytes, body: bytes = b"", kind: bytes = b"application/sdp") -> bytes:
        """Build and send a request, and return what was sent."""
        message = self.request(method, *more, body=body, kind=kind)
        self.wire.send(message, self.to)
        return message

    async def invite(self, *more: bytes, media: int = 40000) -> bytes:
        """Send the INVITE with an offer, and return what was sent."""
        return self.send(b"INVITE", *more, body=sdp(self.wire.address[0], media))

    async def final(self, seconds: float = 10, method: str = "INVITE", wanted: int = 0) -> Message:
        """Wait for the final response to the last request of this method, or this status; acknowledge an INVITE."""
        sequence = f"{self.sequence} {method}"
        message = await self.wire.next(
            lambda each: (
                each.status >= 200
                and wanted in {0, each.status}
                and each.header("CSeq") == sequence
                and each.header("Call-ID") == self.call_id.decode("latin-1")
            ),
            seconds,
        )
        if method == "INVITE":
            self.to_tag = message.to_tag.encode()
            if message.status < 300:
                found = re.search(r"<([^>]+)>", message.header("Contact"))
                self.target = found[1].encode() if found else b""
                self.send(b"ACK")
            else:
                self.wire.send(self.request(b"ACK", branch=self.branch), self.to)
        return message


def key(digit: int, *, sequence: int, timestamp: int, payload: int = 101) -> list[bytes]:
    """Return the RTP packets of one key of 180 ms as telephone events (RFC 4733), 20 ms apart."""
    events = [(10, 160 * (n + 1)) for n in range(8)] + [(0x8A, 1440)] * 3
    return [
        struct.pack("!BBHII", 0x80, payload | (0x80 if n == 0 else 0), sequence + n, timestamp, 4711)
        + struct.pack("!BBH", digit, flags, duration)
        for n, (flags, duration) in enumerate(events)
    ]


def _whole(lines: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])
