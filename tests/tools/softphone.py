"""A carrier and its telephones in plain Python, with full control over SIP and RTP, for what Asterisk can't send.

A `Carrier` is the far end of the trunk; each call on it is a `Line`. It sends no packet that the test does not ask for:
no sound, no key, no RTCP, no comfort noise. It speaks UDP on loopback, one audio stream, A-law (G.711).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import secrets
import struct
from dataclasses import dataclass, field
from typing import Self

PACKET_SECONDS = 0.02
SAMPLES = 160  # of a packet
EVENT_PAYLOAD, COMFORT_PAYLOAD, SOUND_PAYLOAD = 101, 13, 8
KEYS = "0123456789*#"
# A square wave of 500 Hz as A-law: eight samples up, eight down.
_SOUND = (b"\xaa" * 8 + b"\x2a" * 8) * (SAMPLES // 16)


@dataclass
class Message:
    """One SIP message (RFC 3261, section 7)."""

    start: str
    headers: list[tuple[str, str]]
    body: str = ""

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Parse a message."""
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        headers = [
            (name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
        ]
        return cls(start, headers, body)

    def all(self, name: str) -> list[str]:
        """Return all values of a header."""
        return [value for each, value in self.headers if each.lower() == name.lower()]

    def get(self, name: str) -> str:
        """Return the first value of a header; empty if there is none."""
        return next(iter(self.all(name)), "")

    @property
    def status(self) -> int:
        """The status of a response; 0 for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """The method of a request, or of the request that a response answers."""
        return self.get("CSeq").split(" ")[-1]

    @property
    def number(self) -> int:
        """Its CSeq."""
        return int(self.get("CSeq").split(" ")[0])


class Carrier(asyncio.DatagramProtocol):
    """The far end of a trunk: `async with Carrier("127.0.0.3", port, platform=("127.0.0.1", 5060)) as carrier`.

    Args:
        address: its own, of loopback.
        port: its SIP port.
        platform: where the platform's SIP listens.
    """

    def __init__(self, address: str, port: int, *, platform: tuple[str, int]) -> None:
        self.address, self.port, self.platform = address, port, platform
        self.lines: dict[str, Line] = {}
        self.messages: list[Message] = []  # all that came
        self._rings: asyncio.Queue[Line] = asyncio.Queue()
        self._transport: asyncio.DatagramTransport

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=(self.address, self.port)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for line in list(self.lines.values()):
            if not line.over.is_set():
                with contextlib.suppress(TimeoutError):
                    await line.hang_up()
            line.close()
        self._transport.close()

    async def dial(self, number: str, *, caller: str) -> Line:
        """Call one of the platform's numbers, and return when the call is answered."""
        line, answer = await self.ask(number, caller=caller)
        if answer.status != 200:
            raise ConnectionError(answer.start)
        return line

    async def ask(self, number: str, *, caller: str) -> tuple[Line, Message]:
        """Call one of the platform's numbers, and return the line and the final response."""
        line = await self._line(f"{secrets.token_hex(8)}@{self.address}")
        line.local = f"<sip:{caller}@{self.address}:{self.port}>;tag={secrets.token_hex(4)}"
        line.remote = f"<sip:{number}@{self.platform[0]}:{self.platform[1]}>"
        line.target = f"sip:{number}@{self.platform[0]}:{self.platform[1]}"
        return line, await line.request("INVITE", line.offer())

    async def rings(self, seconds: float = 30) -> Line:
        """Wait for the platform's next call, which isn't answered yet."""
        async with asyncio.timeout(seconds):
            return await self._rings.get()

    # -- the wire -------------------------------------------------------------------------------------------------

    def send(self, text: str) -> None:
        """Send a message to the platform."""
        self._transport.sendto(text.encode(), self.platform)

    def datagram_received(self, data: bytes, _: tuple[str, int]) -> None:
        """Handle a received message."""
        message = Message.parse(data)
        if not message.get("Call-ID"):
            return
        self.messages.append(message)
        line = self.lines.get(message.get("Call-ID"))
        if line is not None:
            line.take(message)
        elif message.start.startswith("INVITE "):
            self._coming = asyncio.get_running_loop().create_task(self._called(message))
        elif not message.status:
            self.send(response(message, "200 OK" if message.method == "OPTIONS" else "481 No Such Call"))

    async def _called(self, invite: Message) -> None:
        if invite.get("Call-ID") in self.lines:
            return
        line = await self._line(invite.get("Call-ID"))
        line.invite = invite
        line.local = f"{invite.get('To')};tag={secrets.token_hex(4)}"
        line.remote = invite.get("From")
        line.learn(invite)
        self.send(response(invite, "180 Ringing", to=line.local))
        self._rings.put_nowait(line)

    async def _line(self, call_id: str) -> Line:
        line = self.lines[call_id] = Line(self, call_id)
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: line.media, local_addr=(self.address, 0)
        )
        return line


class _Media(asyncio.DatagramProtocol):
    """The RTP socket of a line, which counts and stores received packets."""

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport
        self.heard = bytearray()  # A-law, as it came
        self.packets = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, _: tuple[str, int]) -> None:
        if len(data) > 12 and data[1] & 0x7F == SOUND_PAYLOAD:
            self.packets += 1
            self.heard += data[12:]


@dataclass
class Line:
    """One call of a carrier.

    Attributes:
        over: set when either side has ended it.
        media: what was heard.
        direction: of its own last offer or answer (RFC 3264).
    """

    carrier: Carrier
    call_id: str
    local: str = ""
    remote: str = ""
    target: str = ""
    direction: str = "sendrecv"
    invite: Message | None = None  # that the platform sent
    over: asyncio.Event = field(default_factory=asyncio.Event)
    media: _Media = field(default_factory=_Media)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._rtp_to: tuple[str, int] = ("", 0)
        self._sequence, self._stamp = secrets.randbelow(1000), secrets.randbelow(100_000)
        self._source = secrets.randbits(32)
        self._speaking: asyncio.Task[None] | None = None
        self._marker = True

    # -- signalling -----------------------------------------------------------------------------------------------

    async def answer(self) -> None:
        """Answer the call."""
        if self.invite is None:
            raise RuntimeError("nobody called")
        self.carrier.send(response(self.invite, "200 OK", to=self.local, body=self.offer()))
        await asyncio.sleep(0.05)

    def progress(self) -> None:
        """Send audio before the answer (183, early media)."""
        if self.invite is None:
            raise RuntimeError("nobody called")
        self.carrier.send(response(self.invite, "183 Session Progress", to=self.local, body=self.offer()))

    async def change(self, direction: str) -> None:
        """Send a re-INVITE to only listen (`recvonly`), to hold (`sendonly`, `inactive`), or to talk (`sendrecv`)."""
        answer = await self.request("INVITE", self.offer(direction))
        if answer.status != 200:
            raise ConnectionError(answer.start)

    async def info(self, key: str, milliseconds: int = 160) -> None:
        """Press a key by SIP INFO (application/dtmf-relay)."""
        body = f"Signal={key}\r\nDuration={milliseconds}\r\n"
        await self.request("INFO", body, content="application/dtmf-relay")

    async def hang_up(self) -> None:
        """Hang up."""
        self.be_silent()
        if not self.over.is_set():
            self.over.set()
            await self.request("BYE")

    async def ended(self, seconds: float = 30) -> None:
        """Wait until the platform has ended the call."""
        async with asyncio.timeout(seconds):
            await self.over.wait()

    def offer(self, direction: str | None = None) -> str:
        """Return an SDP (RFC 4566) with its own address."""
        self.direction = direction or self.direction
        address, port = self.media.transport.get_extra_info("sockname")
        return "\r\n".join(
            (
                "v=0",
                f"o=- 4711 {next(self._numbers)} IN IP4 {address}",
                "s=-",
                f"c=IN IP4 {address}",
                "t=0 0",
                f"m=audio {port} RTP/AVP {SOUND_PAYLOAD} {COMFORT_PAYLOAD} {EVENT_PAYLOAD}",
                f"a=rtpmap:{SOUND_PAYLOAD} PCMA/8000",
                f"a=rtpmap:{COMFORT_PAYLOAD} CN/8000",
                f"a=rtpmap:{EVENT_PAYLOAD} telephone-event/8000",
                f"a=fmtp:{EVENT_PAYLOAD} 0-15",
                f"a={self.direction}",
                "",
            )
        )

    async def request(self, method: str, body: str = "", *, content: str = "application/sdp") -> Message:
        """Send a request and wait for its final response. Acknowledge an INVITE."""
        number = next(self._numbers) + 100
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._send(method, number, body, content)
        async with asyncio.timeout(20):
            found = await answer
        if method == "INVITE":
            if found.status == 200:
                self.remote = found.get("To")
                self.learn(found)
            self._send("ACK", number)
        return found

    def _send(self, method: str, number: int, body: str = "", content: str = "application/sdp") -> None:
        lines = [
            f"{method} {self.target} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.carrier.address}:{self.carrier.port};branch=z9hG4bK{secrets.token_hex(8)}",
            f"From: {self.local}",
            f"To: {self.remote}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:line@{self.carrier.address}:{self.carrier.port}>",
            "Max-Forwards: 70",
            *([f"Content-Type: {content}"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self.carrier.send("\r\n".join(lines) + "\r\n\r\n" + body)

    def learn(self, message: Message) -> None:
        """Store where the other side wants signalling and audio."""
        contact = re.search(r"<?(sip:[^>;]+)", message.get("Contact"))
        if contact:
            self.target = contact[1]
        address = re.search(r"^c=IN IP4 (\S+)", message.body, re.MULTILINE)
        port = re.search(r"^m=audio (\d+)", message.body, re.MULTILINE)
        if address and port:
            self._rtp_to = (address[1], int(port[1]))

    def take(self, message: Message) -> None:
        """Handle a message of this call."""
        if message.status:
            waiting = self._answers.get(message.number)
            if message.status >= 200 and waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif message.method in {"BYE", "CANCEL"}:
            self.carrier.send(response(message, "200 OK", to=self.local))
            if message.method == "CANCEL" and self.invite is not None:
                self.carrier.send(response(self.invite, "487 Request Terminated", to=self.local))
            self.be_silent()
            self.over.set()
        elif message.method == "INVITE" and self.invite is not message and message.get("To").find("tag=") > 0:
            self.learn(message)
            self.carrier.send(response(message, "200 OK", to=self.local, body=self.offer()))
        elif message.method not in {"ACK", "INVITE"}:
            self.carrier.send(response(message, "200 OK", to=self.local))

    # -- sound ----------------------------------------------------------------------------------------------------

    def speak(self) -> None:
        """Start sending audio, a packet every 20 ms."""
        if self._speaking is None:
            self._speaking = asyncio.create_task(self._speak())

    def be_silent(self) -> None:
        """Stop sending audio."""
        if self._speaking is not None:
            self._speaking.cancel()
            self._speaking = None

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.packet(SOUND_PAYLOAD, _SOUND)
            due += PACKET_SECONDS
            await asyncio.sleep(max(0.0, due - loop.time()))

    def packet(self, payload: int, data: bytes, *, stamp: int | None = None) -> None:
        """Send one RTP packet (RFC 3550), with the timestamp `stamp` if it isn't the next one."""
        self._sequence = (self._sequence + 1) % 65536
        if stamp is None:
            self._stamp += SAMPLES
        head = struct.pack(
            "!BBHII",
            0x80,
            payload | (0x80 if self._marker else 0),
            self._sequence,
            self._stamp if stamp is None else stamp,
            self._source,
        )
        self._marker = False
        self.media.transport.sendto(head + data, self._rtp_to)

    def comfort_noise(self) -> None:
        """Send a comfort noise packet (RFC 3389)."""
        self.packet(COMFORT_PAYLOAD, b"\x40")

    def report(self) -> None:
        """Send an RTCP receiver report without a block (RFC 3550, section 6.4.2), and its name."""
        rtcp = struct.pack("!BBHI", 0x80, 201, 1, self._source)
        name = struct.pack("!BBHI", 0x81, 202, 3, self._source) + b"\x01\x04line" + b"\x00\x00"
        self.media.transport.sendto(rtcp + name, (self._rtp_to[0], self._rtp_to[1] + 1))

    async def key(self, key: str, milliseconds: int = 100, *, ends: tuple[int, ...] = (0, 0, 0)) -> None:
        """Press a key by RFC 4733.

        Args:
            key: of `KEYS`.
            milliseconds: how long.
            ends: for each of its end packets, how many samples its time stamp is beside the event's own.
        """
        self._stamp += SAMPLES
        stamp, event = self._stamp, KEYS.index(key)
        self._marker = True
        for number in range(1, milliseconds // 20 + 1):
            self.packet(EVENT_PAYLOAD, struct.pack("!BBH", event, 10, number * SAMPLES), stamp=stamp)
            await asyncio.sleep(PACKET_SECONDS)
        for beside in ends:
            data = struct.pack("!BBH", event, 0x8A, milliseconds * 8)
            self.packet(EVENT_PAYLOAD, data, stamp=stamp + beside)
        self._stamp += milliseconds * 8

    def close(self) -> None:
        """Close its socket."""
        self.be_silent()
        self.media.transport.close()


def response(request: Message, status: str, *, to: str = "", body: str = "") -> str:
    """Build a response (RFC 3261, section 8.2.6)."""
    own = request.get("To")
    contact = re.search(r"sip:[^@>]*@([^>;]+)", own)
    lines = [
        f"SIP/2.0 {status}",
        *(f"Via: {via}" for via in request.all("Via")),
        *(f"Record-Route: {route}" for route in request.all("Record-Route")),
        f"From: {request.get('From')}",
        f"To: {to or own}",
        f"Call-ID: {request.get('Call-ID')}",
        f"CSeq: {request.get('CSeq')}",
        f"Contact: <sip:line@{contact[1] if contact else 'invalid'}>",
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines) + "\r\n\r\n" + body
