"""A websocket (RFC 6455) to a server on this machine, for short text messages, without extensions.

A message is passed on in the turn of the event loop in which it arrives, and sent in the turn in which it is written. With a
call's hundred messages, this takes a third of the time of a library that gives each message a queue, a task and a lock
(docs/adr/0001).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable, Mapping
from typing import cast

OnMessage = Callable[[str], None]

_OPEN_SECONDS = 10.0
# A ping is sent this often. If nothing at all has arrived for two of these, the connection is dead.
_PING_SECONDS = 10.0

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCHING = 101
_LONGEST_HEAD = 64 * 1024
# Opcodes (RFC 6455, section 5.2).
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL, _MASKED, _OPCODE = 0x80, 0x80, 0x0F
_RESERVED = 0x70
_SHORT, _SIXTEEN_BITS = 126, 1 << 16


class HandshakeError(Exception):
    """The server did not open a websocket.

    Attributes:
        status: the HTTP status of its answer; None if it was no HTTP.
    """

    def __init__(self, status: int | None) -> None:
        super().__init__("it sent no HTTP response" if status is None else f"it answered {status}")
        self.status = status


class WebSocket(asyncio.Protocol):
    """A websocket. `open` opens it, once.

    Attributes:
        closed: set when the connection has ended, to the reason in a few words.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = loop.create_future()
        self._loop = loop
        self._head: asyncio.Future[bytes] = loop.create_future()
        self._on_message: OnMessage | None = None
        self._buffer = bytearray()
        self._needed = 0  # bytes in the buffer until the next frame is complete
        self._parts = bytearray()  # of a message in several frames
        self._heard = True
        self._ping: asyncio.TimerHandle | None = None

    async def open(self, address: str, target: str, headers: Mapping[str, str]) -> None:
        """Connect, and open a websocket.

        Args:
            address: the server's host and port, such as `127.0.0.1:8088`.
            target: the path with the query.
            headers: further headers of the request.

        Raises:
            OSError: no connection, or it was lost.
            HandshakeError: the server refused.
            TimeoutError: it did not answer.
        """
        host, _, port = address.rpartition(":")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {
            "Host": address,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            **headers,
        }
        request = f"GET {target} HTTP/1.1\r\n" + "".join(f"{name}: {lines[name]}\r\n" for name in lines)
        async with asyncio.timeout(_OPEN_SECONDS):
            await self._loop.create_connection(lambda: self, host, int(port))
            try:
                self._transport.write(request.encode() + b"\r\n")
                _check(await self._head, key)
            except BaseException:
                self._transport.abort()
                raise
        self._ping = self._loop.call_later(_PING_SECONDS, self._check_alive)

    def listen(self, on_message: OnMessage) -> None:
        """Pass on each message from now on, and those that have arrived since the websocket was opened.

        Args:
            on_message: called on the event loop with each message. Must not raise.
        """
        self._on_message = on_message
        self._read()

    def send(self, message: str) -> None:
        """Send a message, unless the connection has ended."""
        if not self.closed.done():
            self._write(_TEXT, message.encode())

    def abort(self) -> None:
        """End the connection at once, without a close frame."""
        self._end("it was closed")
        self._transport.abort()

    # -- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection has ended."""
        if not self._head.done():
            self._head.set_exception(error or ConnectionResetError("it closed the connection"))
        self._end(str(error) if error else "it closed the connection")

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        self._heard = True
        self._buffer += data
        if self._head.done():
            if self._on_message is not None and len(self._buffer) >= self._needed:
                self._read()
            return
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end >= 4:  # noqa: PLR2004 - the length of the empty line
            self._head.set_result(bytes(self._buffer[:end]))
            del self._buffer[:end]
        elif len(self._buffer) > _LONGEST_HEAD:
            self._head.set_exception(HandshakeError(None))

    # -- frames (RFC 6455, section 5) -----------------------------------------------------------------------------

    def _read(self) -> None:
        """Handle each complete frame in the buffer."""
        data, at = bytes(self._buffer), 0
        while not self.closed.done():
            begin = at + 2
            if len(data) < begin:
                self._needed = 2
                break
            first, length = data[at], data[at + 1]
            if length & _MASKED:
                self._end("it sent a masked frame")
                break
            if length >= _SHORT:
                extended = 2 if length == _SHORT else 8
                begin += extended
                if len(data) < begin:
                    self._needed = begin - at
                    break
                length = int.from_bytes(data[begin - extended : begin], "big")
            end = begin + length
            if len(data) < end:
                self._needed = end - at
                break
            at = end
            self._frame(first, data[begin:end])
        del self._buffer[:at]

    def _frame(self, first: int, payload: bytes) -> None:
        opcode = first & _OPCODE
        if first & _RESERVED:
            self._end("it sent a frame of an extension that was not agreed")
        elif opcode == _TEXT and first & _FINAL:
            self._message(payload)
        elif opcode in {_TEXT, _BINARY, _CONTINUATION}:
            self._parts += payload
            if first & _FINAL:
                whole, self._parts = bytes(self._parts), bytearray()
                self._message(whole)
        elif opcode == _PING:
            self._write(_PONG, payload)
        elif opcode == _CLOSE:
            self._write(_CLOSE, payload[:2])
            self._end("it closed the connection")

    def _message(self, payload: bytes) -> None:
        if self._on_message is not None:
            self._on_message(payload.decode("utf-8", "replace"))

    def _write(self, opcode: int, payload: bytes) -> None:
        length = len(payload)
        if length < _SHORT:
            head = bytes((_FINAL | opcode, _MASKED | length))
        elif length < _SIXTEEN_BITS:
            head = bytes((_FINAL | opcode, _MASKED | _SHORT)) + length.to_bytes(2, "big")
        else:
            head = bytes((_FINAL | opcode, _MASKED | (_SHORT + 1))) + length.to_bytes(8, "big")
        key = os.urandom(4)
        self._transport.write(head + key + _masked(payload, key))

    def _check_alive(self) -> None:
        if not self._heard:
            self._end(f"it sent nothing for {2 * _PING_SECONDS:g} s")
            self._transport.abort()  # closing it would wait until everything is sent
            return
        self._heard = False
        self._write(_PING, b"")
        self._ping = self._loop.call_later(_PING_SECONDS, self._check_alive)

    def _end(self, reason: str) -> None:
        if self._ping is not None:
            self._ping.cancel()
        if not self.closed.done():
            self.closed.set_result(reason)
            self._transport.close()


def _masked(payload: bytes, key: bytes) -> bytes:
    """Each byte XOR one of the key's four in turn (RFC 6455, section 5.3)."""
    length = len(payload)
    keys = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(length, "big")


def _check(head: bytes, key: str) -> None:
    """Check the server's answer to the request that opens the websocket (RFC 6455, section 4.1)."""
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not status.isdigit():
        raise HandshakeError(None)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    accepted = base64.b64encode(
        hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
    ).decode()
    if int(status) != _SWITCHING or headers.get("sec-websocket-accept") != accepted:
        raise HandshakeError(int(status))
